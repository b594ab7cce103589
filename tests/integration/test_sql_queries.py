"""Every query of docs/sql.md, the command line and the stock client, on the topics that `sql_run` leaves."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from jobs.cli.project import PROJECT_ROOT, flink_home
from jobs.cli.sql import ask, init_statements
from jobs.cli.stack import flink_client_env, load_endpoints
from jobs.cluster.package import build_package
from jobs.pipeline.deployment_file import load_deployment
from jobs.pipeline.sql_files import as_script
from jobs.pipeline.sql_script import split_statements
from tests.integration.sql_run import NAME, PEERS, SqlRun
from tests.integration.support import Stack, meridian

pytestmark = pytest.mark.extended

SQL = PROJECT_ROOT / "sql"
QUERIES = sorted((SQL / "queries").glob("*.sql"))


@pytest.fixture(scope="module")
def answers(stack: Stack, sql_run: SqlRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The rows of all queries, asked in one session."""
    asked, names, line = "", {}, 1
    for query in QUERIES:
        text = query.read_text(encoding="utf-8")
        (statement,) = split_statements(text)
        names[f"query.sql:{line + statement.line - 1}"] = query.name
        asked += text
        line += text.count("\n")
    deployment = load_deployment(sql_run.deployment)
    code = build_package(PROJECT_ROOT, sql_run.deployment, deployment, tmp_path_factory.mktemp("packages")).code
    found: dict[str, list[dict[str, Any]]] = {query.name: [] for query in QUERIES}
    for change in ask(
        load_endpoints(stack.folder), [as_script(init_statements(deployment, streaming=False)), asked], code
    ):
        assert change["kind"] == "+I"
        found[names[change["statement"]]].append(change["row"])
    return found


def test_every_query_has_an_answer(answers: dict[str, list[dict[str, Any]]]) -> None:
    assert [name for name, rows in answers.items() if not rows] == []


def test_a_station_that_never_sent_is_silent(answers: dict[str, list[dict[str, Any]]]) -> None:
    rows = {row["sensor_id"]: row for row in answers["01_silent_stations.sql"]}
    assert rows["mute"]["last_reading"] is None
    assert "pacemaker" not in rows


def test_the_sensor_over_the_limit_is_found(answers: dict[str, list[dict[str, Any]]]) -> None:
    (row,) = answers["02_over_the_limit_now.sql"]
    assert (row["sensor_id"], row["value"], row["limit_value"]) == ("roadside", 25.0, 15.0)


def test_revisions_only_add_readings(answers: dict[str, list[dict[str, Any]]]) -> None:
    rows = answers["03_revisions_of_an_hour.sql"]
    counts = [row["count"] for row in rows]
    assert len(counts) > 1
    assert counts == sorted(set(counts))


def test_each_late_reading_is_explained(answers: dict[str, list[dict[str, Any]]]) -> None:
    rows = answers["04_why_late.sql"]
    lateness = [row["behind_watermark_s"] for row in rows]
    assert lateness == sorted(lateness, reverse=True) and min(lateness) > 0
    assert {row["definition"] for row in rows} >= {"hourly", "sliding", "areas"}


def test_refused_readings_are_listed_by_reason(answers: dict[str, list[dict[str, Any]]]) -> None:
    rows = answers["06_refused_readings.sql"]
    assert [(row["reason"], row["readings"]) for row in rows] == [("in_future", 1), ("incompatible_unit", 1)]


def test_a_clock_that_is_an_hour_fast_is_wrong(answers: dict[str, list[dict[str, Any]]]) -> None:
    (row,) = answers["10_wrong_clocks.sql"]
    assert (row["sensor_id"], row["readings"]) == ("fast-clock", 1)
    assert 3_500 < row["ahead_s"] <= 3_601


def test_repeats_are_counted_against_readings(answers: dict[str, list[dict[str, Any]]]) -> None:
    rows = answers["07_repeating_sensors.sql"]
    assert {row["sensor_id"] for row in rows} == {*PEERS}
    assert all(0 < row["repeats_per_reading"] == round(row["repeats"] / row["readings"], 3) < 1 for row in rows)


def test_completeness_is_what_came_of_what_should_have_come(answers: dict[str, list[dict[str, Any]]]) -> None:
    rows = {row["metric"]: row for row in answers["05_completeness_by_watershed.sql"]}
    assert {row["watershed"] for row in rows.values()} == {"dee"}
    assert (rows["wind_direction"]["readings"], rows["wind_direction"]["completeness"]) == (6, 1.0)
    assert 0 < rows["air_temperature"]["completeness"] < 1


def test_the_nearest_stations_come_first(answers: dict[str, list[dict[str, Any]]]) -> None:
    rows = answers["09_stations_nearby.sql"]
    assert [row["distance_km"] for row in rows] == sorted(row["distance_km"] for row in rows)
    assert {row["on_the_map"] for row in rows} == {"Dee"}


def test_days_of_unusual_length_have_their_hours(answers: dict[str, list[dict[str, Any]]]) -> None:
    hours = {(row["sensor_id"], row["hours"]) for row in answers["08_days_of_unusual_length.sql"]}
    assert {("london", 23.0), ("london", 25.0), ("lord-howe", 23.5), ("lord-howe", 24.5)} <= hours
    assert "kathmandu" not in {sensor for sensor, _ in hours}


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("SELECT nonsense FROM aligned", "error: query.sql:1: Column 'nonsense' not found in any table"),
        ("SELECT 1 FROM nowhere", "error: query.sql:1: Object 'nowhere' not found"),
    ],
)
def test_a_bad_statement_is_one_line_and_exit_1(statement: str, line: str, sql_run: SqlRun) -> None:
    result = meridian("sql", "--config", sql_run.deployment, "-e", statement, check=False)
    assert (result.returncode, result.stdout, result.stderr.strip()) == (1, "", line)


def test_the_stock_client_runs_the_files_unchanged(stack: Stack, sql_run: SqlRun, tmp_path: Path) -> None:
    """All but the submission, for which the servers of the files would have to be there."""
    names = ("01*.sql", "02*.sql", "1[0189]*.sql", "2*.sql", "3*.sql")
    init = "".join(file.read_text() for name in names for file in sorted(SQL.glob(name)))
    (tmp_path / "init.sql").write_text(init)
    inserts = (SQL / "40_inserts.sql").read_text().replace("EXECUTE STATEMENT SET", "EXPLAIN STATEMENT SET")
    (tmp_path / "explain.sql").write_text(inserts)
    command = [str(flink_home() / "bin" / "sql-client.sh"), "-i", "init.sql", "-f", "explain.sql"]
    environment = flink_client_env(load_endpoints(stack.folder))
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert result.stdout.count("== Optimized Execution Plan ==") == 2
    assert "[ERROR]" not in result.stdout


def test_the_deployments_statements_come_with_the_script(sql_run: SqlRun) -> None:
    script = meridian("sql", "--config", sql_run.deployment, "--print-init", "--streaming").stdout
    assert f"'{NAME}.aligned'" in script and f"'{NAME}.summaries.hourly'" in script
