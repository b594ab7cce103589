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
from jobs.cli.submit import flink_client
from jobs.cluster.rest import TERMINAL_STATES
from tests.integration.support import Record, Stack, committed, create_topic, produce, wait_for
from tests.integration.windows_job import STREAMS
from udfs.pane import windows_of

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


class Script:
    """Elements in three parts, between which the restored job is stopped."""

    def __init__(self) -> None:
        self.parts: list[list[Element]] = [[]]
        self.unannounced: list[Element] = []
        self._watermark_ms = -500  # the first part is in negative time

    @property
    def elements(self) -> list[Element]:
        return [element for part in self.parts for element in part]

    def add(
        self, ahead_ms: int, sensor: str, cell: str, value: float, frame_ends: bool, step_ms: int | None
    ) -> Element:
        """A reading so far ahead of the watermark, which then moves by a step (0: is announced again)."""
        time_ms = self._watermark_ms + ahead_ms
        self._watermark_ms += step_ms or 0
        announced_ms = None if step_ms is None else self._watermark_ms
        element = Element(len(self.elements), time_ms, sensor, cell, value, frame_ends, announced_ms)
        self.parts[-1].append(element)
        return element

    def wander(self, seed: int, number: int = 60) -> None:
        """Readings around an advancing watermark; a frame ends wherever the watermark moves, and here and there."""
        chance = random.Random(seed)
        for _ in range(number):
            step_ms = chance.choice((1, 1, 2, 3, 5, 9, 30)) if chance.random() < 0.3 else None
            self.add(
                chance.randint(-18, 12),
                chance.choice("ab"),
                chance.choice("xy"),
                chance.uniform(-50, 50),
                step_ms is not None or chance.random() < 0.3,
                step_ms,
            )

    def cut(self) -> None:
        """Stop here; the last reading before is in time, so that state knows the watermark."""
        self.add(10, "a", "x", 1.0, True, None)
        self.parts.append([])


def whole_script() -> Script:
    """All seeds one after the other; at the end all windows close."""
    script = Script()
    script.add(0, "a", "x", 0.0, True, 0)
    script.wander(SEEDS[0])
    script.cut()
    script.add(10, "b", "y", 2.0, True, 0)  # the first thing after this restore is the watermark
    script.wander(SEEDS[1])
    script.cut()
    # After this one, readings of all ages come first: Flink has no watermark then.
    for ahead_ms in (-25, -12, -7, -3, -1, 0, 1, 4, 9):
        for sensor in "ac":
            script.unannounced.append(script.add(ahead_ms, sensor, "x", float(ahead_ms), sensor == "c", None))
    script.add(10, "b", "y", 3.0, True, 0)
    script.wander(SEEDS[2])
    script.add(END_MS, "z", "z", 0.0, True, END_MS)
    return script


SCRIPT = whole_script()


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
            "-Dpython.fn-execution.bundle.size=1",
            "--python", str(job),
            "--bootstrap-servers", self._stack.bootstrap_servers,
            "--elements", self._elements, "--results", self._results,
        ]  # fmt: skip
        produce(self._stack, self._elements, [Record(json.dumps(e._asdict()).encode()) for e in elements])
        self._job_id = flink_client(load_endpoints(self._stack.folder)).run(command)
        wait_for(lambda: elements[-1].seq in self.watermarks(), 120, f"element {elements[-1].seq} has been read")
        folder = (self._stack.folder / "savepoints").as_uri()
        self._savepoint = self._stack.rest.stop(self._job_id, folder, 60)

    def records(self, engine: str) -> list[dict[str, Any]]:
        return [record for record in committed(self._stack, self._results) if record["engine"] == engine]

    def watermarks(self) -> dict[int, int]:
        """The watermark that each element met."""
        return {record["seq"]: record["watermark_ms"] for record in self.records("echo")}

    def results(self) -> dict[str, Results]:
        return {engine: _results(self.records(engine)) for engine in ("flink", "single", "framed")}

    def cancel(self) -> None:
        if self._job_id and self._stack.rest.state(self._job_id) not in TERMINAL_STATES:
            self._stack.rest.cancel(self._job_id)


def _results(records: Sequence[dict[str, Any]]) -> Results:
    found = Results({}, {})
    for record in records:
        assert "unexpected" not in record, record
        of = (record["stream"], record["definition"])
        if "late" in record:
            found.late.setdefault(of, []).append(record["late"])
        else:
            window = (record["key"], record["start_ms"], record["end_ms"])
            # The last one stands: it is the final row.
            found.rows.setdefault(of, {})[window] = tuple(record[name] for name in ("count", "mean", "min", "max"))
    return found


@pytest.fixture(scope="module")
def whole(stack: Stack) -> Iterator[WindowsJob]:
    """All seeds in one uninterrupted run."""
    job = WindowsJob(stack, "windows-whole")
    try:
        job.run(SCRIPT.elements)
        yield job
    finally:
        job.cancel()


@pytest.fixture(scope="module")
def restored(stack: Stack) -> Iterator[WindowsJob]:
    """The same elements, with a stop and a restore from the savepoint between the parts."""
    job = WindowsJob(stack, "windows-restored")
    try:
        for part in SCRIPT.parts:
            job.run(part)
        yield job
    finally:
        job.cancel()


@pytest.fixture(scope="module")
def whole_results(whole: WindowsJob) -> dict[str, Results]:
    return whole.results()


@pytest.fixture(scope="module")
def restored_results(restored: WindowsJob) -> dict[str, Results]:
    return restored.results()


def test_the_engine_sees_the_scripted_watermarks_element_by_element(whole: WindowsJob) -> None:
    expected, watermark_ms = {}, NO_WATERMARK
    for element in SCRIPT.elements:
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


@pytest.mark.parametrize("engine", ["single", "framed"])
def test_revisions_of_a_window_increase(engine: str, whole: WindowsJob, restored: WindowsJob) -> None:
    for job in (whole, restored):
        revisions: dict[tuple[str, ...], list[int]] = {}
        for record in job.records(engine):
            if "revision" in record:
                of = tuple(str(record[name]) for name in ("stream", "definition", "key", "start_ms", "end_ms"))
                revisions.setdefault(of, []).append(record["revision"])
        assert all(found == sorted(set(found)) and found[0] == 1 for found in revisions.values())


def test_flink_forgets_its_watermark_in_a_restore(restored: WindowsJob, whole: WindowsJob) -> None:
    """So the restored runs below can only be compared with Flink's uninterrupted one."""
    lost = {element.seq for element in SCRIPT.unannounced}
    lost |= {part[0].seq for part in SCRIPT.parts}  # also the element that announces the watermark again
    lost.add(SCRIPT.unannounced[-1].seq + 1)
    expected = {seq: NO_WATERMARK if seq in lost else met_ms for seq, met_ms in whole.watermarks().items()}
    assert restored.watermarks() == expected


@pytest.mark.parametrize("engine", ["single", "framed"])
@pytest.mark.parametrize("of", DEFINITIONS, ids="/".join)
def test_after_a_restore_our_windows_are_those_of_a_flink_that_kept_its_watermark(
    engine: str, of: tuple[str, str], whole_results: dict[str, Results], restored_results: dict[str, Results]
) -> None:
    """Rows and late readings alike, also of the readings that came before the watermark was announced again."""
    ours, flink = restored_results[engine], whole_results["flink"]
    assert sorted(ours.late[of]) == sorted(flink.late[of])
    assert_rows_equal(ours.rows[of], flink.rows[of])


@pytest.mark.parametrize("of", DEFINITIONS, ids="/".join)
def test_flink_itself_reopens_windows_after_a_restore_and_differs_in_nothing_else(
    of: tuple[str, str], whole_results: dict[str, Results], restored_results: dict[str, Results]
) -> None:
    """What our kept watermark is for: these readings were late, and now overwrite the final rows of closed windows."""
    before, after = whole_results["flink"], restored_results["flink"]
    taken = {element.seq for element in SCRIPT.unannounced} & set(before.late[of])
    assert taken
    assert sorted(after.late[of]) == sorted(set(before.late[of]) - taken)
    window = next(w for s in STREAMS for w in s.windows if (s.name, w.name) == of)
    reopened = {
        (element.sensor if window.key == "sensor" else element.cell, start_ms, end_ms)
        for element in SCRIPT.unannounced
        for start_ms, end_ms in windows_of(element.time_ms, window.size_ms, window.slide_ms, window.offset_ms)
    }
    untouched = before.rows[of].keys() - reopened
    assert after.rows[of].keys() - reopened == untouched
    assert_rows_equal({w: after.rows[of][w] for w in untouched}, {w: before.rows[of][w] for w in untouched})


def assert_rows_equal(ours: dict[Window, Any], flinks: dict[Window, Any]) -> None:
    assert ours.keys() == flinks.keys()
    for window, row in flinks.items():
        assert ours[window] == pytest.approx(row, rel=1e-12, abs=1e-12), window
