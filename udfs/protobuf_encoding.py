"""Write readings as Protobuf, for producers and the tests; `udfs.decode` reads them back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from udfs.avro_encoding import CONFLUENT_MAGIC
from udfs.protobuf_schema import ProtobufSchema, protobuf_schema, write_indexes
from udfs.schemas import reading_files


def encode_message(record: Mapping[str, Any]) -> bytes:
    """Encode a reading with `reading.proto`, without a frame: its content type names it.

    Parameters
    ----------
    record
        The reading's fields, as in its JSON form; fields that the message does not have go to its `attributes`.

    Raises
    ------
    google.protobuf.json_format.ParseError
        The record does not fit the message.
    """
    message = _reading_class()
    names = message.DESCRIPTOR.fields_by_name
    fields = {name: value for name, value in record.items() if name in names}
    extra = {name: value for name, value in record.items() if name not in names}
    if extra:
        fields["attributes"] = {**(fields.get("attributes") or {}), **extra}
    encoded: bytes = ParseDict(fields, message()).SerializeToString()
    return encoded


def encode_confluent_message(schema_id: int, record: Mapping[str, Any]) -> bytes:
    """Encode a reading with `reading.proto` in Confluent's wire format: 0x00, the id, the message's index, the message.

    Parameters
    ----------
    schema_id
        The id under which a registry (or the deployment file) knows `reading.proto`.
    record
        As for `encode_message`.
    """
    return CONFLUENT_MAGIC + schema_id.to_bytes(4, "big") + write_indexes((0,)) + encode_message(record)


@lru_cache(maxsize=1)
def _reading_class() -> Any:
    return GetMessageClass(ProtobufSchema(protobuf_schema(reading_files()).text).message_at((0,)))
