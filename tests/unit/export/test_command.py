"""What cannot be exported is refused before anything is read, in one line that says what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.cli.console import CliError
from jobs.cli.export import _format, _table, _zone_of
from jobs.pipeline.config import Deployment

DEPLOYMENT = Deployment.model_validate({"name": "d", "streams": [{"name": "s", "metrics": ["*"], "unit": "m"}]})


def test_the_files_name_says_the_format(tmp_path: Path) -> None:
    names = {"a.parquet": "parquet", "a.geoparquet": "parquet", "a.nc": "netcdf", "a.csv": "csv", "a.csv.gz": "csv"}
    assert {name: _format(tmp_path / name, None) for name in names} == names


@pytest.mark.parametrize(
    ("name", "zone", "says"),
    [
        ("a.xlsx", None, "must end in .parquet"),
        ("none/a.csv", None, "no such folder"),
        ("a.nc", "Europe/London", "local times are for CSV"),
    ],
)
def test_an_output_that_cannot_be_is_refused(tmp_path: Path, name: str, zone: str | None, says: str) -> None:
    with pytest.raises(CliError, match=says):
        _format(tmp_path / name, zone)


def test_a_table_is_aligned_windows_or_a_file() -> None:
    assert _table("aligned", DEPLOYMENT).topic == "telemetry.aligned"
    assert _table("windows", DEPLOYMENT).topic == "telemetry.windows"
    with pytest.raises(CliError, match="neither aligned, nor windows, nor a file"):
        _table("summaries", DEPLOYMENT)


def test_a_zone_is_one_of_the_tz_database() -> None:
    assert _zone_of("Europe/London", DEPLOYMENT, "sensor_id")({}) == "Europe/London"
    with pytest.raises(CliError, match="no name of the tz database"):
        _zone_of("Mars/Olympus", DEPLOYMENT, "sensor_id")
