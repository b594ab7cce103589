"""Tell before a deployment whether versions of an Avro schema can run together, and whether the job reads them.

The rules are Avro's own (`avro.compatibility`): a reader takes int for long, long for double, text for bytes, a field
by one of its aliases, a missing field by its default. Here they are asked field by field, so that the answer names
the field and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import combinations
from typing import Any, Final, NamedTuple

import avro.schema
import orjson
from avro.compatibility import (
    ReaderWriterCompatibilityChecker,
    SchemaCompatibilityType,
    lookup_writer_field,
    schema_name_equals,
)
from avro.errors import AvroException

from udfs.decode import Decoder
from udfs.rules import LimitRule
from udfs.schemas import reading_schema

Schema = dict[str, Any]

_NUMBERS: Final = frozenset(("int", "long", "float", "double"))
_TEXTS: Final = frozenset(("string", "enum"))
_TYPES_OF_READING: Final = {
    **dict.fromkeys(("event_id", "sensor_id", "region", "metric", "unit", "crs"), _TEXTS),
    **dict.fromkeys(("value", "x", "y", "z"), _NUMBERS),
    **dict.fromkeys(("event_time", "quality"), _NUMBERS | _TEXTS),
}
_REQUIRED: Final = ("metric", "value", "unit", "x", "y")
_FROM_HEADERS: Final = {"sensor_id": "sensor_id", "event_time": "event_timestamp", "crs": "crs_source"}


class Direction(StrEnum):
    """Who has to understand whom, as Confluent's registry names it; always among all versions (`…_TRANSITIVE`)."""

    BACKWARD = "backward"  # a later version reads what earlier ones wrote: upgrade the jobs first
    FORWARD = "forward"  # an earlier version reads what later ones write: upgrade the producers first
    FULL = "full"  # both: old and new producers and jobs run together


class Finding(NamedTuple):
    """One thing about one field."""

    breaks: bool  # False: it can be deployed, but somebody should know
    versions: str  # such as `v2 reads v1`, or `the job reads v2`
    field: str
    message: str


class UnusableSchema(ValueError):  # noqa: N818
    """It is not Avro, or the job cannot have it as a writer's schema; one line."""


def check_versions(versions: Sequence[tuple[str, Schema]], direction: Direction) -> list[Finding]:
    """Compare all versions of a schema with one another.

    Parameters
    ----------
    versions
        (name, schema as plain JSON), oldest first.
    direction
        Who has to read whom.

    Returns
    -------
        What breaks, and what is lost in silence; empty: they can run together.

    Raises
    ------
    UnusableSchema
        One is not an Avro record.

    Source: Avro 1.12 specification, "Schema Resolution" and "Aliases"; Confluent Schema Registry, "Schema Evolution
    and Compatibility".
    """
    parsed = [(name, _parse(name, schema)) for name, schema in versions]
    findings: list[Finding] = []
    for (old_name, old), (new_name, new) in combinations(parsed, 2):
        if direction is not Direction.FORWARD:
            findings += _compare(f"{new_name} reads {old_name}", new, old)
        if direction is not Direction.BACKWARD:
            findings += _compare(f"{old_name} reads {new_name}", old, new)
    return findings


def check_for_job(name: str, schema: Schema) -> list[Finding]:
    """Tell whether the job reads what is written with a schema.

    The job takes fields by the names of `reading.avsc`; others become attributes. What it needs must be there, and
    every branch of its type must be one that the stage `validate` takes.

    Parameters
    ----------
    name
        Of the version, for the answer.
    schema
        A writer's schema as plain JSON.

    Returns
    -------
        What breaks, and what depends on headers or values.

    Raises
    ------
    UnusableSchema
        It is not an Avro record, or `udfs.decode` cannot have it.
    """
    record = _parse(name, schema)
    try:
        Decoder(LimitRule(), ((0, orjson.dumps(schema).decode()),))
    except ValueError as error:
        raise UnusableSchema(f"{name}: {error}") from None
    versions = f"the job reads {name}"
    findings = []
    for field in reading_schema()["fields"]:
        found = record.fields_dict.get(field["name"])
        problem = _absent(field["name"]) if found is None else _unfit(field["name"], found.type)
        if problem is not None:
            findings.append(Finding(problem[0], versions, field["name"], problem[1]))
    return findings


def _parse(name: str, schema: Schema) -> avro.schema.RecordSchema:
    try:
        parsed = avro.schema.parse(orjson.dumps(schema).decode())
    except (AvroException, TypeError) as error:
        raise UnusableSchema(f"{name}: not an Avro schema: {error}") from None
    if not isinstance(parsed, avro.schema.RecordSchema):
        raise UnusableSchema(f"{name}: the schema is not a record")
    return parsed


def _compare(versions: str, reader: avro.schema.RecordSchema, writer: avro.schema.RecordSchema) -> Iterator[Finding]:
    if not schema_name_equals(reader, writer):
        yield Finding(True, versions, "", f"record {writer.fullname} is not {reader.fullname}: give it as an alias")
    read = {}
    for field in reader.fields:
        source = lookup_writer_field(writer, field)
        if source is not None:
            read[source.name] = field
            checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
            result = checker.get_compatibility(field.type, source.type)
            if result.compatibility is SchemaCompatibilityType.incompatible:
                yield Finding(True, versions, field.name, _as_said(result.messages))
        elif not field.has_default:
            yield Finding(True, versions, field.name, "the writer does not have it: give it a default, or an alias")
    yield from _lost(versions, reader, writer, read)


def _lost(
    versions: str, reader: avro.schema.RecordSchema, writer: avro.schema.RecordSchema, read: dict[str, Any]
) -> Iterator[Finding]:
    """A field under a new name without an alias is compatible by the rules, and its values are gone."""
    lost = [field for field in writer.fields if field.name not in read]
    new = [field for field in reader.fields if field not in read.values()]
    for field in lost:
        similar = [other.name for other in new if str(other.type) == str(field.type)]
        if similar:
            message = f"nobody reads it; if it is now {' or '.join(similar)}, that needs an alias {field.name!r}"
            yield Finding(False, versions, field.name, message)


def _absent(name: str) -> tuple[bool, str] | None:
    if name in _REQUIRED:
        return True, "the writer does not have it: every reading would be refused as missing_field"
    if name in _FROM_HEADERS:
        return False, f"the writer does not have it: each record needs the header {_FROM_HEADERS[name]}"
    return None


def _unfit(name: str, schema: avro.schema.Schema) -> tuple[bool, str] | None:
    allowed = _TYPES_OF_READING.get(name)
    branches = [branch.type for branch in getattr(schema, "schemas", [schema])]
    wrong = [branch for branch in branches if allowed is not None and branch not in allowed and branch != "null"]
    if wrong and allowed is not None:
        kinds = " or ".join(sorted(allowed))
        return True, f"it cannot be {' or '.join(wrong)}: the job reads {kinds}"
    if "null" in branches and name in _REQUIRED:
        return False, "null is refused as missing_field"
    return None


def _as_said(messages: set[str]) -> str:
    return (
        "; ".join(sorted(messages))
        .replace("reader type: ", "")
        .replace(" not compatible with writer type: ", " cannot be read from ")
    )
