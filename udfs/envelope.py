"""Read the Kafka headers of a raw record: part of the stage `decode`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from udfs.reading import MAX_TEXT_LENGTH, Headers
from udfs.reasons import Reason, Rejected
from udfs.sampling import SAMPLING_HEADER, read_fraction

ENVELOPE_HEADERS = (
    "sensor_id",
    "ingest_timestamp",
    "event_timestamp",
    "crs_source",
    "payload_version",
    "content-type",
    SAMPLING_HEADER,
)
MAX_CRS_LENGTH = 4_096  # a WKT text fits
MAX_TIME_DIGITS = 18  # always fits a signed 64-bit integer, Flink's BIGINT


def read_headers(
    sensor_id: bytes | None,
    ingest_timestamp: bytes | None,
    event_timestamp: bytes | None,
    crs_source: bytes | None,
    payload_version: bytes | None,
    content_type: bytes | None,
    sampling_fraction: bytes | None = None,
) -> Headers:
    """Decode the envelope's headers; a header that a (foreign) producer left out is None.

    Parameters
    ----------
    sensor_id, payload_version, content_type
        UTF-8 text of 1 to 256 characters, as in the value, that is not blank.
    crs_source
        UTF-8 text of 1 to 4,096 characters that is not blank.
    ingest_timestamp, event_timestamp
        Epoch milliseconds in ASCII decimal digits, at most 18, with an optional minus sign.
    sampling_fraction
        See `udfs.sampling.read_fraction`.

    Returns
    -------
        The headers as text and `int` milliseconds.

    Raises
    ------
    Rejected
        BROKEN_HEADER, naming the header: it is not UTF-8, empty, blank, too long, or not such a number.

    Source: DESIGN "Raw envelope"; RFC 3629 (UTF-8).
    """
    # Positional on purpose: msgspec's keyword construction costs twice as much.
    return Headers(
        _read_text("sensor_id", sensor_id),
        _read_time("ingest_timestamp", ingest_timestamp),
        _read_time("event_timestamp", event_timestamp),
        _read_text("crs_source", crs_source, MAX_CRS_LENGTH),
        _read_text("payload_version", payload_version),
        _read_text("content-type", content_type),
        read_fraction(sampling_fraction),
    )


def with_headers(
    attributes: dict[str, Any] | None, names: Sequence[str], sent: Sequence[bytes | None]
) -> dict[str, Any] | None:
    """Add a record's attribute headers to the attributes of its value, which win where both have a name.

    Parameters
    ----------
    attributes
        Of the value.
    names, sent
        The headers that a deployment carries over, and what a record has of them: UTF-8 text of any length.

    Returns
    -------
        The attributes; None: none at all.

    Raises
    ------
    Rejected
        BROKEN_HEADER: it is not UTF-8.
    """
    carried: dict[str, Any] = {}
    for name, raw in zip(names, sent, strict=True):
        if raw is not None:
            try:
                carried[name] = raw.decode()
            except UnicodeDecodeError:
                raise Rejected(Reason.BROKEN_HEADER, f"header {name!r} is not UTF-8 text") from None
    return {**carried, **(attributes or {})} or None


def _read_text(name: str, raw: bytes | None, longest: int = MAX_TEXT_LENGTH) -> str | None:
    if raw is None:
        return None
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError:
        raise Rejected(Reason.BROKEN_HEADER, f"header {name} is not UTF-8: {raw[:32]!r}") from None
    if not text or text.isspace():
        raise Rejected(Reason.BROKEN_HEADER, f"header {name} is empty or blank")
    if len(text) > longest:
        raise Rejected(Reason.BROKEN_HEADER, f"header {name} has {len(text)} characters, more than {longest}")
    return text


def _read_time(name: str, raw: bytes | None) -> int | None:
    if raw is None:
        return None
    # int() alone would take b"1_000", b" 7 " and b"+7", which the source's JVM expression does not read as the same.
    digits = raw[1:] if raw[:1] == b"-" else raw
    if digits.isdigit() and len(digits) <= MAX_TIME_DIGITS:
        return int(raw)
    raise Rejected(Reason.BROKEN_HEADER, f"header {name} is not epoch milliseconds in decimal: {raw[:32]!r}")
