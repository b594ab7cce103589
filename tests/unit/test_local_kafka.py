"""The brokers of the local stack: what is decided before they start."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.cli.console import CliError
from jobs.cli.local.java import Java
from jobs.cli.local.kafka import broker_commands, format_storage, nodes_of, write_kafka
from jobs.cli.local.layout import StackLayout
from jobs.cli.local.render import StackInfo

JAVA = Java(Path("/java"), 17, "test")


@pytest.fixture
def layout(tmp_path: Path) -> StackLayout:
    layout = StackLayout(tmp_path / "stack")
    layout.create()
    return layout


def info(brokers: int) -> StackInfo:
    further = [[19_094 + 2 * n, 19_095 + 2 * n] for n in range(brokers - 1)]
    return StackInfo(19_092, 19_093, 18_081, 16_123, 19_249, 2, 2, "/java", "now", further_ports=further)


def settings(file: Path) -> dict[str, str]:
    """The last one of a name counts."""
    lines = [line for line in file.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_one_broker_replicates_nothing(layout: StackLayout) -> None:
    write_kafka(info(1), layout)
    own = settings(layout.kafka / "server.properties")
    assert own["offsets.topic.replication.factor"] == own["transaction.state.log.replication.factor"] == "1"
    assert "min.insync.replicas" not in own
    assert own["log.dirs"] == str(layout.kafka_data)
    assert info(1).bootstrap_servers == "127.0.0.1:19092"


def test_three_brokers_are_one_cluster_that_bears_the_loss_of_one(layout: StackLayout) -> None:
    three = info(3)
    write_kafka(three, layout)
    nodes = [settings(node.properties_file(layout)) for node in nodes_of(three)]
    assert [node["node.id"] for node in nodes] == ["1", "2", "3"]
    assert {node["controller.quorum.voters"] for node in nodes} == {
        "1@127.0.0.1:19093,2@127.0.0.1:19095,3@127.0.0.1:19097"
    }
    for name in ("log.dirs", "listeners"):
        assert len({node[name] for node in nodes}) == 3, name
    for node in nodes:
        assert node["transaction.state.log.replication.factor"] == node["offsets.topic.replication.factor"] == "3"
        assert node["transaction.state.log.min.isr"] == node["min.insync.replicas"] == "2"
        assert all("127.0.0.1" in listener for listener in node["listeners"].split(","))
    assert three.bootstrap_servers == "127.0.0.1:19092,127.0.0.1:19094,127.0.0.1:19096"


def test_topics_of_another_number_of_brokers_are_not_touched(layout: StackLayout) -> None:
    layout.kafka_data.mkdir(parents=True)
    (layout.kafka_data / "meta.properties").touch()
    with pytest.raises(CliError, match=r"those of --brokers 1, not 3"):
        format_storage(info(3), layout, JAVA, {})
    format_storage(info(1), layout, JAVA, {})  # formatted already: no Java is asked


def test_each_broker_has_a_process_and_a_log_of_its_own(layout: StackLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.cli.local.kafka.kafka_classpath", lambda: "kafka.jar")
    commands = broker_commands(info(3), layout, JAVA)
    assert list(commands) == ["broker", "broker-2", "broker-3"]
    logs = [word for command in commands.values() for word in command if word.startswith("-Dlog.file=")]
    assert len(set(logs)) == 3
