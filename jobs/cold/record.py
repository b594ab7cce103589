"""A line of a cold file: a Kafka record as JSON, byte by byte, with a checksum.

    {"topic": "telemetry.raw", "cause": "gone", "diverted_at_ms": 1790000000000, "key": "north", "value": "{…}",
     "headers": [["sensor_id", "s1"], …], "crc32": 123}

Key, value and headers are text where they are UTF-8, and `{"base64": …}` where they are not.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from typing import Any, NamedTuple

import orjson
import xxhash

from jobs.bridge.envelope import Message


class ColdRecord(NamedTuple):
    """A diverted record, where it was to go, why it did not, and when that was (epoch milliseconds)."""

    topic: str
    message: Message
    cause: str
    diverted_at_ms: int

    @property
    def event_time_ms(self) -> int | None:
        """As its header says; None: without one, or of what is no reading."""
        header = self.message.headers.get("event_timestamp", b"")
        return int(header) if header.isdigit() and header != b"0" else None

    @property
    def identity(self) -> bytes:
        """What a repeat has too, see `identity_of`."""
        return identity_of(self.message.headers, self.message.value)


class Damaged(ValueError):  # noqa: N818
    """A line whose bytes are not those that were written."""


def identity_of(headers: dict[str, bytes], value: bytes) -> bytes:
    """A digest of what two records of the same event share: the CloudEvents source and id, and the value."""
    return xxhash.xxh3_128_digest(b"\0".join((headers.get("ce_source", b""), headers.get("ce_id", b""), value)))


def encode_record(record: ColdRecord) -> bytes:
    """Write a line, its end included."""
    topic, (key, value, headers), cause, diverted_at_ms = record
    line = {
        "topic": topic,
        "cause": cause,
        "diverted_at_ms": diverted_at_ms,
        "key": _shown(key),
        "value": _shown(value),
        "headers": [[name, _shown(header)] for name, header in headers.items()],
        "crc32": _checksum(topic, key, value, headers),
    }
    return orjson.dumps(line) + b"\n"


def decode_record(line: bytes) -> ColdRecord:
    """Read a line.

    Raises
    ------
    Damaged
    """
    try:
        found = orjson.loads(line)
        headers = {name: _bytes(header) for name, header in found["headers"]}
        message = Message(_bytes(found["key"]), _bytes(found["value"]), headers)
        record = ColdRecord(found["topic"], message, found["cause"], found["diverted_at_ms"])
        checksum = found["crc32"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"not a record: {error}") from None
    if checksum != _checksum(record.topic, *message):
        raise Damaged("the checksum is wrong")
    return record


def _shown(raw: bytes) -> Any:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(raw).decode()}


def _bytes(shown: Any) -> bytes:
    return shown.encode() if type(shown) is str else b64decode(shown["base64"], validate=True)


def _checksum(topic: str, key: bytes, value: bytes, headers: dict[str, bytes]) -> int:
    parts = [topic.encode(), key, value]
    for name, header in headers.items():
        parts += [name.encode(), header]
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, zlib.crc32(b"%d:" % len(part), checksum))
    return checksum
