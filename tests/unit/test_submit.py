"""The command that `meridian submit` shows is complete, but for secrets."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from jobs.cli import submit
from jobs.cli.stack import Endpoints


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    endpoints = Endpoints("", "http://127.0.0.1:1", "", tmp_path, tmp_path, tmp_path, tmp_path / "java 17", 1, 1)
    monkeypatch.setattr(submit, "load_endpoints", lambda: endpoints)
    monkeypatch.setattr(submit, "PACKAGES", tmp_path / "packages")
    monkeypatch.setenv("MY_KAFKA", "broker-1:9092,broker-2:9092")
    monkeypatch.setenv("MY_LOGIN", "s3cret")
    kafka = {"bootstrap_servers": "${MY_KAFKA}", "properties": {"client.id": "${MY_LOGIN}"}}
    stream = {"name": "air", "metrics": ["air_*"], "unit": "degC"}
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump({"name": "small", "kafka": kafka, "streams": [stream]}))
    return path


def run(config: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(submit.submit, ["--config", str(config), "--print-only", *arguments])
    assert result.exit_code == 0, result.output
    return result


def test_the_shown_command_sets_what_it_needs_and_names_the_secrets_it_leaves_out(config: Path) -> None:
    shown = run(config).stderr
    words = shlex.split(shown.splitlines()[0].removeprefix("+ "))
    variables = dict(word.split("=", 1) for word in words[: words.index("run") - 1])
    assert variables["MY_KAFKA"] == "broker-1:9092,broker-2:9092" and variables["JAVA_HOME"].endswith("/java 17")
    assert {"FLINK_CONF_DIR", "FLINK_LIB_DIR", "PYFLINK_CLIENT_EXECUTABLE"} <= variables.keys()
    assert "s3cret" not in shown and "MY_LOGIN from your environment" in shown


def test_json_has_command_and_environment_apart(config: Path) -> None:
    shown = json.loads(run(config, "--json").stdout)
    assert shown["command"][1] == "run" and shown["environment"]["MY_KAFKA"].startswith("broker-1")
    assert "MY_LOGIN" not in shown["environment"]


def test_a_relative_savepoint_becomes_absolute_for_a_jobmanager_elsewhere(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    command = json.loads(run(config, "--json", "--from-savepoint", "savepoint-1/_metadata").stdout)["command"]
    assert command[command.index("-s") + 1] == str(config.parent / "savepoint-1")
