"""The audit finds every fault put into a faultless run's classes, and puts it where it belongs."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from jobs.replay.dead_letters import RawRecord, decode_letter, raw_record
from tests.support.audited import Records, audit, change, figures, final_rows, find, of_class
from tests.support.generated import NOW_MS, PARTITIONS, RULES, GeneratedRun, process
from tests.support.reference_job import RawMessage
from udfs.probe import CONTROL_CONTENT_TYPE
from udfs.rules import Rules


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


def lose_an_air_reading(records: Records) -> None:
    """One that is in its window."""
    late = {(r["partition"], r["offset"]) for r in (orjson.loads(v) for _, v in records["late_events"])}
    index = find(records["aligned"], lambda r: r["stream"] == "air" and (r["partition"], r["offset"]) not in late)
    del records["aligned"][index]


def test_a_reading_that_vanished_is_lost_and_not_doubled_by_its_window(run: GeneratedRun, records: Records) -> None:
    lose_an_air_reading(records)
    report = audit(run, records)
    assert figures(report) == (1, 0, 1), "the window counts a reading that is nowhere, and contradicts the topic"
    assert [(d.stream, d.unaligned) for d in report.definitions if d.unaligned] == [("air", 1)]


def test_a_window_that_counts_more_than_what_vanished_has_doubled_the_rest(run: GeneratedRun, records: Records) -> None:
    lose_an_air_reading(records)
    row = next(i for k, i in final_rows(records["windows"]).items() if orjson.loads(k)[0] == "air")
    count = orjson.loads(records["windows"][row][1])["count"]
    change(records["windows"], row, count=count + 3)
    assert audit(run, records).doubled == 3


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


def test_a_replayed_dead_letter_is_a_reading_of_its_own(run: GeneratedRun) -> None:
    rules = replace(RULES, limits=replace(RULES.limits, dlq_payload_bytes=200))
    by_place = {(m.partition, m.offset): m for m in run.messages}

    def fetch(_topic: str, partition: int, offset: int) -> RawRecord:
        message = by_place[partition, offset]
        return RawRecord(message.key, message.value, list(message.headers))

    letters = [decode_letter(value) for _, value in process(run, rules).records["invalid_events"]]
    replayed = [raw_record(letter, fetch) for letter in letters if letter.replayable]
    assert 0 < len(replayed) < len(letters)
    assert {letter.truncated for letter in letters if letter.replayable} == {True, False}
    end = sum(m.partition == 0 for m in run.messages)
    messages = [
        RawMessage(r.value, r.key or b"", 0, end + i, NOW_MS, [(n, v or b"") for n, v in r.headers])
        for i, r in enumerate(replayed)
    ]
    longer = replace(run, messages=(*run.messages, *messages))
    report = audit(longer, process(longer, rules).records, rules)
    assert report.ok, report.problems
    assert report.raw == len(run.messages) - PARTITIONS + len(replayed)
    assert report.invalid == len(letters) + len(replayed)  # by the same rules, each is refused again


def _with_delivery(delivery: str) -> Rules:
    streams = tuple(replace(s, delivery=delivery) if s.name == "air" else s for s in RULES.streams)  # type: ignore[arg-type]
    return replace(RULES, streams=streams)


def test_a_probe_s_account_must_name_a_control_record(run: GeneratedRun, records: Records) -> None:
    control = next(
        m for m in run.messages if dict(m.headers or ()).get("content-type") == CONTROL_CONTENT_TYPE.encode()
    )
    account = {"class": "control", "control": "probe", "probe": "p", "partition": control.partition}
    records["accounting"].append((b"probe", orjson.dumps({**account, "offset": control.offset})))
    assert audit(run, records).ok
    reading = orjson.loads(records["aligned"][7][1])
    account.update(partition=reading["partition"], offset=reading["offset"])
    records["accounting"].append((b"probe", orjson.dumps(account)))
    assert figures(audit(run, records)) == (0, 0, 1)
