"""Kafka as a part of the local stack: one broker, or several that replicate; each is a controller too (KRaft).

Three brokers on one machine are for trying out what happens when one of them dies, not for safety or speed.

Source: https://kafka.apache.org/documentation/#kraft
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from jobs.cli.console import EXIT_ENVIRONMENT, CliError
from jobs.cli.jars import jar_paths
from jobs.cli.local.java import Java
from jobs.cli.local.layout import StackLayout
from jobs.cli.local.ports import HOST
from jobs.cli.local.render import StackInfo
from jobs.cli.local.secure import broker_lines
from jobs.cli.project import FLINK_CONF, flink_home

BROKER: Final = "broker"
_HEAP: Final = ("-Xms256m", "-Xmx768m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
_MOST_REPLICAS: Final = 3


class Node(NamedTuple):
    """One broker and controller."""

    number: int
    port: int
    controller_port: int

    @property
    def name(self) -> str:
        return BROKER if self.number == 1 else f"{BROKER}-{self.number}"

    def properties_file(self, layout: StackLayout) -> Path:
        return layout.kafka / ("server.properties" if self.number == 1 else f"server-{self.number}.properties")

    def data(self, layout: StackLayout) -> Path:
        return layout.kafka_data if self.number == 1 else layout.kafka / f"data-{self.number}"


def nodes_of(info: StackInfo) -> list[Node]:
    ports = [(info.kafka_port, info.controller_port), *info.further_ports]
    return [Node(number, port, controller_port) for number, (port, controller_port) in enumerate(ports, 1)]


def write_kafka(info: StackInfo, layout: StackLayout) -> None:
    """Render the brokers' configurations."""
    nodes = nodes_of(info)
    base = (FLINK_CONF / "kafka-broker.properties").read_text(encoding="utf-8")
    for node in nodes:
        own = {
            "node.id": node.number,
            "listeners": f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
            "controller.quorum.voters": ",".join(f"{n.number}@{HOST}:{n.controller_port}" for n in nodes),
            "log.dirs": node.data(layout),
        }
        if len(nodes) > 1:
            own |= _replicated(min(len(nodes), _MOST_REPLICAS))
        if info.secure:
            own |= broker_lines(info, info.secure)
        lines = "".join(f"{key}={value}\n" for key, value in own.items())
        node.properties_file(layout).write_text(f"{base}\n{lines}", encoding="utf-8")
    shutil.copyfile(FLINK_CONF / "kafka-log4j2.properties", layout.kafka / "log4j2.properties")


def _replicated(replicas: int) -> dict[str, object]:
    """A write counts when all replicas but one have it, so that one broker can go and nothing that counted is lost."""
    in_sync = replicas - 1
    return {
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def format_storage(info: StackInfo, layout: StackLayout, java: Java, env: Mapping[str, str]) -> None:
    """Prepare the brokers' folders once; topics of an earlier stack stay.

    Raises
    ------
    CliError: they are those of another number of brokers, or cannot be written.
    """
    formatted = len(list(layout.kafka.glob("*/meta.properties")))
    if formatted == info.brokers:
        return
    if formatted:
        raise CliError(
            f"the topics in {layout.kafka} are those of --brokers {formatted}, not {info.brokers}",
            EXIT_ENVIRONMENT,
            "give that number, delete them with `meridian down --wipe`, or choose another --dir",
        )
    # An id that starts with a dash would be read as an option.
    cluster_id = "M" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
    for node in nodes_of(info):
        command = _java(layout, java, "kafka-format.log", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
        command += ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(node.properties_file(layout))]
        answer = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        if answer.returncode:
            reason = (answer.stderr or answer.stdout).strip().splitlines() or ["no reason given"]
            raise CliError(f"cannot format the broker's storage: {reason[-1]}", EXIT_ENVIRONMENT)


def broker_commands(info: StackInfo, layout: StackLayout, java: Java) -> dict[str, list[str]]:
    """Command line by process name."""
    return {
        node.name: [*_java(layout, java, f"{node.name}.log", *_HEAP), "kafka.Kafka", str(node.properties_file(layout))]
        for node in nodes_of(info)
    }


def kafka_classpath() -> str:
    """The broker's jars, and from Flink's lib what connects its log calls to Log4j."""
    binding = sorted((flink_home() / "lib").glob("log4j-slf4j-impl-*.jar"))
    return ":".join(str(jar) for jar in [*jar_paths("kafka"), *binding])


def _java(layout: StackLayout, java: Java, log_name: str, *jvm: str) -> list[str]:
    # fmt: off
    return [
        str(java.executable), *jvm, "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={layout.kafka / 'log4j2.properties'}",
        f"-Dlog.file={layout.logs / log_name}", "-cp", kafka_classpath(),
    ]
    # fmt: on
