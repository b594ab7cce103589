"""How a writer's Avro record becomes the reader's: aliases, promotions, defaults, and what the reader does not know.

Avro's own resolution drops fields that the reader does not have; here they stay, since they become attributes. It also
costs twice what plain reading does, three times with such fields: so a writer whose records come out alike without it
does without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import avro.schema
import orjson
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException

from udfs.avro_schema import read_schema
from udfs.writer_schema import ChangedType, UnusableSchema

Schema = dict[str, Any]

NUMBERS_OF_A_READING: Final = frozenset(("value", "x", "y", "z"))  # the stage `validate` makes them floats
_ALIKE_AS_NUMBERS: Final = {("int", "long"), ("float", "double")}
_WHOLE: Final = frozenset(("int", "long"))
_DECIMAL: Final = frozenset(("float", "double"))


class Resolution(NamedTuple):
    """What to do with a writer's records."""

    reader: Schema | None  # what they are resolved to; None: they are right as they are
    as_written: Mapping[str, str]  # the writer's name and the reader's of fields that are not resolved


AS_IT_IS: Final = Resolution(None, {})


def resolve(writer: Schema, reader: Schema) -> Resolution:
    """Plan the resolution of one writer.

    A field is found by its name, else by one of the reader's aliases. `null` is taken from any writer: what it means
    is a matter of the stage `validate`. A union of which the reader knows some branches is taken as it is written, and
    so is an enum for a text; the values decide then.

    Parameters
    ----------
    writer, reader
        Records as plain JSON, without logical types.

    Raises
    ------
    ChangedType
        A field's type has changed beyond what Avro promotes.
    UnusableSchema
        One of the two is not an Avro record.

    Source: Avro 1.12 specification, "Schema Resolution" and "Aliases".
    """
    written_types = {field.name: field.type for field in parse_record("writer", writer).fields}
    read_types = {field.name: field.type for field in parse_record("reader", reader).fields}
    as_written = {name: name for name in written_types}
    resolved: list[Schema] = []
    alike = True
    for field in reader["fields"]:
        name = field["name"]
        source = next((n for n in (name, *field.get("aliases", ())) if n in as_written), None)
        if source is None:
            if field.get("default"):
                resolved.append(field)
                alike = False
            continue
        alike = alike and source == name
        if not _is_readable(name, read_types[name], source, written_types[source]):
            as_written[source] = name
            continue
        del as_written[source]
        resolved.append(_nullable(field) if _takes_null(written_types[source], read_types[name]) else field)
        alike = alike and _comes_out_alike(name, read_types[name], written_types[source])
    if alike:
        return AS_IT_IS
    named = {key: writer[key] for key in ("name", "namespace") if key in writer}
    return Resolution({"type": "record", **named, "fields": resolved}, as_written)


def parse_record(name: str, schema: Any) -> avro.schema.RecordSchema:
    """Parse an Avro record.

    Raises
    ------
    UnusableSchema
        It is none; the message begins with `name`.
    """
    try:
        parsed = avro.schema.parse(orjson.dumps(schema).decode())
    except (AvroException, TypeError) as error:
        raise UnusableSchema(f"{name}: not an Avro schema: {error}") from None
    if not isinstance(parsed, avro.schema.RecordSchema):
        raise UnusableSchema(f"{name}: the schema is not a record")
    return parsed


def reader_record(text: str) -> Schema:
    """Read the schema that writers are resolved to.

    Raises
    ------
    UnusableSchema
        It is not an Avro record, or not one that `udfs.avro_schema` takes.
    """
    try:
        plain = read_schema(orjson.loads(text)).plain
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableSchema(f"reader: {error}") from None
    parse_record("reader", plain)
    return dict(plain)


def branches(schema: avro.schema.Schema) -> list[avro.schema.Schema]:
    """Give the types that a value can have, `null` left out."""
    return [branch for branch in getattr(schema, "schemas", [schema]) if branch.type != "null"]


def is_readable(reader: avro.schema.Schema, writer: avro.schema.Schema) -> bool:
    """Tell whether Avro's rules let a reader have what a writer wrote."""
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    return bool(checker.get_compatibility(reader, writer).compatibility is SchemaCompatibilityType.compatible)


def _is_readable(name: str, reader: avro.schema.Schema, source: str, writer: avro.schema.Schema) -> bool:
    readable = [is_readable(reader, branch) for branch in branches(writer)]
    if all(readable):
        return True
    takes_text = any(branch.type == "string" for branch in branches(reader))
    if any(readable) or (takes_text and all(branch.type == "enum" for branch in branches(writer))):
        return False
    written = f" (written as {source})" if source != name else ""
    raise ChangedType(f"{name}{written}", f"{_types(writer)} cannot be read as {_types(reader)}")


def _comes_out_alike(name: str, reader: avro.schema.Schema, writer: avro.schema.Schema) -> bool:
    """Tell whether Python has the same value with and without resolution."""
    return all(any(_is_alike(name, r, w) for r in branches(reader)) for w in branches(writer))


def _is_alike(name: str, reader: avro.schema.Schema, writer: avro.schema.Schema) -> bool:
    if (writer.type, reader.type) in _ALIKE_AS_NUMBERS:
        return True
    if name in NUMBERS_OF_A_READING and writer.type in _WHOLE and reader.type in _DECIMAL:
        return True
    return str(reader) == str(writer)


def _takes_null(writer: avro.schema.Schema, reader: avro.schema.Schema) -> bool:
    return _has_null(writer) and not _has_null(reader)


def _has_null(schema: avro.schema.Schema) -> bool:
    return any(branch.type == "null" for branch in getattr(schema, "schemas", [schema]))


def _nullable(field: Schema) -> Schema:
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    return {**field, "type": ["null", *kinds], "default": None}


def _types(schema: avro.schema.Schema) -> str:
    return " or ".join(sorted(branch.type for branch in branches(schema))) or "null"
