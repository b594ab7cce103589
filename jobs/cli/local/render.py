"""What was chosen for a stack, and what Flink's processes read of it: their configuration, and folders of jars."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from jobs.cli.jars import jar_paths
from jobs.cli.local.beam_loopback import write_jar
from jobs.cli.local.layout import StackLayout
from jobs.cli.local.ports import HOST
from jobs.cli.local.profiles import SECURE, base_config, flatten, load_profile
from jobs.cli.local.secure import SecureFiles, flink_keys
from jobs.cli.local.zookeeper import ha_config
from jobs.cli.project import FLINK_CONF, flink_home

LOG_CONFIGS: Final = ("log4j-console.properties", "log4j-cli.properties", "log4j-session.properties")


@dataclass(frozen=True)
class StackInfo:
    """What was chosen when the stack was started: kept in stack.json for every other command."""

    kafka_port: int
    controller_port: int
    rest_port: int
    rpc_port: int
    metrics_port: int
    taskmanagers: int
    slots: int
    java_home: str
    started_at: str
    profile: str | None = None
    mqtt_port: int | None = None
    observe_port: int | None = None
    ha_port: int | None = None
    internal_port: int | None = None
    secure_folder: str | None = None
    memory_mb: int | None = None
    further_ports: list[list[int]] = field(default_factory=list)  # of each broker but the first: Kafka, controller

    @property
    def secure(self) -> SecureFiles | None:
        """The secrets of a stack that was started with `--secure`."""
        return SecureFiles(Path(self.secure_folder)) if self.secure_folder else None

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"{HOST}:{port}" for port in self.kafka_ports)

    @property
    def kafka_ports(self) -> list[int]:
        return [self.kafka_port, *(port for port, _ in self.further_ports)]

    @property
    def brokers(self) -> int:
        return len(self.kafka_ports)

    @property
    def rest_url(self) -> str:
        return f"{'https' if self.secure else 'http'}://{HOST}:{self.rest_port}"

    @property
    def metrics_url(self) -> str:
        return f"http://{HOST}:{self.metrics_port}/metrics"

    def write(self, layout: StackLayout) -> None:
        partial = layout.info_file.with_suffix(".part")
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        os.replace(partial, layout.info_file)

    @classmethod
    def read(cls, layout: StackLayout) -> StackInfo | None:
        """None if the file is missing or of another version."""
        try:
            return cls(**json.loads(layout.info_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def worker_python(layout: StackLayout) -> Path:
    """The interpreter of this virtual environment under a name without spaces, for Python workers and clients."""
    return layout.plain(Path(sys.prefix)) / "bin" / "python"


def flink_config(base: Mapping[str, Any], info: StackInfo, layout: StackLayout) -> dict[str, Any]:
    """The cluster's configuration: `base` with what is particular to this stack."""
    config = flatten(base)
    is_reported = bool(config["metrics.reporters"])
    for key in [key for key in config if key.startswith("metrics.reporter")]:
        del config[key]
    flink, python = layout.flink, str(worker_python(layout))
    config |= {
        "jobmanager.rpc.address": HOST,
        "jobmanager.rpc.port": info.rpc_port,
        "jobmanager.bind-host": HOST,
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        "taskmanager.numberOfTaskSlots": info.slots,
        "rest.address": HOST,
        "rest.bind-address": HOST,
        "rest.port": info.rest_port,
        "io.tmp.dirs": str(flink / "tmp"),
        "execution.checkpointing.dir": f"file://{layout.plain(layout.root) / 'checkpoints'}",
        "execution.checkpointing.savepoint-dir": f"file://{layout.plain(layout.root) / 'savepoints'}",
        "python.executable": python,
        "python.client.executable": python,
    }
    if info.memory_mb:
        config["taskmanager.memory.process.size"] = f"{info.memory_mb}m"
    config |= _push_reporter(info.metrics_port) if is_reported else {"metrics.reporters": ""}
    if info.ha_port:
        config |= ha_config(info.ha_port, f"file://{layout.plain(layout.root) / 'zookeeper' / 'jobs'}")
    if info.secure:
        config |= load_profile(SECURE) | flink_keys(info.secure)
    return config


def _push_reporter(port: int) -> dict[str, Any]:
    """In place of the Prometheus reporter, which listens on all interfaces."""
    return {
        "metrics.reporters": "push",
        "metrics.reporter.push.factory.class": (
            "org.apache.flink.metrics.prometheus.PrometheusPushGatewayReporterFactory"
        ),
        "metrics.reporter.push.hostUrl": f"http://{HOST}:{port}",
        "metrics.reporter.push.interval": "5 s",
        "metrics.reporter.push.randomJobNameSuffix": False,
        "metrics.reporter.push.deleteOnShutdown": True,
        "metrics.reporter.push.filterLabelValueCharacters": False,
    }


def write_flink(info: StackInfo, layout: StackLayout) -> None:
    """Render `conf` and link `lib`, `opt` and `plugins` of the cluster."""
    flink = layout.flink
    shutil.rmtree(flink, ignore_errors=True)
    conf = flink / "conf"
    for folder in (conf, flink / "tmp"):
        folder.mkdir(parents=True)
    config = flink_config(base_config(info.profile), info, layout)
    lines = [f"{key}: {json.dumps(value)}" for key, value in sorted(config.items())]
    header = "# Rendered by `meridian up` from flink-conf; changes here are overwritten.\n"
    (conf / "config.yaml").touch(0o600)  # it may hold passwords
    (conf / "config.yaml").write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    for name in LOG_CONFIGS:
        shutil.copyfile(FLINK_CONF / name, conf / name)
    link_distribution(flink)


def link_distribution(flink: Path) -> None:
    """Link `lib`, `opt` and `plugins` of the pinned package and jars into a folder, here and in the container image."""
    home = flink_home()
    # flink-python belongs to lib: the SQL client needs it there, and thread mode can load its native part only once.
    _link(
        flink / "lib", [*(home / "lib").glob("*.jar"), *(home / "opt").glob("flink-python*.jar"), *jar_paths("flink")]
    )
    # Sorts, and so is found, before flink-python.
    write_jar(next((home / "opt").glob("flink-python*.jar")), flink / "lib" / "flink-beam-loopback.jar")
    _link(flink / "opt", [*(home / "opt").glob("*.jar"), *jar_paths("sql-client")])
    # Only what is configured: every plugin folder costs a class loader at each start.
    _link(flink / "plugins", [home / "plugins" / "metrics-prometheus"])


def _link(folder: Path, files: list[Path]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file.name).symlink_to(file)
