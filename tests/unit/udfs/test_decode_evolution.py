"""Laws of resolving a writer's Avro to the reader's: aliases, promotions, defaults, and what is refused."""

from __future__ import annotations

import copy
import json
from io import BytesIO
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.avro_resolution import AS_IT_IS, resolve
from udfs.decode import Decoder
from udfs.reasons import Reason, Rejected
from udfs.rules import LimitRule, SchemaRule
from udfs.schemas import reading_schema
from udfs.writer_schema import SchemaFormat, UnusableSchema, WriterSchema

RECORD: dict[str, Any] = {
    "sensor_id": "s-1", "metric": "pm25", "value": 12.5, "unit": "1", "event_time": 1_700_000_000_123,
    "x": -0.5, "y": 51.5,
}  # fmt: skip
_PRIMITIVES = ("int", "long", "float", "double", "string", "bytes", "boolean")


def reading(*fields: dict[str, Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """`reading.avsc` with other fields, and with some fields replaced."""
    replaced = {field["name"] for field in fields} | set(without)
    schema = reading_schema()
    schema["fields"] = [f for f in schema["fields"] if f["name"] not in replaced] + list(fields)
    return schema


def decoder(writer: Any, reader: Any = None) -> Decoder:
    known = WriterSchema(SchemaFormat.AVRO, json.dumps(writer))
    return Decoder(LimitRule(), SchemaRule(((1, known),), json.dumps(reader) if reader else ""))


def through(writer: Any, record: dict[str, Any], reader: Any = None) -> dict[str, Any]:
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(copy.deepcopy(writer)), record)
    return decoder(writer, reader).decode(b"\0\0\0\0\1" + out.getvalue(), "application/avro")


def field(name: str, kind: Any, *aliases: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **({"aliases": list(aliases)} if aliases else {}), **more}


def test_a_renamed_field_is_found_by_the_readers_alias() -> None:
    old = reading(field("zone", "string"), without=("region",))
    new = reading(field("region", ["null", "string"], "zone", default=None))
    assert through(old, {**RECORD, "zone": "tees"}, new)["region"] == "tees"
    assert "zone" not in through(old, {**RECORD, "zone": "tees"}, new)


def test_the_new_name_counts_where_a_writer_has_both() -> None:
    both = reading(field("zone", "string"))
    new = reading(field("region", ["null", "string"], "zone", default=None))
    decoded = through(both, {**RECORD, "zone": "old", "region": "new"}, new)
    assert (decoded["region"], decoded["zone"]) == ("new", "old")


def test_what_the_reader_does_not_know_stays_also_when_something_is_resolved() -> None:
    old = reading(field("zone", "string"), field("battery", "float"), field("raw", "bytes"), without=("region",))
    new = reading(field("region", ["null", "string"], "zone", default=None))
    decoded = through(old, {**RECORD, "zone": "tees", "battery": 3.5, "raw": b"\xff"}, new)
    assert (decoded["region"], decoded["battery"], decoded["raw"]) == ("tees", 3.5, "/w==")


def test_a_removed_field_has_the_readers_default() -> None:
    new = reading(field("quality", "string", default="unchecked"))
    assert through(reading(without=("quality",)), RECORD, new)["quality"] == "unchecked"


@pytest.mark.parametrize(
    ("written", "read", "value", "expected"),
    [
        ("int", "long", 3, 3), ("int", "double", 3, 3.0), ("long", "float", 3, 3.0), ("float", "double", 0.5, 0.5),
        ("string", "bytes", "µ", "wrU="), ("bytes", "string", "µ".encode(), "µ"),
        ("int", ["null", "double"], 3, 3.0), (["null", "int"], "double", 3, 3.0),
        (["null", "int"], "double", None, None),
    ],
)  # fmt: skip
def test_types_are_promoted_as_avro_says(written: Any, read: Any, value: Any, expected: Any) -> None:
    decoded = through(reading(field("extra", written)), {**RECORD, "extra": value}, reading(field("extra", read)))
    assert decoded["extra"] == expected and type(decoded["extra"]) is type(expected)


@pytest.mark.parametrize(
    ("name", "written"),
    [("value", "string"), ("x", "bytes"), ("unit", "double"), ("metric", "boolean"), ("sensor_id", "long"),
     ("attributes", "string"), ("event_time", "boolean"), ("value", {"type": "array", "items": "double"})],
)  # fmt: skip
def test_a_changed_type_is_refused_and_named(name: str, written: Any) -> None:
    with pytest.raises(UnusableSchema, match=f"id 1 cannot be used: field {name}: .* cannot be read as"):
        decoder(reading(field(name, written)))


def test_a_changed_type_behind_an_alias_is_named_by_both_names() -> None:
    with pytest.raises(UnusableSchema, match=r"field value \(written as val\): string cannot be read as double"):
        decoder(reading(field("val", "string"), without=("value",)), reading(field("value", "double", "val")))


def test_a_union_of_which_a_branch_is_not_read_is_judged_by_its_values() -> None:
    mixed = reading(field("quality", ["null", "boolean", "string"]))
    assert through(mixed, {**RECORD, "quality": "ok"})["quality"] == "ok"
    assert through(mixed, {**RECORD, "quality": True})["quality"] is True


def test_an_enum_is_read_as_text() -> None:
    flag = {"type": "enum", "name": "Flag", "symbols": ["GOOD", "BAD"]}
    renamed = reading(field("region", ["null", "string"], "zone", default=None))
    writer = reading(field("quality", flag), field("zone", "string"), without=("region",))
    assert through(writer, {**RECORD, "quality": "BAD", "zone": "z"}, renamed)["quality"] == "BAD"
    assert through(reading(field("quality", flag)), {**RECORD, "quality": "BAD"})["quality"] == "BAD"


def test_bytes_that_are_no_text_are_malformed_where_text_is_read() -> None:
    with pytest.raises(Rejected) as caught:
        through(reading(field("unit", "bytes")), {**RECORD, "unit": b"\xff\xfe"})
    assert caught.value.reason is Reason.MALFORMED_AVRO


def test_a_reader_schema_that_is_none_is_refused_at_start_up() -> None:
    for text in ("{", "[]", '"string"', '{"type":"record","name":"R"}'):
        with pytest.raises(UnusableSchema, match=r"^reader: "):
            Decoder(LimitRule(), SchemaRule((), text))


@pytest.mark.parametrize(
    "writer",
    [
        reading(),
        reading(field("battery", "double")),
        reading(without=("event_id", "z", "quality", "attributes")),
        reading(field("value", "int"), field("x", "float"), field("event_time", "long")),
    ],
)
def test_the_usual_writers_are_read_without_resolution(writer: Any) -> None:
    """Resolution reads a record twice: it must not become the usual case unnoticed."""
    assert resolve(writer, reading()) == AS_IT_IS


@given(
    written=st.sampled_from(_PRIMITIVES),
    read=st.sampled_from(_PRIMITIVES),
    renamed=st.booleans(),
    body=st.binary(max_size=120),
)
def test_whatever_the_writer_any_bytes_are_read_or_refused_with_a_reason(
    written: str, read: str, renamed: bool, body: bytes
) -> None:
    name, aliases = ("old_name", ("old_name",)) if renamed else ("extra", ())
    try:
        reads = decoder(reading(field(name, written)), reading(field("extra", read, *aliases)))
    except UnusableSchema:
        return
    try:
        orjson.dumps(reads.decode(b"\0\0\0\0\1" + body, None))
    except Rejected as rejected:
        assert rejected.reason is Reason.MALFORMED_AVRO
