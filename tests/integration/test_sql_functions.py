"""Every function of `sql/02_functions.sql`, called by the stock SQL client on the real cluster."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jobs.cli.project import flink_home
from jobs.cli.stack import flink_client_env, load_endpoints
from tests.integration.support import ROOT, Record, Stack, committed, create_topic, produce
from udfs.crs import Locator
from udfs.rules import PositionRule

pytestmark = pytest.mark.extended

FUNCTIONS = ROOT / "sql" / "02_functions.sql"
POSITIONS: list[dict[str, Any]] = [
    {"n": 1, "x": -2.1, "y": 57.15, "crs": "EPSG:4326"},
    {"n": 2, "x": 400_000.0, "y": 800_000.0, "crs": "EPSG:27700"},
    {"n": 3, "x": 10.9, "y": 59.9, "crs": "OGC:CRS84"},
    {"n": 4, "x": 179.9, "y": -16.8, "crs": "EPSG:4326"},
    {"n": 5, "x": 0.5, "y": 50.5, "crs": "EPSG:99999"},
    {"n": 6, "x": None, "y": 1.0, "crs": "EPSG:4326"},
    {"n": 7, "x": 200.0, "y": 1.0, "crs": "EPSG:4326"},
    {"n": 8, "x": 1.0, "y": 50.0, "crs": None},
]
TABLE = """
SET 'table.local-time-zone' = 'UTC';
SET 'table.dml-sync' = 'true';
SET 'restart-strategy.type' = 'none';
CREATE TEMPORARY TABLE positions (n INT, x DOUBLE, y DOUBLE, crs STRING) WITH (
    'connector' = 'kafka', 'properties.bootstrap.servers' = '{brokers}', 'topic' = 'test.positions',
    'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'value.format' = 'json'
);
"""
# One statement a line: the client takes no second one.
TABLEAU = "SET 'sql-client.execution.result-mode' = 'tableau';\nSET 'execution.runtime-mode' = 'batch';\n"


def run_client(stack: Stack, folder: Path, statements: str) -> str:
    """What the client prints; its exit code is 0 whatever happens."""
    script = folder / "script.sql"
    script.write_text(TABLE.format(brokers=stack.bootstrap_servers) + statements)
    functions = Path(shutil.copy(FUNCTIONS, folder))  # the client finds no file in a folder whose name has a space
    client = [str(flink_home() / "bin" / "sql-client.sh"), "-i", functions.as_uri(), "-f", script.as_uri()]
    environment = flink_client_env(load_endpoints())
    done = subprocess.run(client, env=environment, capture_output=True, text=True, timeout=600, check=False)
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def positions(stack: Stack) -> None:
    create_topic(stack, "test.positions", 1)
    produce(stack, "test.positions", [Record(json.dumps(position).encode()) for position in POSITIONS])


def select(stack: Stack, folder: Path, topic: str, columns: str, query: str) -> dict[int, dict[str, Any]]:
    """Rows of a query by their first column, `n`; the query goes into a topic and comes back as JSON."""
    create_topic(stack, topic, 1)
    output = run_client(
        stack,
        folder,
        f"""
        CREATE TEMPORARY TABLE answers (n INT, {columns}) WITH (
            'connector' = 'kafka', 'properties.bootstrap.servers' = '{stack.bootstrap_servers}', 'topic' = '{topic}',
            'value.format' = 'json');
        INSERT INTO answers {query};
        """,
    )
    assert "ERROR" not in output, output[-3_000:]
    return {row["n"]: row for row in committed(stack, topic)}


def test_every_function_answers_and_bad_rows_are_null(stack: Stack, tmp_path: Path) -> None:
    rows = select(
        stack,
        tmp_path,
        "test.answers",
        "x DOUBLE, y DOUBLE, accuracy_m DOUBLE, grid STRING, h3 STRING, metres DOUBLE, station STRING,"
        " distance_m DOUBLE, watershed STRING",
        "SELECT n, TO_CRS(x, y, crs, 'EPSG:3035').x, TO_CRS(x, y, crs, 'EPSG:3035').y,"
        " CRS_ACCURACY(crs, 'EPSG:3035', x, y), CELL(x, y, 'grid:10000'), CELL(x, y, 'h3:7'),"
        " GREAT_CIRCLE_M(x, y, 0, 52.5), NEAREST_STATION(x, y).station, NEAREST_STATION(x, y).distance_m,"
        " WATERSHED(x, y) FROM positions",
    )
    assert sorted(rows) == [position["n"] for position in POSITIONS]

    locator = Locator(PositionRule(target_crs="EPSG:3035"), lambda *_: "")
    for position in POSITIONS[:3]:
        place = locator.locate_many([(position["crs"], position["x"], position["y"], "")])[0]
        row = rows[position["n"]]
        assert (row["x"], row["y"], row["accuracy_m"]) == (place.x, place.y, place.accuracy_m)
    assert all(rows[n][name] is None for n in (5, 6, 7, 8) for name in ("x", "y", "accuracy_m"))

    assert [rows[n]["grid"] for n in (1, 2, 6)] == ["g10000:E-1:N0", "g10000:E40:N80", None]
    assert [rows[n]["h3"] for n in (1, 2, 6)] == ["871976bb6ffffff", None, None]
    assert rows[1]["metres"] == pytest.approx(534_878.597, abs=1e-3) and rows[2]["metres"] is None
    assert [rows[n]["station"] for n in (1, 2, 3, 4)] == ["Dyce", None, "Oslo", "Taveuni"]
    assert rows[4]["distance_m"] == pytest.approx(10_164.809, abs=1e-3)
    assert [rows[n]["watershed"] for n in (1, 2, 3, 4, 5)] == ["Dee", None, "Glomma", "Somosomo", None]


def test_layers_come_from_job_parameters(stack: Stack, tmp_path: Path) -> None:
    layer = (ROOT / "udfs" / "layers" / "watersheds.geojson").read_text().replace('"Dee"', '"Dee above Aberdeen"')
    (tmp_path / "mine.geojson").write_text(layer)
    setting = f"SET 'pipeline.global-job-parameters' = 'meridian.layers.watersheds:{tmp_path}/mine.geojson';\n"
    output = run_client(
        stack,
        tmp_path,
        f"{TABLEAU}{setting}SELECT WATERSHED(x, y) AS answer FROM positions WHERE n = 1;",
    )
    assert "Dee above Aberdeen" in output, output[-3_000:]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("TO_CRS(x, y, crs, 'EPSG:99999').x", "TO_CRS: 'EPSG:99999' is no CRS"),
        ("CELL(x, y, 'quad:3')", "CELL: 'quad:3' is no cell scheme"),
        ("TO_CRS(x, y, crs).x", r"TO_CRS\(arg0 => DOUBLE, arg1 => DOUBLE, arg2 => STRING, arg3 => STRING\)"),
    ],
)
def test_a_statement_that_can_never_answer_ends_with_the_reason(
    stack: Stack, tmp_path: Path, query: str, message: str
) -> None:
    output = run_client(stack, tmp_path, f"{TABLEAU}SELECT {query} FROM positions;")
    assert "[ERROR]" in output and re.search(message, output), output[-3_000:]
