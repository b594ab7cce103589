"""The audit finds every single fault put into an otherwise faultless run, and puts it where it belongs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from jobs.audit.report import Report
from tests.support.audited import audit
from tests.support.generated import KNOBS, PARTITIONS, RULES, GeneratedRun, generate, process
from udfs.rules import Rules

Records = dict[str, list[tuple[bytes, bytes]]]


def _names(key: bytes) -> str:
    """`stream/definition` of a window record's key."""
    stream, definition, *_ = orjson.loads(key)
    return f"{stream}/{definition}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> GeneratedRun:
    return generate(tmp_path_factory.mktemp("run") / "ledger.parquet", knobs=replace(KNOBS, stragglers=0.05))


@pytest.fixture(scope="module")
def faultless(run: GeneratedRun) -> Records:
    return process(run).records


@pytest.fixture
def records(faultless: Records) -> Records:
    return {sink: list(rows) for sink, rows in faultless.items()}


def change(rows: list[tuple[bytes, bytes]], index: int, **fields: Any) -> None:
    key, value = rows[index]
    rows[index] = key, orjson.dumps({**orjson.loads(value), **fields})


def find(rows: list[tuple[bytes, bytes]], matches: Callable[[dict[str, Any]], bool]) -> int:
    return next(i for i, (_, value) in enumerate(rows) if matches(orjson.loads(value)))


def of_class(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda record: record["class"] == name


def final_rows(rows: list[tuple[bytes, bytes]]) -> dict[bytes, int]:
    """The index of each window's last row: revisions of one window are published in order."""
    return {key: index for index, (key, _) in enumerate(rows)}


def figures(report: Report) -> tuple[int, int, int]:
    return report.lost, report.doubled, report.wrong_class


def test_a_faultless_run_passes_and_its_figures_add_up(run: GeneratedRun, records: Records) -> None:
    report = audit(run, records)
    assert report.problems == [] and report.ok
    assert report.raw == report.aligned + report.duplicates + report.invalid + report.shed
    assert report.raw == len(run.messages) - PARTITIONS
    for d in report.definitions:
        assert d.aligned == d.windowed + d.late + d.open
    assert report.aligned == report.windowed + report.late + report.open
    assert report.late and any(d.partly_late_pairs for d in report.definitions)
    assert sum(report.invalid_by_reason.values()) == report.invalid
    assert report.to_dict()["ok"] is True


def test_a_reading_that_vanished_is_lost_and_its_window_doubled(run: GeneratedRun, records: Records) -> None:
    late = {(r["partition"], r["offset"]) for r in (orjson.loads(v) for _, v in records["late_events"])}
    index = find(records["aligned"], lambda r: r["stream"] == "air" and (r["partition"], r["offset"]) not in late)
    del records["aligned"][index]
    report = audit(run, records)
    assert report.lost == 1
    assert report.doubled == 1  # the window counts a reading that is nowhere


def test_an_invalid_reading_without_its_dead_letter_is_lost(run: GeneratedRun, records: Records) -> None:
    del records["invalid_events"][5]
    assert figures(audit(run, records)) == (1, 0, 0)


def test_a_duplicate_that_is_not_accounted_for_is_lost(run: GeneratedRun, records: Records) -> None:
    del records["accounting"][find(records["accounting"], of_class("duplicate"))]
    assert figures(audit(run, records)) == (1, 0, 0)


@pytest.mark.parametrize("sink", ("aligned", "invalid_events"))
def test_the_same_record_published_twice_is_doubled(run: GeneratedRun, records: Records, sink: str) -> None:
    records[sink].append(records[sink][3])
    assert figures(audit(run, records)) == (0, 1, 0)


def test_a_reading_in_two_classes_is_doubled(run: GeneratedRun, records: Records) -> None:
    accepted, letter = orjson.loads(records["aligned"][7][1]), orjson.loads(records["invalid_events"][0][1])
    letter.update(partition=accepted["partition"], offset=accepted["offset"])
    records["invalid_events"].append((b"", orjson.dumps(letter)))
    report = audit(run, records, with_ledger=False)
    assert report.doubled == 1
    assert report.wrong_class == 1  # the letter's digest is another body's


def test_an_original_and_its_repeat_both_aligned_are_doubled(run: GeneratedRun, records: Records) -> None:
    rows = records["accounting"]
    duplicate = orjson.loads(rows.pop(find(rows, of_class("duplicate")))[1])
    original = find(
        records["aligned"],
        lambda r: (r["partition"], r["offset"]) == (duplicate["repeats_partition"], duplicate["repeats_offset"]),
    )
    again = orjson.loads(records["aligned"][original][1])
    again["offset"] = duplicate["offset"]
    records["aligned"].append((b"", orjson.dumps(again)))
    report = audit(run, records)
    assert report.doubled == 1
    assert report.lost >= 1  # no window holds the second one
    assert report.wrong_class >= 1  # the ledger expects a duplicate


def test_beyond_the_dedup_horizon_an_id_may_be_aligned_again(run: GeneratedRun, records: Records) -> None:
    rows = records["accounting"]
    duplicate = orjson.loads(rows.pop(find(rows, of_class("duplicate")))[1])
    original = find(
        records["aligned"],
        lambda r: (r["partition"], r["offset"]) == (duplicate["repeats_partition"], duplicate["repeats_offset"]),
    )
    again = {**orjson.loads(records["aligned"][original][1]), "beyond_dedup_horizon": True}
    again["offset"] = duplicate["offset"]
    records["aligned"].append((b"", orjson.dumps(again)))
    assert audit(run, records, with_ledger=False).doubled == 0


def test_a_duplicate_must_name_an_aligned_reading_with_its_id(run: GeneratedRun, records: Records) -> None:
    index = find(records["accounting"], of_class("duplicate"))
    duplicate = orjson.loads(records["accounting"][index][1])
    change(records["accounting"], index, repeats_offset=duplicate["repeats_offset"] + 1)
    report = audit(run, records)
    assert figures(report) == (0, 0, 1)
    assert "a duplicate of" in report.problems[0]


def test_a_duplicate_of_itself_is_a_reread_and_no_class(run: GeneratedRun, records: Records) -> None:
    accepted = orjson.loads(records["aligned"][0][1])
    reread = {
        "class": "duplicate",
        **{name: accepted[name] for name in ("partition", "offset", "sensor_id", "event_id")},
        "repeats_partition": accepted["partition"],
        "repeats_offset": accepted["offset"],
    }
    records["accounting"].append((b"", orjson.dumps(reread)))
    report = audit(run, records)
    assert report.ok and report.rereads == 1


def test_shed_readings_are_a_class_of_their_own(run: GeneratedRun, records: Records) -> None:
    letter = orjson.loads(records["invalid_events"].pop(2)[1])
    shed = {"class": "shed", "partition": letter["partition"], "offset": letter["offset"]}
    records["accounting"].append((b"", orjson.dumps(shed)))
    report = audit(run, records, with_ledger=False)
    assert report.ok and report.shed == 1


def test_a_dead_letter_must_carry_the_digest_of_the_raw_value(run: GeneratedRun, records: Records) -> None:
    change(records["invalid_events"], 4, payload_sha256="0" * 64)
    assert figures(audit(run, records)) == (0, 0, 1)


def test_a_class_for_a_control_record_is_wrong(run: GeneratedRun, records: Records) -> None:
    marker = run.messages[-1]
    shed = {"class": "shed", "partition": marker.partition, "offset": marker.offset}
    records["accounting"].append((b"", orjson.dumps(shed)))
    assert audit(run, records, with_ledger=False).wrong_class == 1


def test_a_reason_other_than_the_ledgers_is_wrong(run: GeneratedRun, records: Records) -> None:
    index = find(records["invalid_events"], lambda r: r["reason"] == "tombstone")
    change(records["invalid_events"], index, reason="malformed_json")
    report = audit(run, records)
    assert figures(report) == (0, 0, 1)
    assert "refused as malformed_json, expected tombstone" in report.problems[0]


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


def test_a_ledger_row_that_never_reached_the_topic_is_lost(run: GeneratedRun) -> None:
    cut = replace(run, messages=run.messages[:-1])
    report = audit(cut, process(cut).records)
    assert report.lost == 1
    assert "not in the raw topic" in report.problems[-1]


def test_records_after_the_snapshot_do_not_count(run: GeneratedRun, records: Records) -> None:
    sizes = {p: sum(m.partition == p for m in run.messages) for p in range(PARTITIONS)}
    report = audit(run, records, with_ledger=False, ends={p: n - 100 for p, n in sizes.items()})
    assert report.raw == len(run.messages) - 100 * PARTITIONS
    assert report.raw == report.aligned + report.duplicates + report.invalid


def _with_delivery(delivery: str) -> Rules:
    streams = tuple(replace(s, delivery=delivery) if s.name == "air" else s for s in RULES.streams)  # type: ignore[arg-type]
    return replace(RULES, streams=streams)


@pytest.mark.parametrize("delivery", ("at-least-once", "best-effort"))
def test_repeats_of_a_stream_that_may_repeat_are_reported_and_not_doubled(
    run: GeneratedRun, tmp_path, delivery: str
) -> None:
    rules = _with_delivery(delivery)
    published = process(run, rules).records
    sink = f"aligned-{delivery}"
    published[sink] = published[sink] + published[sink][:5]
    report = audit(run, published, rules)
    assert report.ok and report.repeats == 5


def test_a_record_that_cannot_be_read_is_wrong_and_named(run: GeneratedRun, records: Records) -> None:
    records["windows"].append((b"", b"{not json"))
    report = audit(run, records)
    assert figures(report) == (0, 0, 1)
    assert report.problems[0].startswith("wrong: windows, partition 0, offset")


def _count(row: tuple[bytes, bytes]) -> int:
    return int(orjson.loads(row[1])["count"])
