"""Savepoints of each version of the state that was released: today's code goes on exactly where they stopped.

    MERIDIAN_KEEP_SAVEPOINT=1 scripts/test faults tests/faults/test_released_state.py

also keeps a savepoint of today's version in `tests/fixtures/savepoints`; it is done once for each version.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.pipeline.operators import STATE_VERSION
from tests.integration.support import (
    ROOT,
    TOPICS,
    Record,
    Stack,
    committed,
    envelope,
    meridian,
    produce,
    running_job,
    wait_for,
    write_deployment,
)

SAVEPOINTS = ROOT / "tests" / "fixtures" / "savepoints"
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
DAY = int(dt.datetime(2026, 11, 1, tzinfo=dt.UTC).timestamp() * 1_000)
NAME = "released"
SENSORS = ("a", "b")


def at(hour: int, minute: int, second: int = 0) -> int:
    return DAY + hour * HOUR + minute * MINUTE + second * SECOND


def steady(start_ms: int, end_ms: int) -> list[Record]:
    return [envelope(sensor, ms) for ms in range(start_ms, end_ms, 10 * SECOND) for sensor in SENSORS]


BEFORE = steady(at(8, 0), at(8, 48, 10))
"""What the job that made the savepoint has read; its topic began with it."""
REPEATS = steady(at(8, 47), at(8, 48))
LATE = [envelope("a", at(8, 0, 5))]
AFTER = steady(at(8, 48, 10), at(9, 10))


def deployment(folder: Path, mode: str = "process") -> Path:
    stream = {
        "name": "weather", "metrics": ["air_temperature"], "unit": "degC", "max_age": "20000 d",
        "windows": [
            {"name": "5min", "size": "5 min"},
            {"name": "by-cell", "size": "15 min", "slide": "5 min", "key": "cell"},
        ],
    }  # fmt: skip
    return write_deployment(
        folder / "released.yaml",
        NAME,
        parallelism=1,
        execution_mode=mode,
        topics={topic: {"name": f"{NAME}.{topic}", "partitions": 1} for topic in TOPICS},
        time={"out_of_orderness": "30 s", "watermarks": "on-event"},
        cell={"scheme": "grid", "grid_m": 10_000},
        streams=[stream],
    )


def released() -> list[int]:
    return sorted(int(folder.name.removeprefix("state-")) for folder in SAVEPOINTS.glob("state-*"))


@pytest.fixture
def mode() -> str:
    return "process"


@pytest.fixture
def config(stack: Stack, tmp_path: Path, mode: str) -> Iterator[Path]:
    meridian("up")
    path = deployment(tmp_path, mode)
    yield path
    meridian("cancel", "--config", path, check=False)
    meridian("topics", "delete", "--config", path, "--yes", check=False)


def test_a_savepoint_of_this_version_can_be_kept(stack: Stack, config: Path) -> None:
    before = set((stack.folder / "savepoints").glob("savepoint-*"))
    with running_job(config):
        produce(stack, f"{NAME}.raw", BEFORE)
        wait_for(lambda: len(committed(stack, f"{NAME}.aligned")) == len(BEFORE), 120, "all are aligned")
        meridian("cancel", "--config", config, "--savepoint")
    [savepoint] = set((stack.folder / "savepoints").glob("savepoint-*")) - before
    if os.environ.get("MERIDIAN_KEEP_SAVEPOINT"):
        kept = SAVEPOINTS / f"state-{STATE_VERSION}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(savepoint, kept / savepoint.name)
        forget_machine(kept / savepoint.name / "_metadata", str(stack.folder).encode())
    shutil.rmtree(savepoint)


def forget_machine(metadata: Path, folder: bytes) -> None:
    """Of the folder only names are left, in texts of the same length, of state that lies in the metadata itself."""
    metadata.write_bytes(metadata.read_bytes().replace(folder, b"/".ljust(len(folder), b"x")))


@pytest.mark.parametrize("mode", ["process", "thread"])
@pytest.mark.parametrize("version", released())
def test_a_released_version_of_the_state_goes_on_exactly(version: int, stack: Stack, config: Path) -> None:
    [savepoint] = (SAVEPOINTS / f"state-{version}").iterdir()
    meridian("topics", "create", "--config", config)
    produce(stack, f"{NAME}.raw", BEFORE)
    # The topics are new ones: nothing is published twice, whatever savepoint an earlier test has made.
    meridian("submit", "--config", config, "--from-savepoint", savepoint, "--repeat", "--json")
    produce(stack, f"{NAME}.raw", REPEATS + LATE + AFTER)
    wait_for(lambda: len(rows(stack, "5min", at(9, 0))) == len(SENSORS), 120, "the last windows have closed")

    aligned = sorted(r["event_id"] for r in committed(stack, f"{NAME}.aligned"))
    assert aligned == sorted(json.loads(r.value or b"")["event_id"] for r in LATE + AFTER)
    repeats = [r for r in committed(stack, f"{NAME}.accounting") if r["class"] == "duplicate"]
    first = len(BEFORE) - len(SENSORS) - len(REPEATS)
    assert sorted(r["repeats_offset"] for r in repeats) == list(range(first, first + len(REPEATS)))
    assert {(r["definition"], r["event_time_ms"]) for r in committed(stack, f"{NAME}.late_events")} == {
        ("5min", at(8, 0, 5)), ("by-cell", at(8, 0, 5)),
    }  # fmt: skip
    assert [r["count"] for r in rows(stack, "5min", at(8, 45))] == [30, 30], "state and new readings together"
    assert [r["count"] for r in rows(stack, "by-cell", at(8, 40))] == [180]
    assert rows(stack, "5min", at(8, 35)) == [], "a window that the old job has published"


def rows(stack: Stack, definition: str, start_ms: int) -> list[dict[str, Any]]:
    return [
        row
        for row in committed(stack, f"{NAME}.windows")
        if (row["definition"], row["window_start_ms"]) == (definition, start_ms)
    ]
