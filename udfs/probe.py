"""Probes: control records that pass every stage to the accounting topic, and are no readings.

A probe takes the way of a reading - source, align, deduplicate, exactly-once sink - and each stage writes down when it
had it. It enters no window, no aligned topic and no dead letters, and its event time of 0 moves no watermark.
"""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

import orjson

CONTROL_CONTENT_TYPE: Final = "application/vnd.meridian.control+json"
ACCOUNTING_KEY: Final = b"probe"
_MAX_BYTES: Final = 1_024
_MAX_TEXT: Final = 64


class Probe(NamedTuple):
    """A probe as its sender made it."""

    id: str
    """Up to 64 characters."""
    sent_ms: int
    """Epoch milliseconds."""
    key: str = ""
    """Of the Kafka record, up to 64 characters, so that the sender says which partition a bridge puts it into."""

    def value(self) -> bytes:
        """What a sender gives to a bridge, and the value of the Kafka record."""
        return orjson.dumps({"control": "probe", "probe": self.id, "sent_at_ms": self.sent_ms, "key": self.key})

    def headers(self) -> dict[str, bytes]:
        """Of the Kafka record."""
        return {
            "content-type": CONTROL_CONTENT_TYPE.encode(),
            "ingest_timestamp": b"%d" % self.sent_ms,
            "event_timestamp": b"0",
            "payload_version": b"1",
        }


def read_probe(value: bytes | None) -> Probe | None:
    """The probe of a value; None for everything else, other control records too."""
    if value is None or len(value) > _MAX_BYTES:
        return None
    try:
        sent: Any = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(sent, dict) or sent.get("control") != "probe":
        return None
    probe, sent_ms, key = sent.get("probe"), sent.get("sent_at_ms"), sent.get("key", "")
    if type(probe) is not str or type(sent_ms) is not int or type(key) is not str or sent_ms < 0:
        return None
    return None if len(probe) > _MAX_TEXT or len(key) > _MAX_TEXT else Probe(probe, sent_ms, key)


def begin_account(value: bytes | None, topic: str, partition: int, offset: int, append_time_ms: int) -> bytes | None:
    """The start of a probe's accounting record, as the align stage sees it; None for other control records."""
    probe = read_probe(value)
    if probe is None:
        return None
    record = {
        "class": "control",
        "control": "probe",
        "probe": probe.id,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "sent_at_ms": probe.sent_ms,
        "append_time_ms": append_time_ms,
        "aligned_at_ms": _now_ms(),
    }
    return orjson.dumps(record)[:-1]


def end_account(start: bytes) -> bytes:
    """The accounting record, when the deduplicate stage has it."""
    return start + b',"deduplicated_at_ms":%d}' % _now_ms()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
