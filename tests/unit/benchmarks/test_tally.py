"""The tally finds what is lost, doubled or wrong, and nothing in a faithful run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from benchmarks.settings import WINDOWS
from benchmarks.tally import Tally, expect, see_aligned
from benchmarks.verdict import Verdict
from benchmarks.workload import Workload
from tests.unit.benchmarks.support import TOPICS, Outputs, plain_loop_of, topic_of, truth_of

WHOLE = Workload("whole", count=40_000, start_ms=1_790_000_000_000, sensors=40)
Records = list[dict[str, Any]]


@pytest.fixture(scope="module")
def published() -> dict[str, Records]:
    """The plain loop's topics, as a job with an accounting topic leaves them: no window that is not due."""
    messages = topic_of(WHOLE)
    outputs: Outputs = plain_loop_of(messages, "whole")
    topics = {name: [orjson.loads(value) for value in values] for name, values in outputs.items()}
    truth = truth_of(messages)
    duplicates = truth.rows[truth.rows["fate"] == 1]
    topics[TOPICS.accounting] = [
        {"class": "duplicate", "partition": int(row.partition), "offset": int(row.offset)}
        for row in duplicates.itertuples()
    ]
    watermark_ms = expect(WHOLE, WINDOWS["whole"]).watermark_ms
    topics[TOPICS.windows] = [w for w in topics[TOPICS.windows] if w["window_end_ms"] - 1 <= watermark_ms]
    return topics


def judge(published: dict[str, Records], workload: Workload = WHOLE) -> Verdict:
    values = {name: [orjson.dumps(record) for record in records] for name, records in published.items()}
    expected = expect(workload, WINDOWS["whole"])
    tally = Tally(expected, WINDOWS["whole"])
    tally.add_late(values[TOPICS.late])
    tally.add_windows(values[TOPICS.windows])
    tally.add_invalid(values[TOPICS.invalid])
    tally.add_accounting(values[TOPICS.accounting])
    tally.add_aligned(see_aligned([values[TOPICS.aligned]], expected.ends))
    return tally.verdict()


def test_a_faithful_run_has_no_problems(published: dict[str, Records]) -> None:
    verdict = judge(published)
    assert verdict.problems == {}
    figures = verdict.figures
    assert figures["aligned"] + figures["duplicate"] + figures["invalid"] == figures["raw"] == WHOLE.count
    assert figures["late 5min"] > 0
    assert figures["windows 15min"] > 0


@pytest.mark.parametrize(
    ("topic", "change", "problem"),
    [
        (TOPICS.aligned, lambda records: records[1:], "lost"),
        (TOPICS.aligned, lambda records: [*records, records[7]], "doubled"),
        (TOPICS.aligned, lambda records: [*records, records[0] | {"offset": 10**6}], "aligned_of_nothing"),
        (TOPICS.invalid, lambda records: records[1:], "lost"),
        (TOPICS.accounting, lambda records: records[1:], "lost"),
        (TOPICS.late, lambda records: [*records, records[0]], "late_doubled 5min"),
        (TOPICS.late, lambda records: records[1:], "windows_missing 5min"),
        (TOPICS.windows, lambda records: records[1:], "windows_missing 5min"),
        (TOPICS.windows, lambda records: [records[0] | {"count": 1}, *records[1:]], "windows_wrong 5min"),
        (TOPICS.windows, lambda records: [*records, records[0]], "windows_doubled 5min"),
    ],
)
def test_a_fault_is_found(
    published: dict[str, Records], topic: str, change: Callable[[Records], Records], problem: str
) -> None:
    verdict = judge(published | {topic: change(published[topic])})
    assert problem in verdict.problems


def test_a_reading_in_the_wrong_class_is_found(published: dict[str, Records]) -> None:
    moved, *rest = published[TOPICS.invalid]
    aligned = {"partition": moved["partition"], "offset": moved["offset"], "event_time_ms": WHOLE.start_ms}
    changed = {TOPICS.invalid: rest, TOPICS.aligned: [*published[TOPICS.aligned], aligned]}
    assert judge(published | changed).problems == {"wrongly_aligned": 1}


def test_a_repeat_beyond_the_dedup_horizon_may_be_aligned(published: dict[str, Records]) -> None:
    repeat, *rest = published[TOPICS.accounting]
    expected = expect(WHOLE, WINDOWS["whole"])
    # Of an open window, so that no window result changes.
    aligned = {"partition": repeat["partition"], "offset": repeat["offset"], "event_time_ms": expected.watermark_ms + 1}
    changed = {TOPICS.accounting: rest, TOPICS.aligned: [*published[TOPICS.aligned], aligned]}
    assert judge(published | changed).problems == {"wrongly_aligned": 1}
    aligned["beyond_dedup_horizon"] = True
    assert judge(published | changed).problems == {}


def test_windows_by_place_are_compared_as_a_whole() -> None:
    workload = replace(WHOLE, late_share=0.0)
    definition = WINDOWS["whole"][0]
    expected = expect(workload, [definition])
    result = {"definition": "5min", "metric": "pm2_5", "revision": 1}
    due = [
        i
        for i in range(len(expected.readings))
        if expected.first_pane_ms + (i + 1) * 300_000 - 1 <= expected.watermark_ms
    ]
    results = [
        result | {"key": place, "window_start_ms": expected.first_pane_ms + i * 300_000, "count": count}
        for i in due
        for place, count in (("a", 100), ("b", int(expected.readings[i].sum()) - 100))
    ]

    def problems(results: Records) -> set[str]:
        tally = Tally(expect(workload, [definition]), (), [definition])
        tally.add_windows([orjson.dumps(r) for r in results])
        return {name for name in tally.verdict().problems if name.startswith("windows")}

    assert problems(results) == set()
    assert problems(results[1:]) == {"windows_wrong 5min"}
