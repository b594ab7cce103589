"""Every difference between streaming and batch has the reason that its readings give it, and no other."""

from __future__ import annotations

import math
from typing import Any

import pytest

from jobs.validation.compare import Pair, compare
from jobs.validation.explain import Evidence, Reading, Reason, Verdict, explain, row_keys
from jobs.validation.report import report_day
from jobs.validation.rows import WINDOW_ROWS, final_rows
from udfs.rules import StreamRule, WindowDefinition

MINUTE = 60_000
KEY = ("air", "5min", 0, 5 * MINUTE, "s1", "t")


def readings(*values: float) -> list[Reading]:
    return [Reading((0, i), i * 1_000, f"e{i}", v) for i, v in enumerate(values)]


def record(of: list[Reading], revision: int = 1, timing: str = "on_time", **fields: Any) -> dict[str, Any]:
    values = [r.value for r in of]
    row = {
        **dict(zip(WINDOW_ROWS.key, KEY, strict=True)), "unit": "degC", "count": len(of),
        "mean": math.fsum(values) / len(of), "min": min(values), "max": max(values), "std": 0.0, "first": values[0],
        "first_event_time_ms": of[0].event_time_ms, "last": values[-1], "last_event_time_ms": of[-1].event_time_ms,
        "expected_count": None, "completeness": None, "sensors": 1, "lon_deg": 1.0, "lat_deg": 2.0, "x": 3.0, "y": 4.0,
        "max_event_time_ms": of[-1].event_time_ms, "revision": revision, "timing": timing,
    }  # fmt: skip
    return row | fields


def pair_of(live: list[dict[str, Any]], batch: list[dict[str, Any]]) -> Pair:
    rows = (final_rows(records, WINDOW_ROWS, 0, 86_400_000) for records in (live, batch))
    [pair] = compare(*rows, WINDOW_ROWS)
    return pair


def judge(
    live: list[dict[str, Any]],
    batch: list[Reading],
    late: list[int] = [],  # noqa: B006
    forgotten: list[Reading] = [],  # noqa: B006
    watermark_ms: int = 86_400_000,
) -> Verdict:
    evidence = Evidence({KEY: batch}, {KEY: forgotten}, {((0, i), "air", "5min") for i in late}, set(), watermark_ms)
    return explain(pair_of(live, [record(batch)] if batch else []), evidence)


ALL = readings(1.0, 2.0, 4.0, 8.0)


def test_equal_rows_are_the_same_and_last_digits_do_not_count() -> None:
    assert judge([record(ALL)], ALL).reason is Reason.SAME
    assert judge([record(ALL, mean=3.75 * (1 + 1e-15))], ALL).reason is Reason.SAME


def test_a_row_that_said_something_else_first_is_revised() -> None:
    assert judge([record(ALL[:3]), record(ALL, 2, "late")], ALL).reason is Reason.REVISED
    assert judge([record(ALL[:3], 1, "early"), record(ALL, 2)], ALL).reason is Reason.SAME


def test_what_lacks_only_late_readings_is_late() -> None:
    verdict = judge([record(ALL[:3])], ALL, late=[3])
    assert (verdict.reason, verdict.late, verdict.detail) == (Reason.LATE, 1, "1 of 4 readings were late")
    assert judge([], ALL, late=[0, 1, 2, 3]).reason is Reason.LATE


def test_what_lacks_more_than_the_late_readings_is_lost() -> None:
    assert judge([record(ALL[:2])], ALL, late=[3]).reason is Reason.LOST
    assert judge([], ALL).reason is Reason.LOST
    assert judge([], ALL, late=[0]).reason is Reason.LOST


def test_what_has_a_late_reading_all_the_same_is_doubled() -> None:
    assert judge([record(ALL)], ALL, late=[3]).reason is Reason.SAME  # nothing differs: nothing to explain
    assert judge([record([*ALL, *ALL])], ALL).reason is Reason.DOUBLED
    assert judge([record(ALL)], []).reason is Reason.DOUBLED


def test_a_revision_that_was_published_twice_is_doubled_even_when_it_is_right() -> None:
    assert judge([record(ALL), record(ALL)], ALL).reason is Reason.DOUBLED


def test_a_window_that_the_watermark_has_not_passed_is_open() -> None:
    assert judge([], ALL, watermark_ms=5 * MINUTE - 2).reason is Reason.OPEN
    assert judge([record(ALL[:1], timing="early")], ALL, watermark_ms=0).reason is Reason.OPEN
    assert judge([], ALL, watermark_ms=5 * MINUTE - 1).reason is Reason.LOST


def test_repeats_beyond_the_horizon_explain_what_batch_does_not_count() -> None:
    repeat = ALL[3]._replace(place=(0, 99))
    assert judge([record([*ALL, repeat])], ALL, forgotten=[repeat]).reason is Reason.HORIZON


@pytest.mark.parametrize("fields", [{"mean": 3.0}, {"last": 5.0}, {"lon_deg": 9.0}])
def test_another_value_with_the_right_count_is_a_defect(fields: dict[str, Any]) -> None:
    assert judge([record(ALL, **fields)], ALL).reason is Reason.OTHER


def test_a_reading_belongs_to_every_window_that_holds_it() -> None:
    windows = (WindowDefinition("5min", "sensor", 5 * MINUTE, 5 * MINUTE), WindowDefinition("s", "cell", 6, 2, 1))
    stream = StreamRule("air", ("*",), "1", windows=windows)
    reading = {"event_time_ms": 8, "sensor_id": "s1", "cell": "c", "region": "r", "metric": "t"}
    assert list(row_keys(reading, stream)) == [
        KEY, ("air", "s", 7, 13, "c", "t"), ("air", "s", 5, 11, "c", "t"), ("air", "s", 3, 9, "c", "t"),
    ]  # fmt: skip


def test_a_report_is_ok_without_defects_and_counts_batch_as_live_plus_late() -> None:
    late = judge([record(ALL[:3])], ALL, late=[3])
    report = report_day("1970-01-01", [(pair_of([record(ALL[:3])], [record(ALL)]), late)])
    [definition] = report.definitions
    assert (definition.batch_readings, definition.live_readings, definition.late_readings) == (4, 3, 1)
    assert report.ok and definition.unexplained == 0 and report.differences[0]["reason"] == "late"
    lost = judge([], ALL)
    assert not report_day("1970-01-01", [(pair_of([], [record(ALL)]), lost)]).ok
