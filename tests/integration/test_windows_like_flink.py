"""Our windows against Flink's own `.window().allowed_lateness().side_output_late_data()` on the real engine.

Both see the same elements and the same watermarks in one job (`windows_job.py`): what differs is a defect of ours.
Times are single milliseconds around windows of 7 and 8 ms, so most elements lie on or beside a boundary.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jobs.cli.project import flink_home
from jobs.cli.stack import load_endpoints
from jobs.cli.submit import run_flink
from tests.integration.support import Record, Stack, committed, create_topic, produce, wait_for
from tests.integration.windows_job import STREAMS

NO_WATERMARK = -(2**63)
END_MS = 10**12
SEEDS = (1, 2, 3)
DEFINITIONS = [(s.name, w.name) for s in STREAMS for w in s.windows]

Window = tuple[str, int, int]  # key, start, end


class Element(NamedTuple):
    """One line of a script; `watermark_ms` is announced after it."""

    seq: int
    time_ms: int
    sensor: str
    cell: str
    value: float
    frame_ends: bool
    watermark_ms: int | None


class Results(NamedTuple):
    """What one engine made of a script, by (stream, definition)."""

    rows: dict[tuple[str, str], dict[Window, tuple[float, ...]]]
    late: dict[tuple[str, str], list[int]]


def section(seed: int, start_ms: int, first_seq: int, number: int = 90) -> list[Element]:
    """Readings around an advancing watermark; a frame ends wherever the watermark moves, and here and there."""
    chance = random.Random(seed)
    watermark_ms, elements = start_ms, []
    for seq in range(first_seq, first_seq + number):
        moves = chance.random() < 0.3 or seq == first_seq
        step_ms = chance.choice((1, 1, 2, 3, 5, 9, 30)) if seq > first_seq else 0
        time_ms = watermark_ms + chance.randint(-24, 12)
        watermark_ms += step_ms if moves else 0
        elements.append(
            Element(
                seq,
                time_ms,
                chance.choice("ab"),
                chance.choice("xy"),
                chance.uniform(-50, 50),
                moves or chance.random() < 0.3,
                watermark_ms if moves else None,
            )
        )
    return elements


def whole_script() -> list[Element]:
    """All seeds one after the other, the first in negative time; at the end all windows close."""
    elements: list[Element] = []
    for number, seed in enumerate(SEEDS):
        elements += section(seed, -500 + number * 1_000, len(elements))
    return [*elements, Element(len(elements), END_MS, "z", "z", 0.0, True, END_MS)]


class WindowsJob:
    """The job on its topics; it is stopped with a savepoint, so that all that it has read is also written."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._stack = stack
        self._elements = create_topic(stack, f"{name}.elements")
        self._results = create_topic(stack, f"{name}.results")
        self._job_id = ""
        self._savepoint: str | None = None

    def run(self, elements: Sequence[Element]) -> None:
        """Start, from the last savepoint if there is one, read the elements, stop."""
        job = Path(__file__).with_name("windows_job.py")
        restore = ["--fromSavepoint", self._savepoint] if self._savepoint else []
        command = [
            str(flink_home() / "bin" / "flink"), "run", "--detached", *restore, "--parallelism", "1",
            "-Dpython.fn-execution.bundle.size=1", "-Dpipeline.operator-chaining.enabled=true",
            "--python", str(job),
            "--bootstrap-servers", self._stack.bootstrap_servers,
            "--elements", self._elements, "--results", self._results,
        ]  # fmt: skip
        produce(self._stack, self._elements, [Record(json.dumps(e._asdict()).encode()) for e in elements])
        self._job_id = run_flink(load_endpoints(self._stack.folder), command)
        wait_for(lambda: elements[-1].seq in self.watermarks(), 120, f"element {elements[-1].seq} has been read")
        folder = (self._stack.folder / "savepoints").as_uri()
        self._savepoint = self._stack.rest.stop(self._job_id, folder, 60)

    def watermarks(self) -> dict[int, int]:
        """The watermark that each element met."""
        return {r["seq"]: r["watermark_ms"] for r in committed(self._stack, self._results) if r["engine"] == "echo"}

    def results(self) -> dict[str, Results]:
        found = {engine: Results({}, {}) for engine in ("echo", "flink", "single", "framed")}
        for record in committed(self._stack, self._results):
            assert "unexpected" not in record, record
            rows, late = found[record["engine"]]
            of = (record.get("stream"), record.get("definition"))
            if "late" in record:
                late.setdefault(of, []).append(record["late"])
            elif record["engine"] != "echo":
                window = (record["key"], record["start_ms"], record["end_ms"])
                # The last one stands: it is the final row.
                rows.setdefault(of, {})[window] = tuple(record[name] for name in ("count", "mean", "min", "max"))
        return found

    def cancel(self) -> None:
        if self._job_id and self._stack.rest.state(self._job_id) == "RUNNING":
            self._stack.rest.cancel(self._job_id)


@pytest.fixture(scope="module")
def whole(stack: Stack) -> Iterator[WindowsJob]:
    """All seeds in one uninterrupted run."""
    job = WindowsJob(stack, "windows-whole")
    try:
        job.run(whole_script())
        yield job
    finally:
        job.cancel()


@pytest.fixture(scope="module")
def whole_results(whole: WindowsJob) -> dict[str, Results]:
    return whole.results()


def test_the_engine_sees_the_scripted_watermarks_element_by_element(whole: WindowsJob) -> None:
    expected, watermark_ms = {}, NO_WATERMARK
    for element in whole_script():
        expected[element.seq] = watermark_ms
        watermark_ms = watermark_ms if element.watermark_ms is None else element.watermark_ms
    assert whole.watermarks() == expected


@pytest.mark.parametrize("engine", ["single", "framed"])
@pytest.mark.parametrize("of", DEFINITIONS, ids="/".join)
def test_windows_and_late_readings_are_those_of_flink(
    engine: str, of: tuple[str, str], whole_results: dict[str, Results]
) -> None:
    ours, flink = whole_results[engine], whole_results["flink"]
    assert sorted(ours.late[of]) == sorted(flink.late[of])
    assert_rows_equal(ours.rows[of], flink.rows[of])
    assert len(flink.rows[of]) > 30 and len(flink.late[of]) > 10, "a lifeless script"


def assert_rows_equal(ours: dict[Window, Any], flinks: dict[Window, Any]) -> None:
    assert ours.keys() == flinks.keys()
    for window, row in flinks.items():
        assert ours[window] == pytest.approx(row, rel=1e-12, abs=1e-12), window
