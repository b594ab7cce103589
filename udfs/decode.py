"""Turn a record's bytes into a dict of fields: the stage `decode`, JSON and Avro."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import fastavro
import orjson

from udfs.avro_encoding import fingerprint_of
from udfs.avro_schema import read_schema, to_json_value
from udfs.reasons import Reason, Rejected
from udfs.rules import LimitRule
from udfs.schemas import reading_schema

MAX_DEPTH = 32  # orjson reads 1,024 levels but writes only 254: what it could not write back must not come in

_SNIFF, _JSON, _AVRO = "", "json", "avro"
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
}
_CONTENT_TYPE_CACHE_SIZE = 256


class Decoder:
    """Decode the value of raw records.

    Parameters
    ----------
    limits
        `max_body_bytes` bounds the size of a value.
    avro_schemas
        (Confluent schema id, schema JSON) of the writers that are known. The project's own `reading.avsc` is always
        known by its fingerprint, and by an id only when it is listed here.

    Raises
    ------
    ValueError
        A schema is not Avro, is not a record, is listed twice under one id, or could be used to exhaust a worker
        (it is recursive, or has an array of items without bytes), or holds a local (zone-less) timestamp.
    """

    def __init__(self, limits: LimitRule, avro_schemas: tuple[tuple[int, str], ...] = ()) -> None:
        self._max_body_bytes = limits.max_body_bytes
        self._formats: dict[str | None, str] = {None: _SNIFF}
        own = _Writer(reading_schema())
        self._by_id: dict[bytes, _Writer] = {}
        self._by_fingerprint: dict[bytes, _Writer] = {own.fingerprint: own}
        for schema_id, text in avro_schemas:
            key = schema_id.to_bytes(4, "big")
            if key in self._by_id:
                raise ValueError(f"Avro schema id {schema_id} is listed twice")
            try:
                writer = _Writer(orjson.loads(text))
            except Exception as error:
                raise ValueError(f"Avro schema id {schema_id} cannot be used: {error}") from error
            self._by_id[key] = writer
            self._by_fingerprint.setdefault(writer.fingerprint, writer)

    def decode(self, value: bytes | None, content_type: str | None) -> dict[str, Any]:
        """Decode one value.

        Avro fields are matched with `reading.avsc` by name: what a writer does not have is absent, what the reader
        does not know stays in the record and becomes an attribute, and numbers are promoted by the stage `validate`.
        Of duplicate JSON keys the last counts; JSON integers over 64 bits become floats.

        Parameters
        ----------
        value
            The Kafka value, up to `max_body_bytes` bytes; None is a tombstone.
        content_type
            Media type, parameters tolerated; None: Avro when the value starts with one of its magics, else JSON.

        Returns
        -------
            The fields. Every value can be written as JSON and is nested at most 32 deep.

        Raises
        ------
        Rejected
            TOMBSTONE, BODY_TOO_LARGE, UNSUPPORTED_CONTENT_TYPE, MALFORMED_JSON, NOT_AN_OBJECT, MALFORMED_AVRO,
            UNKNOWN_SCHEMA.

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
        if encoding is _AVRO or (encoding is _SNIFF and value[:1] in (b"\x00", b"\xc3")):
            return self._decode_avro(value)
        try:
            record = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise Rejected(Reason.MALFORMED_JSON, str(error)) from None
        if type(record) is not dict:
            raise Rejected(Reason.NOT_AN_OBJECT, f"the JSON value is a {type(record).__name__}, not an object")
        # Two memchr scans; the depth itself is measured only where it could be too large.
        if value.count(b"{") + value.count(b"[") > MAX_DEPTH and _depth(record) > MAX_DEPTH:
            raise Rejected(Reason.MALFORMED_JSON, f"nested more than {MAX_DEPTH} deep")
        return record

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
        return encoding

    def _decode_avro(self, value: bytes) -> dict[str, Any]:
        writers: Mapping[bytes, _Writer]
        if value[:1] == b"\x00":
            start, key, writers = 5, value[1:5], self._by_id
        elif value[:2] == b"\xc3\x01":
            start, key, writers = 10, value[2:10], self._by_fingerprint
        else:
            raise Rejected(Reason.MALFORMED_AVRO, f"starts with neither Avro magic: {value[:4].hex(' ')}")
        if len(value) < start:
            raise Rejected(Reason.MALFORMED_AVRO, f"{len(value)} bytes are shorter than the framing")
        writer = writers.get(key)
        if writer is None:
            name = f"id {int.from_bytes(key, 'big')}" if start == 5 else f"fingerprint {key.hex()}"
            raise Rejected(Reason.UNKNOWN_SCHEMA, f"schema {name}")
        return writer.read(value, start)


class _Writer:
    """A writer's schema, checked once, and the reading of its records."""

    def __init__(self, schema: Any) -> None:
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise ValueError("the schema is not a record")
        records = read_schema(schema)
        self.fingerprint = fingerprint_of(schema)
        self._parsed = fastavro.parse_schema(records.plain)
        self._holds_bytes = records.holds_bytes

    def read(self, value: bytes, start: int) -> dict[str, Any]:
        source = BytesIO(value)
        source.seek(start)
        try:
            record = fastavro.schemaless_reader(source, self._parsed, None)
        # fastavro raises EOFError, IndexError, ValueError, OverflowError, MemoryError, … for broken bytes
        except Exception as error:
            raise Rejected(Reason.MALFORMED_AVRO, f"{type(error).__name__}: {str(error)[:200]}") from None
        if source.tell() != len(value):
            raise Rejected(Reason.MALFORMED_AVRO, f"{len(value) - source.tell()} bytes after the record")
        if self._holds_bytes:
            record = to_json_value(record)
        return record  # type: ignore[return-value]


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
    return deepest
