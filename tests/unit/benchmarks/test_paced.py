"""The schedule of the paced sender: laws of an open loop."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paced import Schedule
from benchmarks.workload import Renderer, Workload

START_NS = 1_700_000_000_000_000_000

schedules = st.builds(
    Schedule, st.integers(1, 100_000), st.integers(1, 10_000), st.just(START_NS), st.integers(1, 1_000)
)


@given(schedules, st.integers(-1_000_000_000, 20_000_000_000))
def test_a_row_is_sent_exactly_when_it_is_due(schedule: Schedule, after_ns: int) -> None:
    now_ns = START_NS + after_ns
    due = schedule.due_by(now_ns)
    rows = np.arange(schedule.count, dtype=np.int64)
    assert due == int((schedule.due_ns(rows) <= now_ns).sum())


@given(schedules)
def test_the_rate_is_kept_to_the_end(schedule: Schedule) -> None:
    last_ns = int(schedule.due_ns(np.array([schedule.count - 1]))[0])
    assert last_ns - START_NS == (schedule.count - 1) * 1_000_000_000 // schedule.rate


@given(schedules)
def test_no_two_rows_have_one_event_id(schedule: Schedule) -> None:
    block = schedule.block(0, schedule.count, START_NS)
    assert len(set(block.origin.tolist())) == schedule.count


def test_a_late_sender_does_not_move_event_times() -> None:
    schedule = Schedule(1_000, 10_000, START_NS, 10)
    late_ns = START_NS + 5_000_000_000
    block = schedule.block(0, 1_000, late_ns)
    assert block.event_ms.tolist() == [START_NS // 1_000_000 + row for row in range(1_000)]
    assert set(block.ingest_ms.tolist()) == {late_ns // 1_000_000}


def test_blocks_are_rendered_as_readings_of_the_benchmark() -> None:
    schedule = Schedule(1_000, 50, START_NS, 10)
    renderer = Renderer(Workload("whole", 50, 0, sensors=10))
    records = list(renderer.render(schedule.block(0, 50, START_NS + 70_000_000)))
    bodies = [json.loads(record.value) for record in records]
    assert len({body["event_id"] for body in bodies}) == 50
    assert [body["event_time"] for body in bodies] == [START_NS // 1_000_000 + row for row in range(50)]
    assert all(
        ("event_timestamp", str(b["event_time"]).encode()) in r.headers for b, r in zip(bodies, records, strict=True)
    )
