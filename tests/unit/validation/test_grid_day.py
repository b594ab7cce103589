"""A day of grid rows: batch = live + what live called late, row by row, and a spoilt row is found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.reprocess.grid import largest_disorder_ms
from jobs.validation.explain import Reason
from jobs.validation.grid import GridDayReport, Place, Taken, validate_grids
from tests.support.grids import END, metric
from tests.support.shards import DictStore
from udfs.grid.clock import ClockRule
from udfs.grid.frame import unpack
from udfs.grid.gather import Gatherer
from udfs.grid.job import Done, GridJobShard, runs_of_frame
from udfs.grid.outputs import Outputs
from udfs.grid.rules import FeedRule, GridRule, GridRules, SameReading, SourceRule

SECOND, MINUTE = 1_000, 60_000
DAY = 1_700_006_400_000
METRICS = (
    metric("level", "linear", 25 * MINUTE, same_reading=SameReading(MINUTE, 0.5)),
    metric("rain", "mean", 20 * MINUTE),
    metric("state", "last", 30 * MINUTE),
)
GRID = GridRule(
    "ten", "station", 10 * MINUTE, 0, METRICS, max_wait_ms=12 * MINUTE, allowed_lateness_ms=15 * MINUTE,
    keep_ms=40 * MINUTE, pairs=(("a", "p"), ("b", "p")),
    feeds=(FeedRule("A", sensors=("a",)), FeedRule("B", sensors=("b",))),
)  # fmt: skip
SOURCE = SourceRule("s", "t")
RULES = GridRules((GRID,), (SOURCE,), ClockRule(), 1)
Script = list[int | list[bytes]]  # watermarks and batches of aligned records


def record(minute: float, value: float, name: str = "state", sensor: str = "a") -> bytes:
    time_ms = DAY + round(minute * MINUTE)
    fields = {
        "event_id": f"{sensor}-{name}-{time_ms}-{value}", "sensor_id": sensor, "metric": name, "value": value,
        "unit": "m", "event_time_ms": time_ms, "append_time_ms": time_ms, "lon_deg": 0.0, "lat_deg": 0.0,
    }  # fmt: skip
    return orjson.dumps(fields)


class Job:
    """The grid job without an engine: gather and one shard; what it has published, by the role of the topic."""

    def __init__(self) -> None:
        self.store, self.outputs = DictStore(), Outputs(RULES)
        self.shard = GridJobShard(RULES, self.store, self.outputs)
        self.published: dict[str, list[dict[str, Any]]] = {}
        self._gatherer = Gatherer(RULES, SOURCE)
        self._timers: set[int] = set()
        self._watermark_ms = -(2**63)
        self._offset = 0

    def play(self, script: Script) -> Job:
        for step in script:
            if isinstance(step, int):
                self._advance(DAY + step * MINUTE)
                continue
            for frame in self._frames(step):
                self._take(self.shard.add(self.store, unpack(frame), self._watermark_ms))
        return self

    def end(self) -> Job:
        self._advance(END)
        return self

    def _frames(self, values: list[bytes]) -> list[bytes]:
        offsets = range(self._offset, self._offset + len(values))
        self._offset += len(values)
        return [f for _, f in self._gatherer.gather(values, [0] * len(values), offsets, [0] * len(values))]

    def _advance(self, watermark_ms: int) -> None:
        while due := [t for t in self._timers if t <= watermark_ms]:
            self._timers.discard(min(due))
            self._take(self.shard.advance(self.store, max(min(due), self._watermark_ms)))
        self._watermark_ms = max(self._watermark_ms, watermark_ms)

    def _take(self, done: Done) -> None:
        self._timers |= done.timers_ms
        for sink, _, values in self.outputs.take():
            self.published.setdefault(sink, []).extend(map(orjson.loads, values))

    def read(self, role: str) -> Iterator[dict[str, Any]]:
        return iter(self.published.get(role, ()))


def records_of(script: Script) -> list[bytes]:
    return [value for step in script if isinstance(step, list) for value in step]


def validate(live: Job, values: list[bytes]) -> GridDayReport:
    batch = Job().play([values]).end()

    def readings(wanted: set[Place]) -> Iterable[Taken]:
        for frame in Job()._frames(values):
            columns = unpack(frame)
            for name, run in runs_of_frame(columns):
                for point, index in zip(run.points, run.indices, strict=True):
                    if (name, run.place) in wanted:
                        yield Taken((name, run.place), run.metrics, point, ("t", 0, columns.offset[index]))

    return validate_grids(live.read, batch.read, RULES, readings, "day", DAY)


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Batches of readings around an advancing watermark, some repeated by the other feed, some too late."""
    script: Script = []
    watermark = 0
    for _ in range(draw(st.integers(1, 15))):
        if draw(st.integers(0, 2)) == 0:
            watermark += draw(st.integers(1, 40))
            script.append(watermark)
            continue
        readings = st.builds(
            record, st.integers(max(0, watermark - 70), watermark + 40), st.sampled_from([1.0, 1.25, 3.0]),
            st.sampled_from(["level", "rain", "state"]), st.sampled_from("abq"),
        )  # fmt: skip
        script.append(draw(st.lists(readings, min_size=1, max_size=4)))
    return script


@settings(max_examples=150, deadline=None)
@given(scripts())
def test_every_difference_to_the_batch_run_is_explained_by_late_readings(script: Script) -> None:
    live = Job().play(script).end()
    report = validate(live, records_of(script))
    assert report.ok and report.rows(Reason.OPEN) == 0, report.differences
    if not live.published.get("late_grid") and not report.late_readings["ten"]:
        assert report.rows(Reason.LATE) == 0


LATE: Script = [
    [record(0, 1.0), record(12, 2.0), record(38, 3.0)], 55, [record(9, 5.0)], [record(19, 7.0)], 80, [record(5, 9.0)],
]  # fmt: skip


def test_late_and_partly_late_readings_explain_the_rows_that_lack_them() -> None:
    live = Job().play(LATE).end()
    assert [letter["event_time_ms"] for letter in live.published["late_grid"]] == [DAY + 5 * MINUTE]
    report = validate(live, records_of(LATE))
    details = {(d["reason"], (d["instant_ms"] - DAY) // MINUTE): d["detail"] for d in report.differences}
    assert details == {
        ("late", 10): "2 of 3 readings were late",  # of 00:09, which came when this row was closed, and of 00:05
        ("revised", 20): "",
        ("revised", 30): "",
    }
    assert report.late_readings == {"ten": 2} and report.ok


def test_rows_that_streaming_has_not_settled_are_open() -> None:
    live = Job().play([[record(0, 1.0)], 10])
    report = validate(live, [record(0, 1.0)])
    assert report.rows(Reason.OPEN) == 3 and report.rows(Reason.SAME) == 2 and report.ok


@pytest.mark.parametrize("spoil", ["removed", "doubled", "changed"])
def test_a_spoilt_row_is_a_defect_and_named(spoil: str) -> None:
    live = Job().play(LATE).end()
    rows = live.published["grid"]
    place = max(i for i, row in enumerate(rows) if row["instant_ms"] == DAY + 30 * MINUTE)
    if spoil == "removed":
        rows[:] = [row for row in rows if row["instant_ms"] != DAY + 30 * MINUTE]
    elif spoil == "doubled":
        rows.append(rows[place])
    else:
        rows[place] = orjson.loads(orjson.dumps(rows[place]).replace(b'"value":7.0', b'"value":6.0'))
    report = validate(live, records_of(LATE))
    expected = {"removed": Reason.LOST, "doubled": Reason.DOUBLED, "changed": Reason.OTHER}[spoil]
    assert not report.ok and report.rows(expected) == 1
    assert (report.differences[0]["reason"], report.differences[0]["instant_ms"]) == (expected, DAY + 30 * MINUTE)


def test_the_patience_of_a_batch_run_is_the_largest_disorder_within_a_partition() -> None:
    assert largest_disorder_ms([(0, 10, 10), (1, 900, 900), (0, 50, 50), (0, 20, 20), (1, 901, 901)]) == 30
    assert largest_disorder_ms([(0, 10, 10), (0, 11, 3)]) == 8
    assert largest_disorder_ms([]) == 0
