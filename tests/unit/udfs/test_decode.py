"""Laws of decoding: JSON, both Avro framings, and what bytes from outside must not do."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.avro_encoding import encode_confluent, encode_single_object, fingerprint_of
from udfs.decode import Decoder
from udfs.nesting import MAX_DEPTH
from udfs.reasons import Reason, Rejected
from udfs.rules import LimitRule, SchemaRule
from udfs.schemas import reading_schema
from udfs.writer_schema import SchemaFormat, WriterSchema

RECORD: dict[str, Any] = {
    "event_id": "e-1",
    "sensor_id": "s-1",
    "region": "thames",
    "metric": "pm25",
    "value": 12.5,
    "unit": "µg/m³",
    "event_time": 1_700_000_000_123,
    "x": -0.12,
    "y": 51.5,
    "crs": "EPSG:4326",
}
SCHEMA_ID = 7


def writer_schema(*fields: dict[str, Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    schema = reading_schema()
    schema["fields"] = [f for f in schema["fields"] if f["name"] not in without] + list(fields)
    return schema


def confluent(schema: dict[str, Any], record: dict[str, Any], schema_id: int = SCHEMA_ID) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), record)
    return b"\x00" + schema_id.to_bytes(4, "big") + out.getvalue()


def decoder(*schemas: dict[str, Any], limits: LimitRule | None = None) -> Decoder:
    listed = schemas or (reading_schema(),)
    return Decoder(limits or LimitRule(), known(*((SCHEMA_ID + i, json.dumps(s)) for i, s in enumerate(listed))))


def known(*avro: tuple[int, str]) -> SchemaRule:
    return SchemaRule(tuple((schema_id, WriterSchema(SchemaFormat.AVRO, text)) for schema_id, text in avro))


def reason_of(value: bytes | None, content_type: str | None = None, using: Decoder | None = None) -> Reason:
    with pytest.raises(Rejected) as caught:
        (using or decoder()).decode(value, content_type)
    return caught.value.reason


def without_nulls(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None and value != {}}


def vint(number: int) -> bytes:
    zigzag, out = (number << 1) ^ (number >> 63), b""
    while zigzag & ~0x7F:
        out, zigzag = out + bytes([(zigzag & 0x7F) | 0x80]), zigzag >> 7
    return out + bytes([zigzag])


# --- JSON


@given(st.dictionaries(st.text(max_size=10), st.none() | st.booleans() | st.floats(allow_nan=False) | st.text()))
def test_a_json_object_comes_back_as_it_was_sent(record: dict[str, Any]) -> None:
    value = json.dumps({k: v for k, v in record.items() if v not in (float("inf"), float("-inf"))}).encode()
    assert decoder().decode(value, None) == json.loads(value)


@pytest.mark.parametrize("cut", range(1, 40))
def test_truncated_json_is_malformed(cut: int) -> None:
    assert reason_of(orjson.dumps(RECORD)[:-cut]) is Reason.MALFORMED_JSON


@pytest.mark.parametrize(
    "value",
    [b"", b" ", b'{"value":NaN}', b'{"value":Infinity}', b'{"value":-Infinity}', b'{"value":1e999}', b'{"a":"\\ud800"}',
     b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b"{} {}", b"[" * 2000 + b"]" * 2000],
)  # fmt: skip
def test_what_is_not_json_is_malformed(value: bytes) -> None:
    assert reason_of(value) is Reason.MALFORMED_JSON


@pytest.mark.parametrize("value", [b"[]", b"1", b'"text"', b"null", b"true"])
def test_json_that_is_no_object_is_named_so(value: bytes) -> None:
    assert reason_of(value) is Reason.NOT_AN_OBJECT


def test_nesting_is_read_up_to_a_limit_that_can_be_written_again() -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' * depth + b"1" + b"}" * depth

    orjson.dumps(decoder().decode(nested(MAX_DEPTH), None))
    assert reason_of(nested(MAX_DEPTH + 1)) is Reason.MALFORMED_JSON
    wide = b'{"a":[' + b",".join([b"{}"] * 100) + b"]}"
    assert len(decoder().decode(wide, None)["a"]) == 100


def test_of_duplicate_keys_the_last_counts() -> None:
    assert decoder().decode(b'{"a":1,"a":2}', None) == {"a": 2}


# --- limits and content types


def test_a_tombstone_is_named_so() -> None:
    assert reason_of(None) is Reason.TOMBSTONE


def test_a_body_is_accepted_up_to_the_limit_and_not_beyond() -> None:
    limited = decoder(limits=LimitRule(max_body_bytes=10))
    assert limited.decode(b'{"a":1234}', None) == {"a": 1234}
    assert reason_of(b'{"a":12345}', using=limited) is Reason.BODY_TOO_LARGE


def test_a_body_of_10_megabytes_is_too_large() -> None:
    assert reason_of(b'{"a":"' + b"x" * 10_000_000 + b'"}') is Reason.BODY_TOO_LARGE


@pytest.mark.parametrize(
    "content_type",
    [None, "application/json", "Application/JSON", "application/json; charset=utf-8", "application/ld+json",
     'application/json;charset="UTF-8"', "text/json"],
)  # fmt: skip
def test_json_content_types_are_read(content_type: str | None) -> None:
    assert decoder().decode(b'{"a":1}', content_type) == {"a": 1}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/csv",
        "application/xml",
        "json",
        "application/json; charset=utf-16",
        "; ;",
        "x" * 999,
    ],
)
def test_other_content_types_are_unsupported(content_type: str) -> None:
    assert reason_of(b'{"a":1}', content_type) is Reason.UNSUPPORTED_CONTENT_TYPE


@pytest.mark.parametrize(
    "content_type", [None, "application/avro", "application/vnd.confluent.avro", "avro/binary; v=1"]
)
def test_avro_content_types_read_both_framings(content_type: str | None) -> None:
    assert without_nulls(decoder().decode(encode_confluent(SCHEMA_ID, RECORD), content_type)) == RECORD
    assert without_nulls(decoder().decode(encode_single_object(RECORD), content_type)) == RECORD


# --- Avro


def test_the_fingerprint_is_that_of_the_specification() -> None:
    # Avro 1.12: the Rabin fingerprint of "null" is 0x63dd24e7cc258f8a; it travels in little-endian order
    assert fingerprint_of("null") == (0x63DD24E7CC258F8A).to_bytes(8, "little")


def test_a_single_object_starts_with_magic_and_fingerprint() -> None:
    assert encode_single_object(RECORD)[:10] == b"\xc3\x01" + fingerprint_of(reading_schema())


def test_the_own_schema_needs_no_listing_in_single_object_encoding() -> None:
    assert without_nulls(Decoder(LimitRule()).decode(encode_single_object(RECORD), None)) == RECORD


def test_fields_outside_the_schema_travel_as_attributes() -> None:
    encoded = encode_single_object({**RECORD, "battery": 3.7, "attributes": {"site": "roof"}})
    assert decoder().decode(encoded, None)["attributes"] == {"site": "roof", "battery": 3.7}


@pytest.mark.parametrize("time", [1_700_000_000, "2024-05-06T07:08:09Z", 1_700_000_000.25, None])
def test_every_form_of_event_time_survives_avro(time: object) -> None:
    assert decoder().decode(encode_single_object({**RECORD, "event_time": time}), None)["event_time"] == time


def test_an_unknown_schema_is_named_so() -> None:
    assert reason_of(encode_confluent(99, RECORD)) is Reason.UNKNOWN_SCHEMA
    assert reason_of(b"\xc3\x01" + b"\x11" * 8 + b"abc") is Reason.UNKNOWN_SCHEMA


def test_avro_framing_that_is_missing_or_short_is_malformed() -> None:
    for value in (b"", b"{}", b"\x00", b"\x00\x00\x00", b"\xc3", b"\xc3\x01\x00", b"\xc3\x02" + b"\x00" * 9):
        assert reason_of(value, "application/avro") is Reason.MALFORMED_AVRO


def test_truncated_avro_is_malformed() -> None:
    encoded = encode_confluent(SCHEMA_ID, RECORD)
    for length in range(5, len(encoded)):
        assert reason_of(encoded[:length]) is Reason.MALFORMED_AVRO


def test_bytes_after_the_record_are_malformed() -> None:
    assert reason_of(encode_confluent(SCHEMA_ID, RECORD) + b"\x00") is Reason.MALFORMED_AVRO
    assert reason_of(encode_single_object(RECORD) + b"\x00") is Reason.MALFORMED_AVRO


@given(st.binary(max_size=200))
def test_any_bytes_in_an_avro_frame_are_read_or_rejected(body: bytes) -> None:
    try:
        decoder().decode(b"\x00\x00\x00\x00\x07" + body, None)
    except Rejected as rejected:
        assert rejected.reason is Reason.MALFORMED_AVRO


@pytest.mark.parametrize("length", [2**40, 2**62, -1, -(2**40)])
def test_a_declared_length_that_is_not_there_is_malformed(length: int) -> None:
    assert reason_of(b"\x00\x00\x00\x00\x07" + vint(1) + vint(length) + b"abc") is Reason.MALFORMED_AVRO


def test_an_older_writer_without_optional_fields_is_read() -> None:
    old = writer_schema(without=("event_id", "region", "z", "quality", "attributes"))
    record = {k: v for k, v in RECORD.items() if k not in ("event_id", "region")}
    assert decoder(old).decode(confluent(old, record), None) == record


def test_a_newer_writer_passes_its_extra_fields_on() -> None:
    new = writer_schema({"name": "battery", "type": "double"}, {"name": "raw", "type": "bytes"})
    decoded = decoder(new).decode(confluent(new, {**RECORD, "battery": 3.7, "raw": b"\x00\xff"}), None)
    assert decoded["battery"] == 3.7
    assert decoded["raw"] == "AP8="
    orjson.dumps(decoded)


def test_a_writer_with_narrower_numbers_is_read() -> None:
    narrow = writer_schema({"name": "value", "type": "int"}, {"name": "x", "type": "float"}, without=("value", "x"))
    decoded = decoder(narrow).decode(confluent(narrow, {**RECORD, "value": 3, "x": 0.5}), None)
    assert (decoded["value"], decoded["x"]) == (3, 0.5)


def test_a_logical_timestamp_stays_an_epoch_number() -> None:
    timestamp = {"type": "long", "logicalType": "timestamp-millis"}
    schema = writer_schema({"name": "event_time", "type": timestamp}, without=("event_time",))
    encoded = confluent(writer_schema({"name": "event_time", "type": "long"}, without=("event_time",)), RECORD)
    assert decoder(schema).decode(encoded, None)["event_time"] == RECORD["event_time"]


RECURSIVE = {
    "name": "next",
    "type": ["null", {"type": "record", "name": "Link", "fields": [{"name": "n", "type": ["null", "Link"]}]}],
}


@pytest.mark.parametrize(
    "field",
    [
        RECURSIVE,
        {"name": "bomb", "type": {"type": "array", "items": "null"}},
        {"name": "bomb", "type": {"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}}},
        {"name": "bomb", "type": {"type": "array", "items": {"type": "fixed", "name": "None", "size": 0}}},
        {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}},
    ],
)
def test_a_schema_that_could_harm_is_refused_at_start_up(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="schema id 7 cannot be used"):
        decoder(writer_schema(field))


def test_a_schema_that_is_none_is_refused_at_start_up() -> None:
    for text in ("", "{", '"string"', '{"type":"record"}', '{"type":"enum","name":"E","symbols":["A"]}'):
        with pytest.raises(ValueError, match="cannot be used"):
            Decoder(LimitRule(), known((1, text)))


def test_an_id_listed_twice_is_refused_at_start_up() -> None:
    text = json.dumps(reading_schema())
    with pytest.raises(ValueError, match="twice"):
        Decoder(LimitRule(), known((1, text), (1, text)))
