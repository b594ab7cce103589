"""`meridian cold` without Kafka: what waits, what would become of it, and when the exit code says no."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from jobs.cli.main import cli
from jobs.cold.layout import Done, cold_files
from tests.support.cold import HOUR_MS, ages, kept

DAY_MS = 24 * HOUR_MS


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    streams = [{"name": "weather", "metrics": ["air_temperature"], "unit": "degC", "max_age": "30 d"}]
    file = tmp_path / "my.yaml"
    file.write_text(yaml.safe_dump({"name": "d", "streams": streams}))
    return file


def cold(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["cold", *map(str, arguments)])


def test_files_that_wait_are_listed_and_those_that_are_done_when_asked(tmp_path: Path) -> None:
    store = kept(tmp_path / "cold", ages(HOUR_MS), ages(HOUR_MS, 2 * HOUR_MS))
    files = cold_files(store)
    files[0].mark_done(Done(1, 1, 0))
    [waiting] = json.loads(cold("list", store, "--json").stdout)
    assert waiting["name"] == files[1].manifest.name
    assert waiting["done"] is None
    assert len(json.loads(cold("list", store, "--all", "--json").stdout)) == 2
    shown = cold("list", store, "--all").stdout
    assert "(done)" in shown
    assert files[1].manifest.bridge in shown


def test_a_dry_run_says_what_would_become_of_each_record(tmp_path: Path, deployment: Path) -> None:
    store = kept(tmp_path / "cold", ages(HOUR_MS, 2 * DAY_MS))
    result = cold("reingest", store, "--config", deployment, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["fates"] == {"deduplicated": 1, "beyond_horizon": 1}
    assert all(file.done is None for file in cold_files(store))


def test_a_file_that_the_job_would_refuse_makes_the_exit_code_say_no(tmp_path: Path, deployment: Path) -> None:
    store = kept(tmp_path / "cold", ages(40 * DAY_MS))
    result = cold("reingest", store, "--config", deployment, "--dry-run")
    assert result.exit_code == 1
    assert "the job would refuse 1 too_old of 1" in result.output
    assert cold("reingest", store, "--config", deployment, "--dry-run", "--send-refused").exit_code == 0


def test_files_that_are_done_are_deleted_when_asked_and_nothing_is_sent(tmp_path: Path, deployment: Path) -> None:
    store = kept(tmp_path / "cold", ages(HOUR_MS))
    cold_files(store)[0].mark_done(Done(1, 1, 0))
    result = cold("reingest", store, "--config", deployment, "--delete")
    assert result.exit_code == 0, result.output
    assert [path for path in store.glob("dt=*/hour=*/*") if path.is_file()] == []


def test_two_reingests_of_one_store_do_not_run_at_once(tmp_path: Path, deployment: Path) -> None:
    store = kept(tmp_path / "cold", ages(HOUR_MS))
    with (store / "_reingest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = cold("reingest", store, "--config", deployment)
    assert result.exit_code == 3
    assert "another reingest is at work" in result.output
