"""Laws of decoding Protobuf: Confluent's frame and bare messages, and what bytes from outside must not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from jobs.schemas.protoc import compile_file, compile_texts
from udfs.decode import Decoder
from udfs.protobuf_encoding import encode_confluent_message, encode_message
from udfs.protobuf_schema import ProtobufSchema, protobuf_schema, read_indexes, write_indexes
from udfs.reasons import Reason, Rejected
from udfs.rules import LimitRule, SchemaRule
from udfs.schemas import reading_files, reading_schema
from udfs.writer_schema import UnusableSchema, WriterSchema

SCHEMAS = Path(__file__).resolve().parents[3] / "udfs" / "schemas"
RECORD: dict[str, Any] = {
    "event_id": "e-1", "sensor_id": "s-1", "region": "thames", "metric": "pm25", "value": 12.5, "unit": "µg/m³",
    "event_time": 1_700_000_000_123, "x": -0.12, "y": 51.5, "crs": "EPSG:4326",
}  # fmt: skip
SCHEMA_ID = 7
FRAME = b"\0\0\0\0\7"
PROTOBUF = "application/x-protobuf"

SHOP = """
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "common/unit.proto";
message Batch { message Sample {
  string metric = 1;
  google.protobuf.DoubleValue value = 2;
  shop.Unit unit = 3;
  google.protobuf.Timestamp event_time = 4;
  float x = 5;
  sint32 y = 6;
  bytes raw = 7;
  map<string, int64> counts = 8;
  repeated string tags = 9;
  Inner inner = 10;
  message Inner { uint64 big = 1; Inner deeper = 2; }
} }
"""
UNIT = 'syntax = "proto3"; package shop; enum Unit { degC = 0; hPa = 1; }'


def decoder(schema: WriterSchema | None = None, reader: str = "") -> Decoder:
    return Decoder(LimitRule(), SchemaRule(((SCHEMA_ID, schema or protobuf_schema(reading_files())),), reader))


def proto(text: str, **imported: str) -> WriterSchema:
    files = {name.replace("__", "/") + ".proto": body for name, body in imported.items()}
    return protobuf_schema(compile_texts({"root.proto": text, **files}, "root.proto"))


def message(schema: WriterSchema, name: str, fields: dict[str, Any]) -> bytes:
    encoded: bytes = ParseDict(fields, GetMessageClass(ProtobufSchema(schema.text).message(name))()).SerializeToString()
    return encoded


def reason_of(value: bytes, content_type: str | None = None, using: Decoder | None = None) -> Reason:
    with pytest.raises(Rejected) as caught:
        (using or decoder()).decode(value, content_type)
    return caught.value.reason


@pytest.fixture(scope="module")
def shop() -> WriterSchema:
    return proto(SHOP, common__unit=UNIT)


def test_the_compiled_schema_is_that_of_its_text() -> None:
    assert compile_file(SCHEMAS / "reading.proto") == reading_files()


def test_the_message_has_the_fields_of_the_avro_record() -> None:
    names = {f.name for f in ProtobufSchema(protobuf_schema(reading_files()).text).message("meridian.Reading").fields}
    assert names == {f["name"] for f in reading_schema()["fields"]}


@pytest.mark.parametrize("content_type", [None, PROTOBUF, "application/vnd.google.protobuf; charset=utf-8"])
def test_confluents_frame_is_read(content_type: str | None) -> None:
    assert decoder().decode(encode_confluent_message(SCHEMA_ID, RECORD), content_type) == RECORD


@pytest.mark.parametrize(
    "content_type",
    [PROTOBUF, "application/protobuf; messageType=meridian.Reading", f'{PROTOBUF}; proto="meridian.Reading"'],
)
def test_a_bare_message_is_read_by_the_name_in_its_content_type(content_type: str) -> None:
    assert decoder().decode(encode_message(RECORD), content_type) == RECORD


def test_fields_outside_the_message_travel_as_attributes() -> None:
    decoded = decoder().decode(encode_message({**RECORD, "battery": 3.5, "site": {"roof": [1, None, True]}}), PROTOBUF)
    assert decoded["attributes"] == {"battery": 3.5, "site": {"roof": [1.0, None, True]}}


def test_what_is_absent_is_absent_and_zero_is_zero() -> None:
    decoded = decoder().decode(encode_message({"metric": "m", "unit": "1", "value": 0.0, "x": 0.0, "y": 1.0}), PROTOBUF)
    assert decoded == {"metric": "m", "unit": "1", "value": 0.0, "x": 0.0, "y": 1.0}


def test_a_shops_own_message_is_read_with_its_imports_and_well_known_types(shop: WriterSchema) -> None:
    fields = {
        "metric": "air", "value": 21.5, "unit": "hPa", "event_time": "2024-05-06T07:08:09.123Z", "x": 0.5, "y": -3,
        "raw": "AP8=", "counts": {"a": "5"}, "tags": ["t"], "inner": {"big": "18446744073709551615", "deeper": {}},
    }  # fmt: skip
    body = message(shop, "shop.v1.Batch.Sample", fields)
    decoded = decoder(shop).decode(FRAME + write_indexes((0, 0)) + body, None)
    expected = {**fields, "counts": {"a": 5}, "inner": {"big": 2**64 - 1, "deeper": {"big": 0}}}
    assert decoded == expected
    orjson.dumps(decoded)


def test_an_alias_of_the_reader_finds_a_renamed_field() -> None:
    writer = proto('syntax = "proto3"; message R { string metric = 1; double val = 2; }')
    reader = reading_schema()
    [value] = [f for f in reader["fields"] if f["name"] == "value"]
    value["aliases"] = ["val"]
    decoded = decoder(writer, orjson.dumps(reader).decode()).decode(
        FRAME + b"\0" + message(writer, "R", {"val": 2}), None
    )
    assert decoded["value"] == 2.0 and "val" not in decoded


@pytest.mark.parametrize(
    ("kind", "name"), [("string", "value"), ("bool", "x"), ("int64", "unit"), ("repeated double", "value")]
)
def test_a_changed_type_is_refused_and_named(kind: str, name: str) -> None:
    with pytest.raises(UnusableSchema, match=f"id 7 cannot be used: field {name}: "):
        decoder(proto(f'syntax = "proto3"; message R {{ {kind} {name} = 1; }}'))


def test_an_unknown_message_is_named_so() -> None:
    assert reason_of(encode_message(RECORD), f"{PROTOBUF}; messageType=shop.Nothing") is Reason.UNKNOWN_SCHEMA
    assert reason_of(b"\0\0\0\0\x63\0") is Reason.UNKNOWN_SCHEMA


def test_a_content_type_that_contradicts_the_schema_is_unsupported() -> None:
    assert reason_of(encode_confluent_message(SCHEMA_ID, RECORD), "application/avro") is Reason.UNSUPPORTED_CONTENT_TYPE


@pytest.mark.parametrize(
    "indexes", [b"", b"\x01", b"\x02\x01", b"\x02\x02", b"\x04\x00\x00", b"\x80", b"\xff\xff\xff\xff\xff\x01", b"\x7e"]
)
def test_broken_message_indexes_are_malformed(indexes: bytes) -> None:
    assert reason_of(FRAME + indexes) is Reason.MALFORMED_PROTOBUF


def test_a_frame_that_is_short_is_malformed() -> None:
    assert reason_of(b"\0\0\0", PROTOBUF) is Reason.MALFORMED_PROTOBUF


def test_a_truncated_message_is_malformed_or_ends_after_a_field() -> None:
    encoded, unset = encode_message(RECORD), {"metric": "", "unit": "", "value": 0.0, "x": 0.0, "y": 0.0}
    for length in range(len(encoded)):
        try:
            decoded = decoder().decode(encoded[:length], PROTOBUF)
        except Rejected as rejected:
            assert rejected.reason is Reason.MALFORMED_PROTOBUF
        else:
            assert all(value in (RECORD[name], unset.get(name)) for name, value in decoded.items())


def test_a_message_nested_deeper_than_can_be_written_is_malformed() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = {"a": deep}
    assert reason_of(encode_message({**RECORD, "deep": deep}), PROTOBUF) is Reason.MALFORMED_PROTOBUF


@given(body=st.binary(max_size=200), framed=st.booleans())
def test_any_bytes_are_read_or_refused_with_a_reason(body: bytes, framed: bool) -> None:
    try:
        orjson.dumps(decoder().decode(FRAME + body if framed else body, PROTOBUF))
    except Rejected as rejected:
        allowed = {Reason.MALFORMED_PROTOBUF, Reason.UNKNOWN_SCHEMA} | (
            {Reason.MALFORMED_AVRO} if not framed else set()
        )
        assert rejected.reason in allowed


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=16))
def test_message_indexes_come_back_as_they_were_written(indexes: list[int]) -> None:
    written = write_indexes(indexes)
    assert read_indexes(b"x" + written + b"y", 1) == (tuple(indexes), 1 + len(written))


@pytest.mark.parametrize("text", ["", "!!", "AAAA"])
def test_what_is_no_set_of_files_is_refused_at_start_up(text: str) -> None:
    with pytest.raises(UnusableSchema, match="cannot be used"):
        decoder(WriterSchema(protobuf_schema(b"").format, text))


@pytest.mark.parametrize(
    "text", ["message {", 'syntax = "proto3";', 'syntax = "proto3"; import "gone.proto"; message M {}']
)
def test_a_text_that_does_not_compile_or_holds_no_message_is_refused(text: str) -> None:
    with pytest.raises(UnusableSchema):
        decoder(proto(text))


@pytest.mark.parametrize("name", ["/etc/x.proto", "../x.proto"])
def test_an_import_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(UnusableSchema, match="relative path"):
        compile_texts({"root.proto": "", name: ""}, "root.proto")
