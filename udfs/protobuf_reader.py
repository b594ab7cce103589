"""Read Protobuf messages as readings; used by `udfs.decode`.

Fields are taken by their names in the writer's schema, or by the aliases of the reader's, so that a shop's own message
is read without the project's `reading.proto`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from udfs.avro_resolution import NUMBERS_OF_A_READING, Schema
from udfs.avro_schema import to_json_value
from udfs.nesting import MAX_DEPTH, depth_of
from udfs.protobuf_schema import ProtobufSchema, read_indexes
from udfs.reasons import Reason, Rejected
from udfs.writer_schema import ChangedType, SchemaFormat, UnusableSchema

_Convert = Callable[[Any], Any]
_INT, _LONG, _TEXT, _MESSAGE = "int", "long", "string", "message"
_KINDS: Final = {
    FieldDescriptor.CPPTYPE_INT32: _INT,
    FieldDescriptor.CPPTYPE_UINT32: _LONG,
    FieldDescriptor.CPPTYPE_INT64: _LONG,
    FieldDescriptor.CPPTYPE_UINT64: _LONG,
    FieldDescriptor.CPPTYPE_FLOAT: "float",
    FieldDescriptor.CPPTYPE_DOUBLE: "double",
    FieldDescriptor.CPPTYPE_BOOL: "boolean",
    FieldDescriptor.CPPTYPE_STRING: _TEXT,
    FieldDescriptor.CPPTYPE_ENUM: _TEXT,
    FieldDescriptor.CPPTYPE_MESSAGE: _MESSAGE,
}
_PROMOTED: Final = {
    _INT: {_INT, _LONG, "float", "double"},
    _LONG: {_LONG, "float", "double"},
    "float": {"float", "double"},
    "bytes": {"bytes", _TEXT},
    _TEXT: {_TEXT, "bytes"},
}
_AS_TEXT: Final = frozenset(("google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"))


class _Field(NamedTuple):
    written: str  # its name in the message
    name: str  # its name in the record
    has_presence: bool
    omit_empty: bool  # text, bytes and lists without presence: empty and absent are the same
    convert: _Convert | None


class ProtobufReader:
    """A writer's schema, checked once, and the reading of its messages.

    Parameters
    ----------
    text
        See `udfs.writer_schema.WriterSchema`.
    reader
        Avro's schema of what is read: gives aliases, and the types that a field may have.

    Raises
    ------
    UnusableSchema
        It is no Protobuf schema, or a field of its first message has changed its type beyond what Avro would promote.
    """

    format = SchemaFormat.PROTOBUF

    def __init__(self, text: str, reader: Schema) -> None:
        self.schema = ProtobufSchema(text)
        self._reader = reader
        self._at: dict[tuple[int, ...], MessageReader] = {(0,): self._message_reader(self.schema.message_at((0,)))}

    def read(self, value: bytes, start: int) -> dict[str, Any]:
        """Read the message whose indexes begin at `start`, to the value's end.

        Raises
        ------
        Rejected
            MALFORMED_PROTOBUF; UNUSABLE_SCHEMA, of a message that is not the file's first.
        """
        try:
            indexes, begin = read_indexes(value, start)
            reader = self._at.get(indexes)
            if reader is None:
                reader = self._at[indexes] = self._message_reader(self.schema.message_at(indexes))
        except UnusableSchema as error:
            raise Rejected(Reason.UNUSABLE_SCHEMA, str(error)) from None
        except (ValueError, IndexError) as error:
            raise Rejected(Reason.MALFORMED_PROTOBUF, f"message indexes: {error}") from None
        return reader.read(value[begin:])

    def named(self, name: str) -> MessageReader:
        """Give the reader of one message, for values without a frame."""
        return self._message_reader(self.schema.message(name))

    def _message_reader(self, message: Descriptor) -> MessageReader:
        return MessageReader(message, self._reader)


class MessageReader:
    """Reads one kind of message."""

    def __init__(self, message: Descriptor, reader: Schema) -> None:
        self._class = GetMessageClass(message)
        self._fields = _plan(message, reader)
        self._can_nest = any(field.message_type is not None for field in message.fields)

    def read(self, body: bytes) -> dict[str, Any]:
        """Read a message without a frame.

        Raises
        ------
        Rejected
            MALFORMED_PROTOBUF.
        """
        try:
            message = self._class.FromString(body)
            record = _record(message, self._fields)
            if self._can_nest and depth_of(record) > MAX_DEPTH:
                raise ValueError(f"nested more than {MAX_DEPTH} deep")
        # DecodeError for broken bytes, UnicodeDecodeError for proto2 texts, others from well-known types
        except Exception as error:
            raise Rejected(Reason.MALFORMED_PROTOBUF, f"{type(error).__name__}: {str(error)[:200]}") from None
        return record


def _plan(message: Descriptor, reader: Schema) -> list[_Field]:
    names = {field.name for field in message.fields}
    renamed: dict[str, str] = {}
    types: dict[str, Any] = {}
    for field in reader["fields"]:
        name = field["name"]
        source = next((n for n in (name, *field.get("aliases", ())) if n in names), None)
        if source is not None:
            renamed[source], types[source] = name, field["type"]
    plan = []
    for field in message.fields:
        name = renamed.get(field.name, field.name)
        convert = _conversion(field)
        if field.name in types:
            convert = _promotion(name, field, types[field.name]) or convert
        plan.append(_field(field, name, convert))
    return plan


def _field(field: FieldDescriptor, name: str, convert: _Convert | None) -> _Field:
    omit_empty = _is_repeated(field) or field.cpp_type == FieldDescriptor.CPPTYPE_STRING  # bytes too
    return _Field(field.name, name, field.has_presence, omit_empty and not field.has_presence, convert)


def _record(message: Any, fields: list[_Field]) -> dict[str, Any]:
    record = {}
    has, get = message.HasField, getattr
    for written, name, has_presence, omit_empty, convert in fields:
        if has_presence and not has(written):
            continue
        value = get(message, written)
        if omit_empty and not value:
            continue
        record[name] = value if convert is None else convert(value)
    return record


def _promotion(name: str, field: FieldDescriptor, wanted: Any) -> _Convert | None:
    """Check a field's type against the reader's, and convert it where Avro's promotion would."""
    kinds = {_avro_kind(kind) for kind in (wanted if isinstance(wanted, list) else [wanted])}
    if _is_repeated(field):
        kind = "map" if _is_map(field) else "array"
    elif field.type == FieldDescriptor.TYPE_BYTES:
        kind = "bytes"
    elif field.message_type is not None:
        kind = _kind_of_message(field.message_type)
    else:
        kind = _KINDS[field.cpp_type]
    if not _PROMOTED.get(kind, {kind}) & kinds:
        known = " or ".join(sorted(kinds - {"null"}))
        raise ChangedType(name, f"Protobuf {kind} cannot be read as {known}")
    if kind in (_INT, _LONG) and not {_INT, _LONG} & kinds and name not in NUMBERS_OF_A_READING:
        return float
    if kind == "bytes" and "bytes" not in kinds:
        return bytes.decode
    return None


def _avro_kind(schema: Any) -> str:
    kind = schema["type"] if isinstance(schema, dict) else str(schema)
    return _TEXT if kind == "enum" else "map" if kind == "record" else str(kind)


def _kind_of_message(message: Descriptor) -> str:
    if message.full_name in _AS_TEXT:
        return _TEXT
    if message.full_name.startswith("google.protobuf.") and message.full_name.endswith("Value"):
        value = message.fields_by_name.get("value")
        if value is not None:
            return "bytes" if value.type == FieldDescriptor.TYPE_BYTES else _KINDS[value.cpp_type]
    return "map"


def _conversion(field: FieldDescriptor) -> _Convert | None:
    if _is_map(field):
        of_value = _conversion_of_one(field.message_type.fields_by_name["value"]) or _same
        keys = str if field.message_type.fields_by_name["key"].cpp_type != FieldDescriptor.CPPTYPE_BOOL else _bool_key
        return lambda entries: {keys(key): of_value(entries[key]) for key in entries}
    one = _conversion_of_one(field)
    if _is_repeated(field):
        return list if one is None else lambda items: [one(item) for item in items]
    return one


def _conversion_of_one(field: FieldDescriptor) -> _Convert | None:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return to_json_value
    if field.enum_type is not None:
        names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
        return lambda number: names.get(number, number)
    message = field.message_type
    if message is None:
        return None
    if message.full_name.startswith("google.protobuf."):
        if message.full_name.endswith("Value") and "value" in message.fields_by_name:
            inner = _conversion_of_one(message.fields_by_name["value"]) or _same
            return lambda wrapper: inner(wrapper.value)
        to_json: _Convert = json_format.MessageToDict
        return to_json
    return _Nested(message)


class _Nested:
    """A message in a message; planned at its first use, since a message can hold its own kind."""

    def __init__(self, message: Descriptor) -> None:
        self._message = message
        self._fields: list[_Field] | None = None

    def __call__(self, message: Any) -> dict[str, Any]:
        if self._fields is None:
            self._fields = [_field(field, field.name, _conversion(field)) for field in self._message.fields]
        return _record(message, self._fields)


def _is_repeated(field: FieldDescriptor) -> bool:
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _same(value: Any) -> Any:
    return value


def _bool_key(key: bool) -> str:
    return "true" if key else "false"
