"""A dead letter goes back into the raw topic as the record it was, and says what it replays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.replay.dead_letters import Letter, NotReplayable, RawRecord, decode_letter, raw_record, sent_again
from tests.support.generated import NOW_MS, RULES, TOPIC
from udfs.align import ENVELOPE_HEADERS, Aligner
from udfs.align import RawRecord as AlignRecord
from udfs.dead_letter import Source, dead_letter
from udfs.frame import Letter as FrameLetter
from udfs.frame import Readings, decode_frame
from udfs.reasons import Reason

LIMIT = 50
OLD: dict[str, Any] = {
    "sensor_id": "s1", "metric": "air_temperature", "value": 9.5, "unit": "degC",
    "event_time": NOW_MS - 40 * 86_400_000, "x": -2.1, "y": 57.1, "crs": "EPSG:4326",
}  # fmt: skip


def letter_of(record: RawRecord, reason: Reason = Reason.TOO_OLD, source: Source | None = None) -> Letter:
    source = source or Source(TOPIC, 1, 7, NOW_MS)
    data = dead_letter(
        reason, "why", source, record.value,
        payload_limit=LIMIT, job_version="1", key=record.key, headers=dict(record.headers),
    )  # fmt: skip
    return decode_letter(data)


def nowhere(topic: str, partition: int, offset: int) -> RawRecord | None:
    raise AssertionError("a letter with all bytes needs no raw topic")


def at(record: RawRecord | None, *, where: tuple[str, int, int] = (TOPIC, 1, 7)) -> Any:
    return lambda *place: record if place == where else None


records = st.builds(
    RawRecord,
    st.none() | st.binary(max_size=20),
    st.binary(max_size=2 * LIMIT),
    st.dictionaries(st.text(max_size=8), st.binary(max_size=20), max_size=4).map(lambda found: list(found.items())),
)


@given(records)
def test_key_value_and_headers_come_back_whether_cut_or_not(record: RawRecord) -> None:
    cut = record.value is not None and len(record.value) > LIMIT
    again = raw_record(letter_of(record), at(record) if cut else nowhere)
    assert again[:2] == record[:2]
    headers = dict(again.headers)
    assert headers.pop("replay_of") == b"telemetry.raw/1/7"
    assert headers == {n: v for n, v in record.headers if n != "replay_of"}
    assert len(again.headers) == len(headers) + 1


def test_headers_that_the_job_does_not_read_are_left_behind_as_in_an_uncut_letter() -> None:
    refused = RawRecord(b"k", b"x" * 99, [("sensor_id", b"s")])
    in_topic = refused._replace(headers=[*refused.headers, ("meridian_seq", b"5"), ("empty", None)])
    again = raw_record(letter_of(refused), at(in_topic))
    assert [name for name, _ in again.headers] == ["sensor_id", "replay_of"]


@pytest.mark.parametrize(
    ("fetched", "why"),
    [(None, "no longer in the raw topic"), (b"y" * 99, "not those that were refused"), (b"", "not those")],
)
def test_cut_bytes_that_are_gone_are_not_replayed(fetched: bytes | None, why: str) -> None:
    record = RawRecord(b"k", b"x" * 99, [])
    found = None if fetched is None else record._replace(value=fetched)
    with pytest.raises(NotReplayable, match=f"telemetry.raw/1/7: .*{why}"):
        raw_record(letter_of(record), at(found))


@pytest.mark.parametrize("reason", [Reason.LATE, Reason.ID_CONFLICT])
def test_late_readings_and_id_conflicts_are_not_sent_again(reason: Reason) -> None:
    with pytest.raises(NotReplayable, match=reason.value):
        raw_record(letter_of(RawRecord(b"k", b"{}", []), reason), nowhere)


def test_a_letter_that_is_damaged_is_not_replayed() -> None:
    good = orjson.loads(dead_letter(Reason.TOO_OLD, "", Source(TOPIC, 1, 7, 0), b"{}", payload_limit=LIMIT,
                                    job_version="1", headers={}))  # fmt: skip
    for damage in ({"payload_base64": "***"}, {"payload_base64": "e30A"}, {"payload_base64": None}):
        with pytest.raises(NotReplayable):
            raw_record(decode_letter(orjson.dumps({**good, **damage})), nowhere)


def test_a_replay_that_is_refused_again_stands_for_the_first_letter() -> None:
    first = letter_of(RawRecord(b"k", b"{}", []))
    second = letter_of(raw_record(first, nowhere), source=Source(TOPIC, 0, 99, NOW_MS))
    third = letter_of(raw_record(second, nowhere), source=Source(TOPIC, 2, 3, NOW_MS))
    assert (second.replay_of, third.replay_of) == (first.source.name, second.source.name)
    again = sent_again([first, second, third])
    assert [x.source.name in again for x in (first, second, third)] == [True, True, False]


def test_what_one_rule_refused_is_accepted_under_another() -> None:
    def align(rules: Any, value: bytes | None, key: bytes | None) -> tuple[Readings, list[FrameLetter]]:
        record = AlignRecord(value, key, 1, 7, NOW_MS, (None,) * len(ENVELOPE_HEADERS))
        [(_, frame)] = Aligner(rules, TOPIC).align([record])
        return decode_frame(frame)

    rules = replace(RULES, limits=replace(RULES.limits, dlq_payload_bytes=LIMIT))
    value = orjson.dumps({**OLD, "region": "grampian"})
    _, [(reason, _, data)] = align(rules, value, b"k")
    assert reason == "too_old"
    again = raw_record(decode_letter(data), at(RawRecord(b"k", value, [])))
    assert (again.key, again.value) == (b"k", value)
    patient = replace(rules, streams=tuple(replace(s, max_age_ms=60 * 86_400_000) for s in rules.streams))
    assert len(align(patient, again.value, again.key)[0]) == 1
