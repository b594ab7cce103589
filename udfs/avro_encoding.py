"""Write readings as Avro, for the generator and the tests; `udfs.decode` reads them back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from udfs.schemas import reading_schema

CONFLUENT_MAGIC = b"\x00"
SINGLE_OBJECT_MAGIC = b"\xc3\x01"


def fingerprint_of(schema: Any) -> bytes:
    """Give the fingerprint that Avro single-object encoding puts in front of a record.

    Parameters
    ----------
    schema
        An Avro schema as plain JSON; attributes that do not belong to its canonical form do not count.

    Returns
    -------
        8 bytes: CRC-64-AVRO of the parsing canonical form, little-endian.

    Source: Avro 1.12 specification, "Single-object encoding" and "Parsing Canonical Form for Schemas".
    """
    # fastavro answers the fingerprint's hexadecimal text in little-endian byte order already.
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def encode_confluent(schema_id: int, record: Mapping[str, Any]) -> bytes:
    """Encode a reading with `reading.avsc` in Confluent's wire format.

    Parameters
    ----------
    schema_id
        The id under which a registry (or the deployment file) knows `reading.avsc`, 0 to 2**32 - 1.
    record
        The reading's fields, as in its JSON form; fields that the schema does not have go to its `attributes`.

    Returns
    -------
        0x00, the id as 4 bytes big-endian, the record.

    Raises
    ------
    ValueError, TypeError
        The record does not fit the schema.

    Source: Confluent Schema Registry documentation, "Wire format".
    """
    return CONFLUENT_MAGIC + schema_id.to_bytes(4, "big") + _encode(record)


def encode_single_object(record: Mapping[str, Any]) -> bytes:
    """Encode a reading with `reading.avsc` in Avro single-object encoding, for shops without a registry.

    Parameters
    ----------
    record
        As for `encode_confluent`.

    Returns
    -------
        0xC3 0x01, the schema's fingerprint as 8 bytes little-endian, the record.

    Raises
    ------
    ValueError, TypeError
        The record does not fit the schema.

    Source: Avro 1.12 specification, "Single-object encoding".
    """
    return SINGLE_OBJECT_MAGIC + _schema()[2] + _encode(record)


@lru_cache(maxsize=1)
def _schema() -> tuple[Any, frozenset[str], bytes]:
    plain = reading_schema()
    names = frozenset(field["name"] for field in plain["fields"])
    return fastavro.parse_schema(plain), names, fingerprint_of(plain)


def _encode(record: Mapping[str, Any]) -> bytes:
    schema, names, _ = _schema()
    fields = {name: value for name, value in record.items() if name in names}
    extra = {name: value for name, value in record.items() if name not in names}
    if extra:
        fields["attributes"] = {**(fields.get("attributes") or {}), **extra}
    out = BytesIO()
    fastavro.schemaless_writer(out, schema, fields)
    return out.getvalue()
