"""Protobuf's rules of who reads whom, field by field.

On the wire a field is its number; its name is what the job and JSON go by, and changes without anybody's notice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from udfs.protobuf_schema import ProtobufSchema
from udfs.schema_finding import Finding

_F = FieldDescriptor
_GROUPS: Final = (  # types whose values are written alike
    frozenset((_F.TYPE_INT32, _F.TYPE_UINT32, _F.TYPE_INT64, _F.TYPE_UINT64, _F.TYPE_BOOL, _F.TYPE_ENUM)),
    frozenset((_F.TYPE_SINT32, _F.TYPE_SINT64)),
    frozenset((_F.TYPE_FIXED32, _F.TYPE_SFIXED32)),
    frozenset((_F.TYPE_FIXED64, _F.TYPE_SFIXED64)),
    frozenset((_F.TYPE_STRING, _F.TYPE_BYTES)),
)
_NAMES: Final = {getattr(_F, name): name.removeprefix("TYPE_").lower() for name in dir(_F) if name.startswith("TYPE_")}
_BITS: Final = {_F.TYPE_BOOL: 1, **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_UINT32, _F.TYPE_SINT32, _F.TYPE_ENUM), 32)}
_LAST_COUNTS: Final = frozenset((_F.TYPE_STRING, _F.TYPE_BYTES, _F.TYPE_MESSAGE))


def compare_protobuf(versions: str, reader: ProtobufSchema, writer: ProtobufSchema) -> Iterator[Finding]:
    """Tell what a reader does not have of what a writer wrote.

    Source: Protocol Buffers documentation, "Updating A Message Type"; Confluent Schema Registry, "Protobuf
    compatibility rules".
    """
    known = set(reader.names)
    for name in writer.names:
        if name in known:
            yield from _compare(versions, reader.message(name), writer.message(name))
        else:
            yield Finding(True, versions, name, "the reader has no such message")


def _compare(versions: str, reader: Descriptor, writer: Descriptor) -> Iterator[Finding]:
    written = {field.number: field for field in writer.fields}
    for field in reader.fields:
        source = written.pop(field.number, None)
        if source is not None:
            yield from _compare_field(versions, field, source)
        elif _is_required(field):
            yield Finding(True, versions, field.name, "it is required, and the writer does not have it")
    moved = Counter(
        field.containing_oneof.name
        for field in reader.fields
        if field.containing_oneof is not None
        and field.number in writer.fields_by_number
        and writer.fields_by_number[field.number].containing_oneof is None
    )
    for name, count in moved.items():
        if count > 1:
            yield Finding(True, versions, name, f"{count} fields that can be set together are one of them only here")
    for source in written.values():
        if source.name in reader.fields_by_name:
            number = reader.fields_by_name[source.name].number
            yield Finding(True, versions, source.name, f"its number is {number} and was {source.number}")


def _compare_field(versions: str, field: FieldDescriptor, source: FieldDescriptor) -> Iterator[Finding]:
    name, number = field.name, field.number
    if field.name != source.name:
        message = (
            f"number {number} is {source.name} for the writer; the job needs that as an alias of its reader schema"
        )
        yield Finding(False, versions, name, message)
    if not _is_written_alike(field, source):
        yield Finding(True, versions, name, f"{_type(field)} cannot be read from {_type(source)} (number {number})")
    elif _BITS.get(field.type, 64) < _BITS.get(source.type, 64):
        yield Finding(False, versions, name, f"{_type(source)} that does not fit into {_type(field)} is cut")
    if _is_repeated(field) != _is_repeated(source):
        one, many = ("repeated", "single") if _is_repeated(field) else ("single", "repeated")
        lossy = field.type in _LAST_COUNTS
        yield Finding(not lossy, versions, name, f"{one} here and {many} there" + ("; the last one counts" * lossy))
    if _is_required(field) and not _is_required(source):
        yield Finding(True, versions, name, "it is required, and the writer may leave it out")


def _is_written_alike(field: FieldDescriptor, source: FieldDescriptor) -> bool:
    if field.message_type is not None and source.message_type is not None:
        return bool(field.message_type.full_name == source.message_type.full_name)
    return field.type == source.type or any({field.type, source.type} <= group for group in _GROUPS)


def _type(field: FieldDescriptor) -> str:
    named = field.message_type or field.enum_type
    return str(named.full_name if named else _NAMES[field.type])


def _is_repeated(field: FieldDescriptor) -> bool:
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)


def _is_required(field: FieldDescriptor) -> bool:
    return bool(field.label == FieldDescriptor.LABEL_REQUIRED)
