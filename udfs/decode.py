"""Turn a record's bytes into a dict of fields: the stage `decode`, JSON, Avro and Protobuf."""

from __future__ import annotations

from typing import Any, Protocol

import orjson

from udfs.avro_reader import AvroReader
from udfs.avro_resolution import reader_record
from udfs.nesting import MAX_DEPTH, depth_of
from udfs.protobuf_reader import MessageReader, ProtobufReader
from udfs.protobuf_schema import protobuf_schema
from udfs.reasons import Reason, Rejected
from udfs.rules import LimitRule, SchemaRule
from udfs.schema_lookup import SchemaLookup, SchemaSource
from udfs.schemas import reading_files, reading_schema
from udfs.writer_schema import SchemaFormat, UnusableSchema, WriterSchema

_SNIFF, _JSON, _AVRO, _PROTOBUF = "", "json", SchemaFormat.AVRO, SchemaFormat.PROTOBUF
_CONTENT_TYPES = {
    "application/json": _JSON,
    "text/json": _JSON,
    "application/avro": _AVRO,
    "application/x-avro": _AVRO,
    "application/vnd.apache.avro": _AVRO,
    "application/vnd.confluent.avro": _AVRO,
    "application/x-avro-binary": _AVRO,
    "application/avro-binary": _AVRO,
    "avro/binary": _AVRO,
    "application/protobuf": _PROTOBUF,
    "application/x-protobuf": _PROTOBUF,
    "application/x-google-protobuf": _PROTOBUF,
    "application/vnd.google.protobuf": _PROTOBUF,
    "application/vnd.confluent.protobuf": _PROTOBUF,
}
_CONTENT_TYPE_CACHE_SIZE = 256
_OWN_MESSAGE = "meridian.Reading"


class Decoder:
    """Decode the value of raw records.

    Parameters
    ----------
    limits
        `max_body_bytes` bounds the size of a value.
    schemas
        The writers that are known by a registry's id, and what all are resolved to. Avro writers are also known by
        their fingerprint, and Protobuf messages by their name when no id is given. The project's own `reading.avsc`
        and `reading.proto` always are, and have an id only when they are listed with one.
    source
        Asked for ids that are not known; None: they are refused.

    Raises
    ------
    UnusableSchema
        A schema cannot be read or is listed twice, see `AvroReader` and `ProtobufReader`.
    """

    def __init__(
        self, limits: LimitRule, schemas: SchemaRule | None = None, source: SchemaSource | None = None
    ) -> None:
        rule = schemas or SchemaRule()
        self._max_body_bytes = limits.max_body_bytes
        self._formats: dict[str | None, str] = {None: _SNIFF}
        self._message_of: dict[str | None, str] = {}  # by content type
        self._reader_schema = reader_record(rule.reader or orjson.dumps(reading_schema()).decode())
        self._lookup = None if source is None else SchemaLookup(source, rule.lookup)
        self._by_id: dict[bytes, _Reader] = {}
        self._by_fingerprint: dict[bytes, AvroReader] = {}
        self._by_message: dict[str, MessageReader] = {}
        for schema_id, schema in (*rule.known, *_own_schemas()):
            self._know(schema_id, schema)

    def decode(self, value: bytes | None, content_type: str | None) -> dict[str, Any]:
        """Decode one value.

        Fields of Avro and Protobuf are resolved to the reader's schema by name and alias: what a writer does not have
        is absent or the reader's default, what the reader does not know stays in the record and becomes an attribute,
        and numbers are promoted here or by the stage `validate`. Of duplicate JSON keys the last counts; JSON integers
        over 64 bits become floats.

        Parameters
        ----------
        value
            The Kafka value, up to `max_body_bytes` bytes; None is a tombstone.
        content_type
            Media type, parameters tolerated; None: a schema's when the value starts with one of the magics, else JSON.

        Returns
        -------
            The fields. Every value can be written as JSON and is nested at most 32 deep.

        Raises
        ------
        Rejected
            TOMBSTONE, BODY_TOO_LARGE, UNSUPPORTED_CONTENT_TYPE, MALFORMED_JSON, NOT_AN_OBJECT, MALFORMED_AVRO,
            MALFORMED_PROTOBUF, UNKNOWN_SCHEMA, UNUSABLE_SCHEMA, SCHEMA_UNREACHABLE.

        Source: RFC 8259 (JSON), RFC 9110 §8.3 (media types), Avro 1.12 specification "Single-object encoding" and
        "Schema Resolution", Confluent Schema Registry documentation "Wire format".
        """
        if value is None:
            raise Rejected(Reason.TOMBSTONE, "the record has no value")
        if len(value) > self._max_body_bytes:
            raise Rejected(Reason.BODY_TOO_LARGE, f"{len(value)} bytes, more than {self._max_body_bytes}")
        encoding = self._formats.get(content_type)
        if encoding is None:
            encoding = self._read_content_type(content_type or "")
        if encoding is not _JSON and (encoding is not _SNIFF or value[:1] in (b"\x00", b"\xc3")):
            return self._decode_binary(value, encoding, content_type)
        try:
            record = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise Rejected(Reason.MALFORMED_JSON, str(error)) from None
        if type(record) is not dict:
            raise Rejected(Reason.NOT_AN_OBJECT, f"the JSON value is a {type(record).__name__}, not an object")
        # Two memchr scans; the depth itself is measured only where it could be too large.
        if value.count(b"{") + value.count(b"[") > MAX_DEPTH and depth_of(record) > MAX_DEPTH:
            raise Rejected(Reason.MALFORMED_JSON, f"nested more than {MAX_DEPTH} deep")
        return record

    def _decode_binary(self, value: bytes, encoding: str, content_type: str | None) -> dict[str, Any]:
        if value[:1] == b"\x00":
            reader = self._by_id.get(value[1:5]) or self._look_up(value, encoding)
            if encoding is not reader.format and _SNIFF not in (encoding, reader.format):
                message = f"content type {content_type!r} of schema id {_id_of(value)}, which is {reader.format}"
                raise Rejected(Reason.UNSUPPORTED_CONTENT_TYPE, message)
            return reader.read(value, 5)
        if encoding is _PROTOBUF:
            name = self._message_of.get(content_type) or _message_name(content_type or "")
            message_reader = self._by_message.get(name)
            if message_reader is None:
                raise Rejected(Reason.UNKNOWN_SCHEMA, f"message {name[:200]}")
            return message_reader.read(value)
        if value[:2] != b"\xc3\x01":
            raise Rejected(Reason.MALFORMED_AVRO, f"starts with neither Avro magic: {value[:4].hex(' ')}")
        if len(value) < 10:
            raise Rejected(Reason.MALFORMED_AVRO, f"{len(value)} bytes are shorter than the framing")
        avro_reader = self._by_fingerprint.get(value[2:10])
        if avro_reader is None:
            raise Rejected(Reason.UNKNOWN_SCHEMA, f"schema fingerprint {value[2:10].hex()}")
        return avro_reader.read(value, 10)

    def _look_up(self, value: bytes, encoding: str) -> _Reader:
        if len(value) < 5:
            reason = Reason.MALFORMED_PROTOBUF if encoding is _PROTOBUF else Reason.MALFORMED_AVRO
            raise Rejected(reason, f"{len(value)} bytes are shorter than the framing")
        schema_id = _id_of(value)
        if self._lookup is None:
            raise Rejected(Reason.UNKNOWN_SCHEMA, f"schema id {schema_id}")
        reader: _Reader
        try:
            reader = _reader(self._lookup.find(schema_id), self._reader_schema)
        except UnusableSchema as error:
            reader = _Refusing(f"schema id {schema_id}: {error}")
        self._by_id[value[1:5]] = reader
        return reader

    def _know(self, schema_id: int | None, schema: WriterSchema) -> None:
        name = f"{schema.format} schema" + ("" if schema_id is None else f" id {schema_id}")
        try:
            reader = _reader(schema, self._reader_schema)
        except UnusableSchema as error:
            raise UnusableSchema(f"{name} cannot be used: {error}") from error
        if schema_id is not None:
            key = schema_id.to_bytes(4, "big")
            if key in self._by_id:
                raise UnusableSchema(f"schema id {schema_id} is listed twice")
            self._by_id[key] = reader
        if isinstance(reader, AvroReader):
            self._by_fingerprint.setdefault(reader.fingerprint, reader)
        elif schema_id is None:
            for message in reader.schema.names:
                if message not in self._by_message:
                    self._by_message[message] = reader.named(message)

    def _read_content_type(self, content_type: str) -> str:
        media_type, _, parameters = content_type.lower().partition(";")
        media_type = media_type.strip()
        encoding = _CONTENT_TYPES.get(media_type)
        if encoding is None and media_type.startswith("application/") and media_type.endswith("+json"):
            encoding = _JSON
        charset = [p.partition("=")[2].strip(' "') for p in parameters.split(";") if p.strip().startswith("charset")]
        if encoding is None or any(name not in ("utf-8", "utf8", "us-ascii") for name in charset):
            raise Rejected(Reason.UNSUPPORTED_CONTENT_TYPE, f"content type {content_type[:100]!r}")
        if len(self._formats) < _CONTENT_TYPE_CACHE_SIZE:
            self._formats[content_type] = encoding
            if encoding is _PROTOBUF:
                self._message_of[content_type] = _message_name(content_type)
        return encoding


class _Reader(Protocol):
    """Of the records of one writer."""

    @property
    def format(self) -> str: ...

    def read(self, value: bytes, start: int) -> dict[str, Any]: ...


class _Refusing:
    """In the place of a schema that cannot be used: an id never gets another one, so it is not asked for again."""

    format = _SNIFF

    def __init__(self, message: str) -> None:
        self._message = message[:500]

    def read(self, value: bytes, start: int) -> dict[str, Any]:
        raise Rejected(Reason.UNUSABLE_SCHEMA, self._message)


def _reader(schema: WriterSchema, reader_schema: dict[str, Any]) -> AvroReader | ProtobufReader:
    make = AvroReader if schema.format is SchemaFormat.AVRO else ProtobufReader
    return make(schema.text, reader_schema)


def _own_schemas() -> list[tuple[None, WriterSchema]]:
    own_avro = WriterSchema(SchemaFormat.AVRO, orjson.dumps(reading_schema()).decode())
    return [(None, own_avro), (None, protobuf_schema(reading_files()))]


def _id_of(value: bytes) -> int:
    return int.from_bytes(value[1:5], "big")


def _message_name(content_type: str) -> str:
    """Read the parameter that names a message, as Prometheus and Google write it; without one it is a reading."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() in ("proto", "messagetype"):
            return value.strip(' "')
    return _OWN_MESSAGE
