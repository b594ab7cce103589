"""The oracle passes what is right and finds each kind of fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from benchmarks.settings import Work
from benchmarks.truth import Truth
from benchmarks.workload import Workload
from tests.unit.benchmarks.support import (
    TOPICS,
    FakeMessage,
    Outputs,
    plain_loop_of,
    topic_of,
    truth_of,
    verdict_of,
)

START_MS = 1_790_000_000_000
RUNS: dict[Work, Workload] = {
    "whole": Workload("whole", count=12_000, start_ms=START_MS, sensors=40, step_ms=4_000),
    "windows": Workload("windows", count=12_000, start_ms=START_MS, sensors=40, step_ms=4_000),
}

Parsed = list[dict[str, Any]]


@pytest.fixture(scope="module")
def messages() -> dict[Work, list[FakeMessage]]:
    return {work: topic_of(run) for work, run in RUNS.items()}


@pytest.fixture(scope="module")
def truths(messages: dict[Work, list[FakeMessage]]) -> dict[Work, Truth]:
    return {work: truth_of(topic) for work, topic in messages.items()}


@pytest.fixture(scope="module")
def outputs(messages: dict[Work, list[FakeMessage]]) -> dict[Work, Outputs]:
    return {work: plain_loop_of(topic, work) for work, topic in messages.items()}


@pytest.mark.parametrize("work", ["windows", "whole"])
def test_the_plain_loop_is_correct(work: Work, truths: dict[Work, Truth], outputs: dict[Work, Outputs]) -> None:
    verdict = verdict_of(truths[work], outputs[work], work)
    assert verdict.correct, verdict.samples
    figures = verdict.figures
    assert figures["aligned"] + figures["duplicate"] + figures["invalid"] == 12_000
    assert figures["late 5min"] > 30
    assert figures["windows 5min"] > 40 * 4


def drop(records: Parsed) -> None:
    del records[len(records) // 2]


def double(records: Parsed) -> None:
    records.append(records[len(records) // 2])


def change(name: str, by: float) -> Callable[[Parsed], None]:
    def spoil(records: Parsed) -> None:
        records[len(records) // 2][name] += by

    return spoil


def put(name: str, value: Any) -> Callable[[Parsed], None]:
    def spoil(records: Parsed) -> None:
        records[len(records) // 2][name] = value

    return spoil


FAULTS: list[tuple[str, Callable[[Parsed], None], set[str]]] = [
    ("aligned", drop, {"aligned_missing"}),
    ("aligned", double, {"aligned_doubled"}),
    ("aligned", change("value", 0.001), {"aligned_wrong"}),
    ("aligned", change("x", 0.5), {"aligned_wrong"}),
    ("aligned", change("lat_deg", 1e-5), {"aligned_wrong"}),
    ("aligned", change("event_time_ms", 1), {"aligned_wrong"}),
    ("aligned", put("cell", "g10000:E0:N0"), {"aligned_wrong"}),
    ("aligned", put("sensor_id", "s999999"), {"aligned_wrong"}),
    ("aligned", put("offset", 10**6), {"aligned_missing", "aligned_of_nothing"}),
    ("invalid", drop, {"invalid_missing"}),
    ("invalid", double, {"invalid_doubled"}),
    ("invalid", put("reason", "tombstone"), {"invalid_for_another_reason"}),
    ("windows", drop, {"windows_missing"}),
    ("windows", double, {"windows_doubled"}),
    ("windows", change("count", 1), {"windows_wrong"}),
    ("windows", change("mean", 1e-4), {"windows_wrong"}),
    ("windows", change("min", -1e-4), {"windows_wrong"}),
    ("windows", change("max", 1e-4), {"windows_wrong"}),
    ("windows", change("std", 1e-3), {"windows_wrong"}),
    ("windows", put("key", "s999999"), {"windows_missing", "windows_unexpected"}),
    ("windows", change("window_end_ms", 1), {"windows_missing", "windows_of_no_definition"}),
    ("late", double, {"late_doubled"}),
    ("late", put("offset", 10**6), {"in_time_but_late", "late_of_nothing", "windows_missing", "windows_wrong"}),
    ("late", drop, {"in_time_but_late", "windows_missing", "windows_wrong"}),
]


@pytest.mark.parametrize(("topic", "spoil", "problems"), FAULTS)
def test_a_fault_is_found_and_named(
    topic: str,
    spoil: Callable[[Parsed], None],
    problems: set[str],
    truths: dict[Work, Truth],
    outputs: dict[Work, Outputs],
) -> None:
    name = getattr(TOPICS, topic)
    records = [orjson.loads(value) for value in outputs["whole"][name]]
    spoil(records)
    verdict = verdict_of(truths["whole"], {**outputs["whole"], name: [orjson.dumps(r) for r in records]}, "whole")
    found = {problem.split()[0] for problem in verdict.problems}
    # A late reading that is not reported is missed in one of these ways, by what else is in its window.
    assert found == problems or ("in_time_but_late" in problems and found < problems and "in_time_but_late" in found)
    assert verdict.samples


def test_what_is_published_of_a_duplicate_is_found(
    messages: dict[Work, list[FakeMessage]], truths: dict[Work, Truth], outputs: dict[Work, Outputs]
) -> None:
    rows = truths["whole"].rows
    repeated = rows[rows["fate"] == 1].iloc[0]
    record = orjson.loads(outputs["whole"][TOPICS.aligned][0])
    record |= {"partition": int(repeated["partition"]), "offset": int(repeated["offset"])}
    aligned = [*outputs["whole"][TOPICS.aligned], orjson.dumps(record)]
    verdict = verdict_of(truths["whole"], {**outputs["whole"], TOPICS.aligned: aligned}, "whole")
    assert set(verdict.problems) == {"aligned_unexpected"}


def test_a_reading_in_time_must_not_be_late(truths: dict[Work, Truth], outputs: dict[Work, Outputs]) -> None:
    """Even a variant whose windows agree with its late topic is wrong when it calls too much late."""
    rows = truths["windows"].rows
    window = orjson.loads(outputs["windows"][TOPICS.windows][-1])
    series = truths["windows"].series[window["key"], window["metric"]]
    inside = rows["claimed_ms"].between(window["window_start_ms"], window["window_end_ms"] - 1)
    members = rows[(rows["series"] == series) & inside]
    late = [{"partition": int(r.partition), "offset": int(r.offset)} for r in members.itertuples()]
    published = {
        TOPICS.windows: outputs["windows"][TOPICS.windows][:-1],
        TOPICS.late: [*outputs["windows"][TOPICS.late], *map(orjson.dumps, late)],
    }
    verdict = verdict_of(truths["windows"], published, "windows")
    assert verdict.problems == {"late_but_in_time 5min": len(members)}


def test_late_readings_may_be_named_by_their_event_ids(truths: dict[Work, Truth], outputs: dict[Work, Outputs]) -> None:
    late = [orjson.loads(value) for value in outputs["windows"][TOPICS.late]]
    by_id = [orjson.dumps({name: r[name] for name in ("sensor_id", "event_id")}) for r in late]
    verdict = verdict_of(truths["windows"], {**outputs["windows"], TOPICS.late: by_id}, "windows")
    assert verdict.correct, verdict.samples


def test_duplicates_are_checked_where_they_are_reported(
    truths: dict[Work, Truth], outputs: dict[Work, Outputs]
) -> None:
    rows = truths["whole"].rows
    first = rows[rows["fate"] == 0].drop_duplicates("id_digest").set_index("id_digest")
    reports = []
    for row in rows[rows["fate"] == 1].itertuples():
        original = first.loc[row.id_digest]
        reports.append(
            {
                "class": "duplicate",
                "partition": row.partition,
                "offset": row.offset,
                "repeats_partition": int(original["partition"]),
                "repeats_offset": int(original["offset"]),
            }
        )
    right = [orjson.dumps(report) for report in reports]
    assert verdict_of(truths["whole"], {**outputs["whole"], TOPICS.accounting: right}, "whole").correct
    missing = verdict_of(truths["whole"], {**outputs["whole"], TOPICS.accounting: right[1:]}, "whole")
    assert missing.problems == {"duplicates_missing": 1}
    reports[0]["repeats_offset"] += 1
    wrong = [orjson.dumps(report) for report in reports]
    verdict = verdict_of(truths["whole"], {**outputs["whole"], TOPICS.accounting: wrong}, "whole")
    assert verdict.problems == {"duplicates_of_nothing": 1}


def test_windows_that_are_not_due_may_be_left_out_but_not_wrong(
    truths: dict[Work, Truth], outputs: dict[Work, Outputs]
) -> None:
    windows = [orjson.loads(value) for value in outputs["windows"][TOPICS.windows]]
    due = [w for w in windows if w["window_end_ms"] - 1 <= truths["windows"].watermark_ms]
    assert 0 < len(due) < len(windows)
    published = {**outputs["windows"], TOPICS.windows: [orjson.dumps(w) for w in due]}
    assert verdict_of(truths["windows"], published, "windows").correct
    open_one = next(w for w in windows if w not in due)
    published[TOPICS.windows].append(orjson.dumps({**open_one, "count": open_one["count"] + 1}))
    assert verdict_of(truths["windows"], published, "windows").problems == {"windows_wrong 5min": 1}


def test_the_last_revision_counts(truths: dict[Work, Truth], outputs: dict[Work, Outputs]) -> None:
    windows = [orjson.loads(value) for value in outputs["windows"][TOPICS.windows]]
    early = {**windows[0], "count": 1}
    windows[0]["revision"] = 2
    published = {**outputs["windows"], TOPICS.windows: [orjson.dumps(w) for w in [*windows, early]]}
    assert verdict_of(truths["windows"], published, "windows").correct


def test_without_a_late_topic_the_other_windows_are_still_compared(
    truths: dict[Work, Truth], outputs: dict[Work, Outputs]
) -> None:
    published = {TOPICS.windows: outputs["windows"][TOPICS.windows]}
    verdict = verdict_of(truths["windows"], published, "windows", late_topic=False)
    assert verdict.correct, verdict.samples
    assert 0 < verdict.figures["windows_not_looked_at 5min"] < len(published[TOPICS.windows])
    fault = orjson.loads(published[TOPICS.windows][-1])
    fault["max"] += 1.0
    published[TOPICS.windows] = [*published[TOPICS.windows][:-1], orjson.dumps(fault)]
    verdict = verdict_of(truths["windows"], published, "windows", late_topic=False)
    assert verdict.problems == {"windows_wrong 5min": 1}
