"""The audit finds every fault put into a faultless run's windows and late records, and puts it where it belongs."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import orjson
import pytest

from tests.support.audited import Records, audit, change, figures, final_rows, find
from tests.support.generated import PARTITIONS, GeneratedRun, process


def _names(key: bytes) -> str:
    """`stream/definition` of a window record's key."""
    stream, definition, *_ = orjson.loads(key)
    return f"{stream}/{definition}"


def _count(row: tuple[bytes, bytes]) -> int:
    return int(orjson.loads(row[1])["count"])


def test_a_late_reading_whose_window_cannot_be_purged_yet_is_wrong(run: GeneratedRun, records: Records) -> None:
    late = {(r["partition"], r["offset"]) for r in (orjson.loads(v) for _, v in records["late_events"])}
    index = find(records["aligned"], lambda r: r["stream"] == "rivers" and (r["partition"], r["offset"]) not in late)
    reading = orjson.loads(records["aligned"][index][1])
    raw = next(m for m in run.messages if (m.partition, m.offset) == (reading["partition"], reading["offset"]))
    template = orjson.loads(records["late_events"][0][1])
    template.update(
        partition=raw.partition, offset=raw.offset, stream="rivers", definition="by-region",
        payload_sha256=hashlib.sha256(raw.value or b"").hexdigest(),
    )  # fmt: skip
    records["late_events"].append((b"", orjson.dumps(template)))
    report = audit(run, records)
    assert any("late, but its window cannot have been purged yet" in line for line in report.problems)
    assert report.doubled == 1  # the window holds it all the same


def test_a_late_record_twice_is_doubled(run: GeneratedRun, records: Records) -> None:
    records["late_events"].append(records["late_events"][0])
    assert figures(audit(run, records)) == (0, 1, 0)


def test_a_late_record_must_state_its_lateness_and_all_missed_windows(run: GeneratedRun, records: Records) -> None:
    change(records["late_events"], 0, lateness_ms=1)
    change(records["late_events"], 1, missed_windows=[])
    assert figures(audit(run, records)) == (0, 0, 2)


def test_a_late_record_that_never_came_shows_as_a_lost_reading(run: GeneratedRun, records: Records) -> None:
    del records["late_events"][0]
    report = audit(run, records)
    assert report.lost == 1
    assert not report.ok


@pytest.mark.parametrize("definition", ("weather/5min", "weather/by-cell", "air/5min", "rivers/by-region"))
@pytest.mark.parametrize("field", ("mean", "min", "max", "first", "last", "first_event_time_ms", "last_event_time_ms"))
def test_a_window_with_another_value_than_its_readings_is_wrong(
    run: GeneratedRun, records: Records, definition: str, field: str
) -> None:
    rows = records["windows"]
    index = next(i for k, i in final_rows(rows).items() if _names(k) == definition)
    value = orjson.loads(rows[index][1])[field]
    change(rows, index, **{field: value + 1 if field.endswith("_ms") else value + max(abs(value), 1.0) * 1e-6})
    assert figures(audit(run, records)) == (0, 0, 1)


def test_a_window_that_counts_too_few_has_lost_them(run: GeneratedRun, records: Records) -> None:
    rows = records["windows"]
    index = next(i for k, i in final_rows(rows).items() if _names(k) == "air/5min" and _count(rows[i]) > 3)
    change(rows, index, count=_count(rows[index]) - 2)
    report = audit(run, records)
    assert figures(report) == (2, 0, 1)
    [d] = [d for d in report.definitions if d.stream == "air"]
    assert d.windowed + d.late + d.lost == d.aligned


def test_a_window_that_counts_too_many_has_doubled_them(run: GeneratedRun, records: Records) -> None:
    rows = records["windows"]
    index = next(i for k, i in final_rows(rows).items() if _names(k) == "weather/by-cell")
    change(rows, index, count=_count(rows[index]) + 3)
    assert figures(audit(run, records)) == (0, 3, 1)


def test_a_due_window_that_was_never_published_has_lost_its_readings(run: GeneratedRun, records: Records) -> None:
    key, index = next(i for i in final_rows(records["windows"]).items() if _names(i[0]) == "rivers/by-region")
    count = _count(records["windows"][index])
    records["windows"] = [row for row in records["windows"] if row[0] != key]
    assert figures(audit(run, records)) == (count, 0, 0)


def test_a_provisional_row_does_not_stand_for_a_final_one(run: GeneratedRun, records: Records) -> None:
    rows = records["windows"]
    early = next(i for i, (_, v) in enumerate(rows) if orjson.loads(v)["timing"] == "early")
    key = rows[early][0]
    records["windows"] = [r for i, r in enumerate(rows) if r[0] != key or i == early]
    assert audit(run, records).lost > 0


def test_a_window_that_no_reading_belongs_to_is_doubled(run: GeneratedRun, records: Records) -> None:
    rows = records["windows"]
    index = next(i for k, i in final_rows(rows).items() if _names(k) == "air/5min")
    row = orjson.loads(rows[index][1])
    row["key"] = "st-nobody"
    records["windows"].append((b"other", orjson.dumps(row)))
    assert audit(run, records).doubled == row["count"]


def test_the_highest_revision_counts_whatever_the_order_of_rows(run: GeneratedRun, records: Records) -> None:
    records["windows"].reverse()
    assert audit(run, records).ok


def test_the_same_revision_twice_is_wrong(run: GeneratedRun, records: Records) -> None:
    records["windows"].append(records["windows"][0])
    assert figures(audit(run, records)) == (0, 0, 1)


def test_superseded_revisions_may_be_compacted_away(run: GeneratedRun, records: Records) -> None:
    rows = records["windows"]
    last = final_rows(rows)
    assert len(last) < len(rows)
    records["windows"] = [rows[i] for i in last.values()]
    assert audit(run, records).ok


def test_without_end_markers_the_last_windows_are_open_and_nothing_is_lost(run: GeneratedRun) -> None:
    cut = replace(run, messages=run.messages[:-PARTITIONS])
    report = audit(cut, process(cut).records, with_ledger=False)
    assert report.ok and report.open
    assert report.aligned == report.windowed + report.late + report.open
