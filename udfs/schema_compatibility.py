"""Tell before a deployment whether versions of a schema can run together, and whether the job reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import combinations, pairwise
from typing import Any, Final

import avro.schema
import orjson

from udfs.avro_compatibility import compare_avro
from udfs.avro_reader import AvroReader
from udfs.avro_resolution import parse_record, reader_record
from udfs.protobuf_compatibility import compare_protobuf
from udfs.protobuf_reader import ProtobufReader
from udfs.protobuf_schema import ProtobufSchema
from udfs.schema_finding import Finding
from udfs.schemas import reading_schema
from udfs.writer_schema import ChangedType, SchemaFormat, UnusableSchema, WriterSchema

_NUMBERS: Final = frozenset(("int", "long", "float", "double"))
_TEXTS: Final = frozenset(("string", "enum", "bytes"))
_TYPES_OF_READING: Final = {
    **dict.fromkeys(("event_id", "sensor_id", "region", "metric", "unit", "crs"), _TEXTS),
    **dict.fromkeys(("value", "x", "y", "z"), _NUMBERS),
    **dict.fromkeys(("event_time", "quality"), _NUMBERS | _TEXTS),
}
_REQUIRED: Final = ("metric", "value", "unit", "x", "y")
_FROM_HEADERS: Final = {"sensor_id": "sensor_id", "event_time": "event_timestamp", "crs": "crs_source"}


class Compatibility(StrEnum):
    """Who has to understand whom, as Confluent's registry names it; `…_transitive`: all versions, else neighbours."""

    NONE = "none"
    BACKWARD = "backward"  # a later version reads what earlier ones wrote: upgrade the jobs first
    BACKWARD_TRANSITIVE = "backward_transitive"
    FORWARD = "forward"  # an earlier version reads what later ones write: upgrade the producers first
    FORWARD_TRANSITIVE = "forward_transitive"
    FULL = "full"  # both: old and new producers and jobs run together
    FULL_TRANSITIVE = "full_transitive"

    @property
    def directions(self) -> frozenset[str]:
        """`backward`, `forward`, both or neither."""
        kind = self.value.removesuffix("_transitive")
        return frozenset(("backward", "forward") if kind == "full" else () if kind == "none" else (kind,))

    @property
    def is_transitive(self) -> bool:
        return self.value.endswith("_transitive")


def check_versions(versions: Sequence[tuple[str, WriterSchema]], level: Compatibility) -> list[Finding]:
    """Compare versions of a schema with one another.

    Parameters
    ----------
    versions
        (name, schema), oldest first, all of one format.
    level
        Who has to read whom.

    Returns
    -------
        What breaks, and what is lost in silence; empty: they can run together.

    Raises
    ------
    UnusableSchema
        One is not an Avro record or a Protobuf file, or they are not of one format.

    Source: Confluent Schema Registry documentation, "Schema Evolution and Compatibility".
    """
    parsed = [(name, _parse(name, schema)) for name, schema in versions]
    if len({schema.format for _, schema in versions}) > 1:
        raise UnusableSchema("a subject has versions of one format, either Avro or Protobuf")
    findings: list[Finding] = []
    for (old_name, old), (new_name, new) in combinations(parsed, 2) if level.is_transitive else pairwise(parsed):
        if "backward" in level.directions:
            findings += _compare(f"{new_name} reads {old_name}", new, old)
        if "forward" in level.directions:
            findings += _compare(f"{old_name} reads {new_name}", old, new)
    return findings


def check_for_job(name: str, schema: WriterSchema, reader: str = "") -> list[Finding]:
    """Tell whether the job reads what is written with a schema.

    The job takes fields by the names and aliases of its reader schema; others become attributes. What it needs must be
    there, and of a type that it reads.

    Parameters
    ----------
    name
        Of the version, for the answer.
    schema
        A writer's; of a Protobuf file its first message.
    reader
        The job's reader schema as JSON; empty: the project's own.

    Returns
    -------
        What breaks, and what depends on headers or values.

    Raises
    ------
    UnusableSchema
        It is not an Avro record or a Protobuf file, or `udfs.decode` cannot have it.
    """
    reads = reader_record(reader or orjson.dumps(reading_schema()).decode())
    parsed = _parse(name, schema)
    versions = f"the job reads {name}"
    written: dict[str, Any]
    if isinstance(parsed, ProtobufSchema):
        written = {field.name: None for field in parsed.message_at((0,)).fields}
    else:
        written = {field.name: field.type for field in parsed.fields}
    findings = []
    for field in reads["fields"]:
        source = next((n for n in (field["name"], *field.get("aliases", ())) if n in written), None)
        problem = _absent(field) if source is None else _unfit(field["name"], written[source])
        if problem is not None:
            findings.append(Finding(problem[0], versions, field["name"], problem[1]))
    if not any(finding.breaks for finding in findings):
        try:
            (AvroReader if schema.format is SchemaFormat.AVRO else ProtobufReader)(schema.text, reads)
        except ChangedType as error:
            findings.append(Finding(True, versions, error.field, error.message))
        except UnusableSchema as error:
            raise UnusableSchema(f"{name}: {error}") from None
    return findings


def _parse(name: str, schema: WriterSchema) -> avro.schema.RecordSchema | ProtobufSchema:
    try:
        if schema.format is SchemaFormat.PROTOBUF:
            return ProtobufSchema(schema.text)
        document = orjson.loads(schema.text)
    except UnusableSchema as error:
        raise UnusableSchema(f"{name}: {error}") from None
    except orjson.JSONDecodeError as error:
        raise UnusableSchema(f"{name}: not an Avro schema: {error}") from None
    return parse_record(name, document)


def _compare(versions: str, reader: Any, writer: Any) -> Iterator[Finding]:
    compare = compare_protobuf if isinstance(reader, ProtobufSchema) else compare_avro
    return compare(versions, reader, writer)


def _absent(field: dict[str, Any]) -> tuple[bool, str] | None:
    name = field["name"]
    if field.get("default"):
        return None
    if name in _REQUIRED:
        return True, "the writer does not have it: every reading would be refused as missing_field"
    if name in _FROM_HEADERS:
        return False, f"the writer does not have it: each record needs the header {_FROM_HEADERS[name]}"
    return None


def _unfit(name: str, schema: avro.schema.Schema | None) -> tuple[bool, str] | None:
    if schema is None:
        return None
    allowed = _TYPES_OF_READING.get(name)
    branches = [branch.type for branch in getattr(schema, "schemas", [schema])]
    wrong = [branch for branch in branches if allowed is not None and branch not in allowed and branch != "null"]
    if wrong and allowed is not None:
        kinds = " or ".join(sorted(allowed))
        return True, f"it cannot be {' or '.join(wrong)}: the job reads {kinds}"
    if "null" in branches and name in _REQUIRED:
        return False, "null is refused as missing_field"
    return None
