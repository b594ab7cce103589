"""Avro's rules of who reads whom, asked field by field, so that the answer names the field and what to do.

A reader takes int for long, long for double, text for bytes, a field by one of its aliases, a missing field by its
default.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import avro.schema
from avro.compatibility import (
    ReaderWriterCompatibilityChecker,
    SchemaCompatibilityType,
    lookup_writer_field,
    schema_name_equals,
)

from udfs.schema_finding import Finding

Record = avro.schema.RecordSchema


def compare_avro(versions: str, reader: Record, writer: Record) -> Iterator[Finding]:
    """Tell what a reader does not have of what a writer wrote.

    Source: Avro 1.12 specification, "Schema Resolution" and "Aliases".
    """
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


def _lost(versions: str, reader: Record, writer: Record, read: dict[str, Any]) -> Iterator[Finding]:
    """A field under a new name without an alias is compatible by the rules, and its values are gone."""
    lost = [field for field in writer.fields if field.name not in read]
    new = [field for field in reader.fields if field not in read.values()]
    for field in lost:
        similar = [other.name for other in new if str(other.type) == str(field.type)]
        if similar:
            message = f"nobody reads it; if it is now {' or '.join(similar)}, that needs an alias {field.name!r}"
            yield Finding(False, versions, field.name, message)


def _as_said(messages: set[str]) -> str:
    return (
        "; ".join(sorted(messages))
        .replace("reader type: ", "")
        .replace(" not compatible with writer type: ", " cannot be read from ")
    )
