"""Probes: control records that pass every stage to the accounting topic, and are no readings.

A probe takes the way of a reading - source, align, deduplicate, exactly-once sink - and each stage writes down when it
had it. It enters no window, no aligned topic and no dead letters, and its event time of 0 moves no watermark.
"""

from __future__ import annotations

import time
from typing import Any, Final

import orjson

CONTROL_CONTENT_TYPE: Final = "application/vnd.meridian.control+json"
ACCOUNTING_KEY: Final = b"probe"
_MAX_BYTES: Final = 1_024
_MAX_ID: Final = 64


def probe_record(probe: str, sent_ms: int) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Value and headers of a probe.

    Parameters
    ----------
    probe : its id, up to 64 characters.
    sent_ms : epoch milliseconds.
    """
    value = orjson.dumps({"control": "probe", "probe": probe, "sent_at_ms": sent_ms})
    return value, [
        ("content-type", CONTROL_CONTENT_TYPE.encode()),
        ("ingest_timestamp", b"%d" % sent_ms),
        ("event_timestamp", b"0"),
        ("payload_version", b"1"),
    ]


def begin_account(value: bytes | None, topic: str, partition: int, offset: int, append_time_ms: int) -> bytes | None:
    """The start of a probe's accounting record, as the align stage sees it; None for other control records."""
    if value is None or len(value) > _MAX_BYTES:
        return None
    try:
        sent: Any = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(sent, dict) or sent.get("control") != "probe":
        return None
    probe, sent_ms = sent.get("probe"), sent.get("sent_at_ms")
    if type(probe) is not str or len(probe) > _MAX_ID or type(sent_ms) is not int:
        return None
    record = {
        "class": "control",
        "control": "probe",
        "probe": probe,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "sent_at_ms": sent_ms,
        "append_time_ms": append_time_ms,
        "aligned_at_ms": _now_ms(),
    }
    return orjson.dumps(record)[:-1]


def end_account(start: bytes) -> bytes:
    """The accounting record, when the deduplicate stage has it."""
    return start + b',"deduplicated_at_ms":%d}' % _now_ms()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
