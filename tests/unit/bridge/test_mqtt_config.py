"""The MQTT bridge's file: wrong configuration fails first, naming key, value and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from jobs.bridge.mqtt.config import MqttBridge, read_password
from jobs.cli.local.mosquitto import mosquitto_config
from jobs.cli.main import cli
from jobs.cli.project import FLINK_CONF

EXAMPLE = FLINK_CONF / "bridges" / "mqtt.yaml"


def document() -> dict[str, Any]:
    return dict(yaml.safe_load(EXAMPLE.read_text()))


def check(tmp_path: Path, changed: dict[str, Any]) -> tuple[int, str]:
    file = tmp_path / "bridge.yaml"
    file.write_text(yaml.safe_dump(changed))
    result = CliRunner().invoke(cli, ["bridge", "mqtt", "--config", str(file), "--check"])
    return result.exit_code, result.output


def test_the_example_is_right() -> None:
    result = CliRunner().invoke(cli, ["bridge", "mqtt", "--config", str(EXAMPLE), "--check"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("broker", "port"), 0, "broker.port = 0"),
        (("broker", "protocol"), "3.1", "'5' or '3.1.1'"),
        (("broker", "hots"), "x", "unknown key"),
        (("broker",), {"host": "mqtt.example.org", "username": "u", "password": "p"}, "readable on the way"),
        (("broker",), {"password": "p"}, "a password needs one"),
        (("broker", "session_expiry"), 60, "a whole number and a unit"),
        (("broker", "receive_maximum"), 70_000, "less than or equal to 65535"),
        (("spool", "max_size"), "1 TB", "'512 kB', '64 MB' or '1 GB'"),
        (("spool",), {}, "spool.folder"),
        (("breakers",), {}, "breakers.cold"),
        (("breakers",), {"cold": {"folder": "c", "max_size": "1 TB"}}, "'512 kB', '64 MB' or '1 GB'"),
        (("breakers",), {"cold": {"folder": "c", "max_size": "1 MB"}}, "file_size: up to max_size"),
        (("breakers",), {"cold": {"folder": "c"}, "kafka": {"slow_after": 500}}, "breakers.kafka.slow_after = 500"),
        (("breakers",), {"cold": {"folder": "c"}, "kafka": {"slow_calls": 0}}, "greater than or equal to 1"),
        (("breakers",), {"cold": {"folder": "c"}, "kafka": {"gone": "1 s"}}, "unknown key"),
        (("breakers",), {"cold": {"folder": "c"}, "crs": {"failures": 9, "of": 5}}, "failures: up to of (5)"),
        (("subscriptions",), [], "at least 1 item"),
        (("subscriptions",), [{"template": "site/+/x", "adapter": "meridian"}], "level 2 is '+'"),
        (("subscriptions",), [{"template": "site/{a}", "adapter": "nothing"}], "no adapter 'nothing'"),
        (("subscriptions",), [{"template": "site/{a}"}], "readings need one"),
        (("subscriptions",), [{"template": "site/{a}", "kind": "status"}], "{sensor_id}"),
        (("subscriptions",), [{"template": "site/{a}", "adapter": "meridian", "qos": 0}], "1 or 2"),
        (("subscriptions",), [{"template": "site/{a}", "adapter": "meridian", "share": "a/b"}], "share = 'a/b'"),
        (("subscriptions",), [{"template": f"site/{{{n}}}", "adapter": "meridian"} for n in "ab"], "asked for twice"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, path: tuple[str, ...], value: Any, said: str) -> None:
    changed = document()
    target = changed
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    code, output = check(tmp_path, changed)
    assert code == 2
    assert said in output


def test_a_password_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_MQTT_PASSWORD", "hunter2")
    changed = document()
    changed["broker"] = {"username": "bridge", "password": "${TEST_MQTT_PASSWORD}", "port": "none"}
    code, output = check(tmp_path, changed)
    assert (code, "hunter2" in output) == (2, False)
    changed["broker"]["port"] = 1883
    config = MqttBridge.model_validate(changed)
    assert "${TEST_MQTT_PASSWORD}" not in repr(config)


def test_a_password_file_loses_its_line_end_only(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(" pass word \n")
    changed = document()
    changed["broker"] = {"username": "bridge", "password_file": "password"}
    assert read_password(MqttBridge.model_validate(changed).broker, tmp_path) == " pass word "


def test_mosquitto_listens_on_loopback_only_and_keeps_what_its_defaults_drop(tmp_path: Path) -> None:
    lines = mosquitto_config(36_883, tmp_path).splitlines()
    assert [line for line in lines if line.startswith("listener")] == ["listener 36883 127.0.0.1"]
    settings = dict(line.split(" ", 1) for line in lines)
    assert settings["persistence"] == "true"
    assert settings["persistence_location"] == f"{tmp_path}/"
    assert int(settings["max_queued_messages"]) >= 1_000_000
    assert int(settings["max_inflight_messages"]) >= 1_000
    assert int(settings["autosave_interval"]) <= 60
