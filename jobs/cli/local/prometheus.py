"""Prometheus as an optional part of the local stack: found, not installed, and run with flink-conf/observe."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Final

import yaml

from jobs.cli.console import EXIT_ENVIRONMENT, CliError
from jobs.cli.local.ports import HOST
from jobs.cli.project import FLINK_CONF, STATE_DIR

PROMETHEUS_VARIABLE: Final = "MERIDIAN_PROMETHEUS"
OBSERVE: Final = FLINK_CONF / "observe"
TARGETS: Final = "targets"
"""In the folder `observe` of a stack: a file for each process that shows metrics of its own."""

_UNPACKED: Final = STATE_DIR / "prometheus" / "usr" / "bin"
_KEPT: Final = ("--storage.tsdb.retention.time=7d", "--storage.tsdb.retention.size=1GB")


def find_prometheus(program: str = "prometheus") -> Path:
    """The server, or `promtool`: of the environment variable MERIDIAN_PROMETHEUS, the system, or `scripts/bootstrap`.

    Raises
    ------
    CliError: there is none; the hint says how to get it, also without root.
    """
    configured = os.environ.get(PROMETHEUS_VARIABLE)
    wanted = str(Path(configured).with_name(program)) if configured else program
    found = shutil.which(wanted) or shutil.which(wanted, path=str(_UNPACKED))
    if found is None:
        raise CliError(
            f"{wanted} not found",
            EXIT_ENVIRONMENT,
            f"run `scripts/bootstrap --observe`, or set {PROMETHEUS_VARIABLE} to the path of prometheus",
        )
    return Path(found)


def prometheus_config(port: int, flink_port: int, folder: Path) -> dict[str, Any]:
    """The project's settings with the addresses of one stack."""
    config: dict[str, Any] = yaml.safe_load((OBSERVE / "prometheus.yaml").read_text(encoding="utf-8"))
    config["rule_files"] = [str(OBSERVE / pattern) for pattern in config["rule_files"]]
    addresses = {"flink": f"{HOST}:{flink_port}", "prometheus": f"{HOST}:{port}"}
    for scrape in config["scrape_configs"]:
        if address := addresses.get(scrape["job_name"]):
            scrape["static_configs"] = [{"targets": [address]}]
        else:
            scrape["file_sd_configs"][0]["files"] = [str(folder / TARGETS / "*.json")]
    return config


def prometheus_command(port: int, flink_port: int, folder: Path) -> list[str]:
    """Write the configuration into a folder and give the command line."""
    (folder / TARGETS).mkdir(parents=True, exist_ok=True)
    for left in (folder / TARGETS).glob("*.json"):  # of processes that were killed
        left.unlink()
    config = folder / "prometheus.yaml"
    config.write_text(yaml.safe_dump(prometheus_config(port, flink_port, folder), sort_keys=False), encoding="utf-8")
    address = f"--web.listen-address={HOST}:{port}"
    return [
        *(str(find_prometheus()), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
        *(address, f"--web.external-url=http://{HOST}:{port}", *_KEPT),
    ]
