"""The plain loop of `meridian bench sql` passes its oracle, and each kind of fault is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pandas as pd
import pytest

from benchmarks.sql_plain import Summaries
from benchmarks.sql_statements import HOUR_MS, script
from benchmarks.sql_summaries import fold, judge
from benchmarks.workload import Record
from tests.unit.benchmarks.support import FakeMessage

START_MS = 1_790_000_000_000
READINGS = [
    {
        "sensor_id": f"s{number % 7}",
        "metric": "pm2_5",
        "unit": "ug/m3",
        "value": 40.0 + number * 37 % 101 / 10,
        "event_time_ms": START_MS + number * 11_000 - (7_200_000 if number % 50 == 0 else 0),
        "lon_deg": 8.0 + number % 7 / 10,
        "lat_deg": 50.0,
    }
    for number in range(3_000)
]


class _Kept:
    """Keeps what a producer would send."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def produce(self, _topic: str, value: bytes, _key: bytes) -> None:
        self.records.append(orjson.loads(value))


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    return fold(pd.DataFrame(READINGS))


def summaries(*, located: bool) -> list[dict[str, Any]]:
    kept = _Kept()
    loop = Summaries(kept, "summaries", [0], located=located)  # type: ignore[arg-type]
    for first in range(0, len(READINGS), 100):
        batch = [Record(orjson.dumps(reading), b"", 0, []) for reading in READINGS[first : first + 100]]
        loop.take([FakeMessage(record, 0, 0) for record in batch])  # type: ignore[misc]
    loop.close()
    return kept.records


@pytest.mark.parametrize("located", [False, True])
def test_the_plain_loop_is_right(truth: pd.DataFrame, located: bool) -> None:
    records = summaries(located=located)
    assert sum(record["count"] for record in records) == len(READINGS)
    assert judge(truth, pd.DataFrame(records), located=located) == {}


def _drop(records: list[dict[str, Any]]) -> None:
    records.pop()


def _double(records: list[dict[str, Any]]) -> None:
    records.append(records[0])


def _move(records: list[dict[str, Any]]) -> None:
    records[0]["window_start_ms"] += 100 * HOUR_MS


def _change(column: str) -> Callable[[list[dict[str, Any]]], None]:
    def change(records: list[dict[str, Any]]) -> None:
        records[0][column] += 1

    return change


@pytest.mark.parametrize(
    ("spoil", "problems"),
    [
        (_drop, {"missing": 1}),
        (_double, {"doubled": 1}),
        (_move, {"missing": 1, "unexpected": 1}),
        *((_change(column), {f"wrong {column}": 1}) for column in ("count", "mean", "min", "max", "std", "x", "y")),
    ],
)
def test_each_fault_is_found(
    truth: pd.DataFrame, spoil: Callable[[list[dict[str, Any]]], None], problems: dict[str, int]
) -> None:
    records = summaries(located=True)
    spoil(records)
    assert judge(truth, pd.DataFrame(records), located=True) == problems


def test_nothing_at_all_is_found(truth: pd.DataFrame) -> None:
    assert judge(truth, pd.DataFrame(), located=False) == {"missing": len(truth)}


def test_only_the_work_with_crs_calls_python() -> None:
    assert "TO_CRS" not in script("sql", "b:1", "aligned", "out", "name")
    assert "TO_CRS" in script("sql-crs", "b:1", "aligned", "out", "name", "-- functions\n")
