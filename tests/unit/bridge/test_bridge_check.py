"""`meridian bridge check` and `adapters`: what they show, and how they end."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from jobs.cli.bridge import bridge
from jobs.cli.console import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from tests.unit.bridge.samples import SAMPLES, TASMOTA

DEPLOYMENT = """
name: check
streams:
  - {name: weather, metrics: [air_temperature], unit: degC, valid: [-60, 60]}
  - {name: dust, metrics: [pm10], unit: ug/m3}
"""
RECEIVED = "2026-01-01T00:00:00Z"


def run(*arguments: Any, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(bridge, [str(argument) for argument in arguments], input=stdin)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "deployment.yaml"
    file.write_text(DEPLOYMENT)
    return file


def sample_file(folder: Path, name: str, body: bytes | None = None, suffix: str = ".json") -> Path:
    file = folder / f"sample{suffix}"
    file.write_bytes(SAMPLES[name].body if body is None else body)
    return file


def test_a_good_sample_ends_well_and_shows_its_readings(tmp_path: Path) -> None:
    result = run("check", sample_file(tmp_path, "sensor_community"), "--adapter", "sensor_community")
    assert result.exit_code == EXIT_OK, result.output
    assert "sensor.community/11" in result.stdout
    assert "1 readings, 0 unreadable, 1 missing value, 1 no measurement" in result.stderr


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - {"ndbc", "openaq", "tasmota"}))
def test_the_adapter_can_be_guessed(tmp_path: Path, name: str) -> None:
    result = run("check", sample_file(tmp_path, name), "--json")
    assert json.loads(result.stdout)["adapter"] == name


def test_the_job_of_a_deployment_judges_each_reading(tmp_path: Path, config: Path) -> None:
    body = orjson.dumps(
        [
            {**orjson.loads(SAMPLES["meridian"].body), **changes}
            for changes in ({}, {"value": 99.0}, {"x": 10_000.0}, {"event_time": "soon"}, {"metric": "luck"})
        ]
        + [17]
    )
    file = sample_file(tmp_path, "meridian", body)
    result = run("check", file, "--adapter", "meridian", "--config", config, "--received", RECEIVED, "--json")
    assert result.exit_code == EXIT_FAILED
    shown = json.loads(result.stdout)
    assert shown["counts"] == {
        "readings": 5,
        "unreadable": 1,
        "refused": {
            "value_out_of_range": 1, "position_out_of_range": 1, "unreadable_time": 1, "unknown_metric": 1,
        },
    }  # fmt: skip
    [accepted] = [item["job"] for item in shown["items"] if item["job"]["accepted"]]
    assert (accepted["stream"], accepted["value"], accepted["unit"]) == ("weather", 4.5, "degC")
    [unreadable] = [item for item in shown["items"] if "unreadable" in item]
    assert unreadable["unreadable"] == {"reason": "not_an_object", "message": "a reading is an object, not '17'", "original": "17"}  # fmt: skip  # noqa: E501
    assert unreadable["job"]["reason"] == "unsupported_content_type"


def test_lines_options_context_and_gzip(tmp_path: Path) -> None:
    lines = orjson.dumps(TASMOTA) + b"\n{broken\n"
    file = sample_file(tmp_path, "tasmota", gzip.compress(lines), ".ndjson.gz")
    options = tmp_path / "options.yaml"
    options.write_text("zone: Europe/Berlin\nstations: {roof: {x: 13.5, y: 52.5}}\n")
    result = run("check", file, "--adapter", "tasmota", "--options", options, "--context", "topic=tele/roof/SENSOR")
    assert result.exit_code == EXIT_FAILED
    assert "tasmota/roof/AHT1X-0x38" in result.stdout
    assert "{broken" in result.stdout
    assert "2 readings, 1 unreadable" in result.stderr


def test_standard_input_is_a_sample_too() -> None:
    result = run("check", "-", "--adapter", "usgs", stdin=SAMPLES["usgs"].body)
    assert result.exit_code == EXIT_OK, result.output
    assert "usgs/01234567" in result.stdout


def test_what_a_feed_sends_is_no_markup_and_no_control_characters(tmp_path: Path) -> None:
    body = orjson.dumps({**orjson.loads(SAMPLES["meridian"].body), "sensor_id": "[red]a\x1b[2J[/red]"})
    result = run("check", sample_file(tmp_path, "meridian", body), "--adapter", "meridian")
    assert "[red]a\ufffd[2J[/red]" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--adapter", "carrier_pigeon"), "there are: chirpstack"),
        (("--adapter", "usgs", "--context", "topic"), "KEY=VALUE"),
        (("--adapter", "usgs", "--received", "yesterday"), "--received"),
    ],
)
def test_wrong_usage_is_told_apart_from_a_bad_sample(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    result = run("check", sample_file(tmp_path, "usgs"), *arguments)
    assert result.exit_code == EXIT_USAGE
    assert says in result.stderr


def test_a_sample_that_no_adapter_reads(tmp_path: Path) -> None:
    result = run("check", sample_file(tmp_path, "usgs", b"once upon a time"))
    assert result.exit_code == EXIT_FAILED
    assert "no adapter finds a reading" in result.stderr


def test_adapters_are_listed_with_their_tables_and_options() -> None:
    listed = run("adapters").stdout
    assert all(name in listed for name in SAMPLES)
    shown = run("adapters", "tasmota").stdout
    assert "| `Time` |" in shown
    assert "ignore" in shown
    assert json.loads(run("adapters", "tasmota", "--schema").stdout)["title"] == "TasmotaOptions"
    assert run("adapters", "carrier_pigeon").exit_code == EXIT_USAGE
