"""Read the records of one Avro writer; used by `udfs.decode`."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro
import orjson

from udfs.avro_encoding import fingerprint_of
from udfs.avro_resolution import Schema, resolve
from udfs.avro_schema import read_schema, to_json_value
from udfs.reasons import Reason, Rejected
from udfs.writer_schema import SchemaFormat, UnusableSchema


class AvroReader:
    """A writer's schema, checked and resolved once, and the reading of its records.

    Parameters
    ----------
    text
        The writer's schema as JSON.
    reader
        What its records are resolved to, see `udfs.avro_resolution`.

    Raises
    ------
    UnusableSchema
        It is not an Avro record, could be used to exhaust a worker, holds a type that would be misread, or cannot be
        resolved to the reader.
    """

    format = SchemaFormat.AVRO

    def __init__(self, text: str, reader: Schema) -> None:
        try:
            schema = orjson.loads(text)
            if not isinstance(schema, dict) or schema.get("type") != "record":
                raise UnusableSchema("the schema is not a record")
            writer = read_schema(schema)
            self.fingerprint = fingerprint_of(schema)
            self._writer = fastavro.parse_schema(writer.plain)
            resolution = resolve(writer.plain, reader)
            self._as_written = tuple(resolution.as_written.items())
            self._reader, self._holds_bytes = None, writer.holds_bytes
            if resolution.reader is not None:
                self._reader = fastavro.parse_schema(resolution.reader)
                self._holds_bytes |= read_schema(resolution.reader).holds_bytes
        except UnusableSchema:
            raise
        except Exception as error:  # both Avro libraries raise whatever a broken schema makes them stumble over
            raise UnusableSchema(f"not an Avro schema: {type(error).__name__}: {error}") from error

    def read(self, value: bytes, start: int) -> dict[str, Any]:
        """Read the record that begins at `start` and ends with the value.

        Raises
        ------
        Rejected
            MALFORMED_AVRO.
        """
        source = BytesIO(value)
        source.seek(start)
        try:
            if self._reader is None:
                record = fastavro.schemaless_reader(source, self._writer, None)
            else:
                record = self._resolved(source, start)
        except EOFError:  # its text holds the address of an object: another one for the same record, each time
            raise Rejected(Reason.MALFORMED_AVRO, f"EOFError: {len(value)} bytes end within the record") from None
        # fastavro raises IndexError, ValueError, OverflowError, MemoryError, … for broken bytes
        except Exception as error:
            raise Rejected(Reason.MALFORMED_AVRO, f"{type(error).__name__}: {str(error)[:200]}") from None
        if source.tell() != len(value):
            raise Rejected(Reason.MALFORMED_AVRO, f"{len(value) - source.tell()} bytes after the record")
        if self._holds_bytes:
            record = to_json_value(record)
        return record  # type: ignore[return-value]

    def _resolved(self, source: BytesIO, start: int) -> Any:
        record: Any = fastavro.schemaless_reader(source, self._writer, self._reader)
        if self._as_written:
            source.seek(start)
            written: Any = fastavro.schemaless_reader(source, self._writer, None)
            for name_written, name in self._as_written:
                record[name] = written[name_written]
        return record
