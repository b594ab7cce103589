"""flink-conf/compose: valid by the Compose specification, reachable from this machine only, and no second truth."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from jobs.cli.local.profiles import base_config
from jobs.cli.project import FLINK_CONF

COMPOSE = FLINK_CONF / "compose"
DOCUMENT: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
FLINK = [name for name in SERVICES if name.startswith(("jobmanager", "taskmanager"))]

# Broker settings of Compose alone: names and folders of containers.
OF_CONTAINERS = {
    "advertised.listeners",
    "controller.quorum.voters",
    "heap.opts",
    "listener.security.protocol.map",
    "listeners",
    "log.dirs",
}


def test_the_file_is_valid_by_the_compose_specification() -> None:
    schema = json.loads((files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json").read_text())
    assert [error.message for error in Draft7Validator(schema).iter_errors(DOCUMENT)] == []


def test_ports_are_published_on_the_loopback_interface_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 3 and all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)
    assert not any("network_mode" in service for service in SERVICES.values())


def test_images_are_pinned_and_nothing_runs_with_privileges() -> None:
    base = re.search(r"^FROM (\S+)$", (COMPOSE / "Dockerfile").read_text(), re.MULTILINE)
    assert base is not None
    for image in [base[1], *(service["image"] for service in SERVICES.values())]:
        assert re.search(r":v?\d+\.\d+\.\d+", image), image
    for service in SERVICES.values():
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]


def test_the_broker_is_set_as_the_local_stacks() -> None:
    lines = (FLINK_CONF / "kafka-broker.properties").read_text().splitlines()
    wanted = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    found = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in SERVICES["broker"]["environment"].items()
    }
    own = {name: value for name, value in found.items() if name not in OF_CONTAINERS}
    assert own == {name: value for name, value in wanted.items() if name not in OF_CONTAINERS}


@pytest.mark.parametrize("name", FLINK)
def test_flink_is_told_only_what_differs_from_config_yaml(name: str) -> None:
    base = base_config()
    role, *options = SERVICES[name]["command"]
    settings = dict(option.split("=", 1) for option in options[1::2])
    assert role == re.sub(r"-\d+$", "", name) and set(options[::2]) == {"-D"}  # `-Dkey=value` would be a host name
    assert settings.keys() <= base.keys()
    assert not {key for key, value in settings.items() if base[key] == value}
    assert settings["jobmanager.rpc.address"] == "jobmanager"
    assert settings.get("taskmanager.host", name) == name
    assert not any("/tmp/" in value for value in settings.values())


def test_memory_limits_hold_flink_and_its_python_workers() -> None:
    """1.4 GiB a worker, one for each slot: flink-conf/config.yaml, Memory."""
    base = base_config()
    limit_mib = 1024 * int(SERVICES["taskmanager-1"]["deploy"]["resources"]["limits"]["memory"].removesuffix("g"))
    flink_mib = int(base["taskmanager.memory.process.size"].removesuffix("m"))
    assert limit_mib >= flink_mib + base["taskmanager.numberOfTaskSlots"] * 1.4 * 1024


def test_prometheus_asks_each_process_by_name() -> None:
    """The substitutions of `sed`, done here: they have to meet the file as it is."""
    text = (FLINK_CONF / "observe" / "prometheus.yaml").read_text()
    for pattern, replacement in re.findall(r"-e 's#([^#]+)#([^#]+)#'", SERVICES["prometheus"]["entrypoint"][2]):
        text, times = re.subn(pattern, replacement, text)
        assert times == 1, pattern
    config = yaml.safe_load(text)
    flink = next(scrape for scrape in config["scrape_configs"] if scrape["job_name"] == "flink")
    assert flink["static_configs"] == [{"targets": [f"{name}:9249" for name in FLINK]}]
    assert config["rule_files"] == ["/observe/rules/*.yaml"]


def test_the_job_has_a_slot_for_each_subtask() -> None:
    command = SERVICES["submit"]["command"]
    slots = base_config()["taskmanager.numberOfTaskSlots"] * (len(FLINK) - 1)
    assert int(command[command.index("--parallelism") + 1]) <= slots
    assert SERVICES["submit"]["profiles"] == ["job"]
