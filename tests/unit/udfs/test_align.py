"""Laws of the align stage: one outcome for each record, the same by whichever way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.align import CONTROL_CONTENT_TYPE, ENVELOPE_HEADERS, MAX_KEY_BYTES, Aligner, RawRecord, shard_of
from udfs.aligned import close_aligned
from udfs.avro_encoding import encode_single_object
from udfs.frame import decode_frame
from udfs.reasons import Reason
from udfs.rules import BoundingBox, CellRule, LimitRule, PositionRule, Rules, StreamRule, TimeRule, WindowDefinition

NOW_MS = 1_790_000_000_000
TIME_MS = NOW_MS - 5_123
DAY_MS = 86_400_000
FLOOR_MS = NOW_MS - 40 * DAY_MS
TOPIC = "telemetry.raw"
SHARDS = 5
RULES = Rules(
    streams=(
        StreamRule(
            "air", ("pm*",), "ug/m3", 0.0, 1000.0, time_zone="Europe/London", max_age_ms=50 * DAY_MS, sampled=True
        ),
        StreamRule("temperature", ("*temperature",), "degC", -60.0, 60.0, max_age_ms=DAY_MS),
        StreamRule("rest", ("rest",), "1", windows=(WindowDefinition("1h", "sensor", 3_600_000, 3_600_000),)),
    ),
    position=PositionRule("EPSG:3035", regions=(("thames", BoundingBox(-2.5, 51.0, 1.0, 52.5)),)),
    time=TimeRule(floor_ms=FLOOR_MS),
    cell=CellRule("grid", 10_000.0),
    limits=LimitRule(max_body_bytes=2_000),
    attribute_headers=("network", "battery"),
    shards=SHARDS,
)
FIELDS: dict[str, Any] = {
    "event_id": "e-1",
    "sensor_id": "s-1",
    "region": "thames",
    "metric": "pm25",
    "value": 0.0125,
    "unit": "mg/m3",
    "event_time": TIME_MS,
    "x": -0.12,
    "y": 51.5,
    "crs": "EPSG:4326",
}
HEADERS: dict[str, bytes | None] = {
    "sensor_id": b"s-1",
    "ingest_timestamp": b"%d" % (NOW_MS - 77),
    "event_timestamp": b"%d" % TIME_MS,
    "crs_source": b"EPSG:4326",
    "payload_version": b"1",
    "content-type": b"application/json",
}


def record(
    fields: dict[str, Any] | bytes | None = None,
    headers: dict[str, bytes | None] | None = None,
    *,
    key: bytes | None = b"thames",
    partition: int = 0,
    offset: int = 0,
) -> RawRecord:
    """The good record but for `fields` and `headers`; a field or header of None is left out, bytes are the body."""
    body = fields if isinstance(fields, bytes) else serialised(fields or {})
    sent = {**HEADERS, **(headers or {})}
    names = ENVELOPE_HEADERS + RULES.attribute_headers
    return RawRecord(body, key, partition, offset, NOW_MS, tuple(map(sent.get, names)))


def serialised(fields: dict[str, Any]) -> bytes:
    return orjson.dumps({name: value for name, value in {**FIELDS, **fields}.items() if value is not None})


def numbered(*records: RawRecord) -> list[RawRecord]:
    return [r._replace(offset=offset) for offset, r in enumerate(records)]


class Outcome(msgspec.Struct):
    """The frames of a batch, undone."""

    rows: dict[int, list[Any]]  # by shard: what a row and its station hold
    letters: dict[int, list[Any]]

    @property
    def aligned(self) -> dict[int, Any]:
        """The aligned records by offset."""
        return {row[7]: orjson.loads(row[-1]) for rows in self.rows.values() for row in rows}

    @property
    def reasons(self) -> dict[int, str]:
        """The reasons of the dead letters by offset."""
        return {orjson.loads(x)["offset"]: reason for letters in self.letters.values() for reason, _, x in letters}


def outcome(aligner: Aligner, records: Sequence[RawRecord]) -> Outcome:
    result = Outcome({}, {})
    for shard, data in aligner.align(records):
        readings, letters = decode_frame(data)
        rows = [readings.row(index) for index in range(len(readings))]
        result.rows[shard] = [
            [msgspec.structs.astuple(r.station), *r[1:], close_aligned(r.aligned, r.station.aligned, False)]
            for r in rows
        ]
        result.letters[shard] = letters
    return result


def fate(*records: RawRecord, aligner: Aligner | None = None) -> Outcome:
    return outcome(aligner or Aligner(RULES, TOPIC), numbered(*records))


STAGES_ONLY = Aligner(RULES, TOPIC, cache_bytes=0)
WARM = Aligner(RULES, TOPIC)
FORGETFUL = Aligner(RULES, TOPIC, cache_bytes=8_000)  # remembers some four series


# Ways in which a record can differ from the good one: (fields, headers). Where the time changes there is no header for
# it, which would only contradict.

Change = tuple[dict[str, Any], dict[str, bytes | None]]
ODD = [
    *(True, False, 0, 1, 2, -1, 0.0, -0.0, 1.0, 0.5, 51, 2**53 + 1, 2**63, 2**64 - 1, 1e300, -1e300),
    *("", " ", "1", "x" * 256, "x" * 257, "ü" * 256, "epsg:4326 ", "EPSG:27700"),
    *([], {}, [1], {"a": {"b": [None]}}, None),
]
TIMES: list[Any] = [
    *(TIME_MS + 1, NOW_MS + 60_000, NOW_MS + 60_001, FLOOR_MS - 1, FLOOR_MS, 10**11, 10**14, 10**19, -1, 0),
    *(NOW_MS - DAY_MS - 1, NOW_MS - DAY_MS, TIME_MS / 1000, TIME_MS // 1000, TIME_MS * 1000),
    *(TIME_MS * 10**6 + 999_999, str(TIME_MS), "2026-09-21T14:13:14.877Z", "2026-09-21T15:13:14.877", "2026-09-21"),
    *("soon", True, 1e300, None),
]
TEXTS = [b"", b" ", b"\xff", b"s-2", b"1", b"x" * 257, "ü".encode() * 256, b"EPSG:27700", b"epsg:4326", None]
STAMPS = [
    *(form % TIME_MS for form in (b"0%d", b"+%d", b"%d ", b"-%d", b"%d.0")),
    *(b"-1", b"0", b"9" * 18, b"9" * 19, b"", None),
]
FRACTIONS = [b"0.25", b"1", b"1.0", b"1e-9", b"0", b"1.5", b"-0.5", b"nan", b"1_0", b" 0.5", b"", b"9" * 99, b"\xff"]
CONTENT_TYPES = [
    *(b"application/json; charset=utf-8", b"application/json;charset=latin-1", b"APPLICATION/JSON", b"text/plain"),
    *(b"application/avro", CONTROL_CONTENT_TYPE.encode(), b"\xff", b" ", None),
]
CHANGES: list[Change] = [
    ({}, {}),
    ({}, dict.fromkeys(HEADERS)),
    ({"x": 51.5, "y": -0.12}, {}),
    ({"metric": "air_temperature", "unit": "degF", "value": 50}, {}),
    *(
        ({"metric": "air_temperature", "unit": "K", "value": 273.15, "event_time": time}, {"event_timestamp": None})
        for time in TIMES
    ),
    *(({name: value}, {}) for name in [*FIELDS, "quality", "z", "attributes", "more"] for value in ODD),
    *(({"event_time": value}, {"event_timestamp": None}) for value in TIMES),
    *(({}, {name: text}) for name in ("sensor_id", "crs_source", "payload_version") for text in TEXTS),
    *(({}, {name: stamp}) for name in ("ingest_timestamp", "event_timestamp") for stamp in STAMPS),
    *(({}, {"content-type": content_type}) for content_type in CONTENT_TYPES),
    *(({}, {name: text}) for name in RULES.attribute_headers for text in (b"n", b"", b"\xff")),
    *(({}, {"sampling_fraction": text}) for text in FRACTIONS),
    *(({"metric": "rest", "unit": "1"}, {"sampling_fraction": text}) for text in FRACTIONS),
]
BODIES = [
    *(b"", b"null", b"[]", b"1", b'"x"', b"{}", b"\xff", b"\x00\x00\x00\x00\x01", b"\xc3\x01aaaaaaaa"),
    serialised({})[:-1],
    *(serialised({"more": "y" * 3_000}), serialised({}) + b" " * 2_000, b" " + serialised({}).replace(b",", b" , ")),
    *(serialised({})[:-1] + b',"deep":' + b"[" * n + b"]" * n + b"}" for n in (31, 32, 40)),
    *(b'{"value":' + b"[" * n + b"]" * n + b"," + serialised({})[1:] for n in (31, 32, 40)),  # twice the same name
    encode_single_object(FIELDS),
]
KEYS = [None, b"", b"k" * MAX_KEY_BYTES, b"k" * (MAX_KEY_BYTES + 1)]
EVERYTHING = [
    *(record(fields, headers) for fields, headers in CHANGES),
    *(record(body, {"content-type": kind}) for body in BODIES for kind in (b"application/json", *CONTENT_TYPES)),
    *(record(key=key) for key in KEYS),
]


def merged(changes: list[Change], key: bytes | None, partition: int) -> RawRecord:
    fields, headers = {}, {}
    for more_fields, more_headers in changes:
        fields.update(more_fields)
        headers.update(more_headers)
    return record(fields, headers, key=key, partition=partition)


values = st.floats(-0.1, 1.1).map(lambda value: ({"value": value}, {}))
times_ms = st.integers(TIME_MS - 3, TIME_MS + 3).map(lambda time_ms: ({"event_time": time_ms}, {}))
records = st.sampled_from(EVERYTHING) | st.builds(
    merged,
    st.lists(st.sampled_from(CHANGES) | values | times_ms, min_size=1, max_size=3),
    st.sampled_from([b"thames"] * 6 + KEYS),
    st.integers(0, 7),
)


def all_stages_and_known_stations_agree(batch: list[RawRecord]) -> Outcome:
    expected = outcome(STAGES_ONLY, batch)
    for _ in range(2):  # the first time makes the stations known; those of other batches are already
        assert outcome(WARM, batch) == expected
    return expected


def test_each_single_change_comes_to_the_same_end_with_a_known_station_as_through_all_stages() -> None:
    result = all_stages_and_known_stations_agree(numbered(*EVERYTHING))
    assert len(result.aligned) > 100
    assert len(set(result.reasons.values())) > 20


@given(st.lists(records, min_size=1, max_size=12))
def test_any_record_comes_to_the_same_end_with_a_known_station_as_through_all_stages(batch: list[RawRecord]) -> None:
    batch = numbered(record(), *batch)
    result = all_stages_and_known_stations_agree(batch)
    ends = len(result.aligned) + len(result.reasons)
    assert len(batch) - sum(r.headers[5] == CONTROL_CONTENT_TYPE.encode() for r in batch) <= ends <= len(batch)


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({}, {}),
        ({"event_id": None}, {}),
        ({"event_id": " "}, {}),
        ({"value": 0}, {}),
        ({"event_time": TIME_MS * 1000}, {}),
        ({"event_time": "2026-09-21T14:13:14.877Z"}, {}),
        ({"event_time": "2026-09-21T15:13:14.877"}, {}),
        ({"quality": "good", "z": 3}, {}),
        ({"quality": 4}, {}),
        ({"battery": {"volt": 3.3}, "attributes": {"a": [1]}}, {}),
        ({"region": None}, {}),
        ({"sensor_id": None, "crs": None}, {}),
        ({"x": 0, "y": 51}, {}),
        ({}, {"network": b"urban"}),
        ({}, dict.fromkeys(HEADERS)),
        ({}, {"ingest_timestamp": None, "content-type": b"application/json; charset=utf-8"}),
        ({}, {"sampling_fraction": b"0.25"}),
        (encode_single_object(FIELDS), {"content-type": b"application/avro"}),
        (encode_single_object(FIELDS), dict.fromkeys(HEADERS)),
    ],
)
def test_one_more_reading_of_a_known_station_takes_no_stage(
    fields: dict[str, Any] | bytes, headers: dict[str, bytes | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    aligner = Aligner(RULES, TOPIC)
    sent = record(fields, headers)
    first = fate(sent, aligner=aligner)
    assert len(first.aligned) == 1
    monkeypatch.setattr("udfs.align.read_headers", lambda *_: pytest.fail("took the stages"))
    assert fate(sent, aligner=aligner) == first


def test_a_series_that_moves_is_only_located_again(monkeypatch: pytest.MonkeyPatch) -> None:
    track = [record({"x": x, "y": y}) for x, y in ((0.5, 51.5), (0.5, 51.5), (-0.12, 51.5), (0.5, 52), (9.0, 51.5))]
    alone = [fate(sent) for sent in track]
    aligner = Aligner(RULES, TOPIC)
    fate(record(), aligner=aligner)
    monkeypatch.setattr("udfs.align.read_headers", lambda *_: pytest.fail("took the stages"))
    assert [fate(sent, aligner=aligner) for sent in track] == alone
    together = fate(*track, aligner=aligner)
    assert together.reasons == {4: Reason.OUTSIDE_REGION}
    assert [r["lon_deg"] for r in together.aligned.values()] == [0.5, 0.5, -0.12, 0.5]


def test_equal_sites_of_a_batch_are_one_station_of_its_frame() -> None:
    aligner = Aligner(RULES, TOPIC)
    for x in (0.1, 0.2):  # first as a new series, then as one that has moved
        [(_, data)] = aligner.align([record({"x": x})] * 5)
        assert len(decode_frame(data)[0].stations) == 1


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([-0.12, 0.5])), min_size=1))
def test_forgetting_series_changes_nothing(sent: list[tuple[int, float]]) -> None:
    batch = numbered(*(record({"sensor_id": f"s-{n}", "x": x}, {"sensor_id": None}) for n, x in sent))
    for begin in range(0, len(batch), 5):
        assert outcome(FORGETFUL, batch[begin : begin + 5]) == outcome(STAGES_ONLY, batch[begin : begin + 5])
    assert len(FORGETFUL._known._cache) < 12


@pytest.mark.parametrize("number", [0.0, 1.0])
def test_a_bool_is_no_position_even_where_an_equal_number_is_one(number: float) -> None:
    aligner = Aligner(RULES, TOPIC)
    good, bad = record({"x": number}), record({"x": bool(number)})
    assert fate(good, good, aligner=aligner).reasons == {}
    assert fate(bad, aligner=aligner).reasons == {0: Reason.WRONG_TYPE}


def test_a_negative_zero_is_the_same_place() -> None:
    aligner = Aligner(RULES, TOPIC)
    first, second = (fate(record({"x": x}), aligner=aligner).rows for x in (0.0, -0.0))
    alone = fate(record({"x": -0.0})).rows
    for rows in (second, alone):
        [[mine]], [[its]] = first.values(), rows.values()
        assert its[:9] == mine[:9]  # all but the raw value
        assert its[10] == mine[10]


def test_readings_keep_their_order_whether_or_not_their_station_is_known() -> None:
    aligner = Aligner(RULES, TOPIC)
    fate(record(), record({"sensor_id": "s-2"}, {"sensor_id": None}), aligner=aligner)
    batch = numbered(
        *(record({"x": -0.12 if n % 3 else n / 1e4, "event_id": f"e-{n}"}, {"crs_source": None} if n % 2 else {})
          for n in range(60))
    )  # fmt: skip
    [rows] = outcome(aligner, batch).rows.values()
    assert [row[7] for row in rows] == list(range(60))


def test_dead_letters_keep_their_order_whichever_stage_refused() -> None:
    spoilt = [{"metric": "x"}, {"y": 99.0}, {"crs": "EPSG:27700"}, {"y": 10.0}, {"value": -1.0}]
    result = fate(*(record(fields, {"crs_source": None}) for fields in spoilt * 3))
    assert list(result.reasons) == list(range(15))


def test_each_reading_is_in_the_frame_of_its_sensor_and_each_letter_in_that_of_its_partition() -> None:
    sensors = [f"s-{n}" for n in range(20)]
    good = [record({"sensor_id": name}, {"sensor_id": None}) for name in sensors]
    bad = [record(b"{", partition=partition) for partition in range(7)]
    result = fate(*good, *bad)
    assert {row[0][1]: shard for shard, rows in result.rows.items() for row in rows} == {
        name: shard_of(name, SHARDS) for name in sensors
    }
    partitions = [(orjson.loads(x)["partition"], shard) for shard, ls in result.letters.items() for _, _, x in ls]
    assert sorted(partitions) == [(partition, partition % SHARDS) for partition in range(7)]


def test_control_records_leave_nothing() -> None:
    aligner = Aligner(RULES, TOPIC)
    for _ in range(2):
        assert aligner.align([record({}, {"content-type": CONTROL_CONTENT_TYPE.encode()})]) == []


def test_an_empty_batch_gives_no_frames() -> None:
    assert Aligner(RULES, TOPIC).align([]) == []


def test_a_key_that_is_too_long_is_refused_and_cut() -> None:
    result = fate(record(key=b"k" * (MAX_KEY_BYTES + 1)))
    [[(reason, key, _)]] = [letters for letters in result.letters.values() if letters]
    assert (reason, key) == (Reason.BROKEN_HEADER, b"k" * MAX_KEY_BYTES)


def test_a_defect_of_ours_costs_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    aligner = Aligner(RULES, TOPIC)

    def validate(fields: dict[str, Any], headers: object) -> None:
        raise ZeroDivisionError("ours")

    fate(record(), aligner=aligner)
    monkeypatch.setattr(aligner._validator, "validate", validate)
    result = fate(record(), record({"region": None}), record(), aligner=aligner)
    assert result.reasons == {1: Reason.UNEXPECTED_ERROR}
    assert list(result.aligned) == [0, 2]


def test_what_json_cannot_write_costs_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    aligner = Aligner(RULES, TOPIC)
    decode = aligner._decoder.decode
    monkeypatch.setattr(aligner._decoder, "decode", lambda *sent: {**decode(*sent), "more": b"bytes"})
    assert fate(record(), aligner=aligner).reasons == {0: Reason.UNEXPECTED_ERROR}


def test_the_time_of_the_header_stands_in_for_that_of_the_value() -> None:
    aligner = Aligner(RULES, TOPIC)
    for _ in range(2):
        assert fate(record({"event_time": None}), aligner=aligner).aligned[0]["event_time_ms"] == TIME_MS


def test_an_attribute_of_the_value_wins_over_a_header_of_the_same_name() -> None:
    aligner = Aligner(RULES, TOPIC)
    headers: dict[str, bytes | None] = {"network": b"urban", "battery": b"header"}
    for _ in range(2):
        assert fate(record({}, headers), aligner=aligner).aligned[0]["attributes"] == {
            "network": "urban", "battery": "header",
        }  # fmt: skip
        sent = record({"battery": 3.3, "attributes": {"network": None}}, headers)
        assert fate(sent, aligner=aligner).aligned[0]["attributes"] == {"network": None, "battery": 3.3}


@pytest.mark.parametrize("letter", ["s", "ü", "𝛼"])
def test_a_sensor_id_has_the_same_longest_length_in_header_and_value(letter: str) -> None:
    for length, accepted in ((256, True), (257, False)):
        name = letter * length
        by_header = fate(record({"sensor_id": None}, {"sensor_id": name.encode()}))
        by_value = fate(record({"sensor_id": name}, {"sensor_id": None}))
        by_both = fate(record({"sensor_id": name}, {"sensor_id": name.encode()}))
        for result in (by_header, by_value, by_both):
            assert bool(result.aligned) is accepted


def test_the_aligned_record_has_exactly_the_fields_of_the_contract() -> None:
    [aligned] = fate(record({"quality": "good", "z": 4, "note": "n"})).aligned.values()
    position = {name: aligned.pop(name) for name in ("lon_deg", "lat_deg", "x", "y", "transform", "accuracy_m")}
    assert (position["lon_deg"], position["lat_deg"]) == (-0.12, 51.5)
    assert position["x"] == pytest.approx(3620913.9, abs=200_000)
    assert aligned == {
        "event_id": "e-1",
        "event_id_derived": False,
        "sensor_id": "s-1",
        "region": "thames",
        "stream": "air",
        "metric": "pm25",
        "value": 12.5,
        "unit": "ug/m3",
        "value_original": 0.0125,
        "unit_original": "mg/m3",
        "quality": "good",
        "event_time_ms": TIME_MS,
        "ingest_time_ms": NOW_MS - 77,
        "append_time_ms": NOW_MS,
        "stale": False,
        "z": 4.0,
        "crs_source": "EPSG:4326",
        "crs_target": "EPSG:3035",
        "ballpark": False,
        "best_available": aligned["best_available"],
        "cell": aligned["cell"],
        "payload_version": "1",
        "topic": TOPIC,
        "partition": 0,
        "offset": 0,
        "attributes": {"note": "n"},
    }


def test_a_sampled_reading_says_so_in_its_frame_and_its_aligned_record() -> None:
    aligner = Aligner(RULES, TOPIC)
    plain = fate(record(), aligner=aligner).aligned[0]
    for _ in range(2):
        [rows] = fate(record(), record({}, {"sampling_fraction": b"0.25"}), aligner=aligner).rows.values()
        assert [row[11] for row in rows] == [1.0, 0.25]
        assert orjson.loads(rows[1][-1]) == {**plain, "offset": 1, "sampling_fraction": 0.25}
    assert fate(record({}, {"sampling_fraction": b"1"})).aligned[0] == plain


@pytest.mark.parametrize("fraction", [b"0", b"1.01", b"-1", b"nan", b"a half", b""])
def test_what_is_no_fraction_is_refused(fraction: bytes) -> None:
    assert fate(record({}, {"sampling_fraction": fraction})).reasons == {0: Reason.BROKEN_HEADER}


def test_a_sampled_reading_of_a_stream_that_is_not_sampled_is_refused() -> None:
    of_rest = {"metric": "rest", "unit": "1"}
    assert fate(record(of_rest, {"sampling_fraction": b"0.5"})).reasons == {0: Reason.UNEXPECTED_SAMPLING}
    assert fate(record(of_rest, {"sampling_fraction": b"1"})).reasons == {}


def test_a_reading_is_stale_when_it_is_older_than_the_limit() -> None:
    limit_ms = TimeRule().stale_after_ms
    for age_ms, stale in ((limit_ms, False), (limit_ms + 1, True)):
        sent = record({"event_time": NOW_MS - age_ms}, {"event_timestamp": None})
        for _ in range(2):
            assert fate(sent).aligned[0]["stale"] is stale
