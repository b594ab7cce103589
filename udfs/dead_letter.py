"""Dead letters: one JSON record per refused or late reading, with all that is needed to explain or replay it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from udfs.reasons import Reason

REPLAY_OF = "replay_of"  # header of a record that was sent again: `Source.name` of the one that was refused

_ENVELOPE_LIMIT = 8_192  # bytes kept of the key and of each header; Kafka bounds only their sum with the value
_NAME_LIMIT = 300  # bytes; a topic's name has at most 249


class Source(NamedTuple):
    """Where the raw record lies, with its broker append time."""

    topic: str
    partition: int
    offset: int
    append_time_ms: int

    @property
    def name(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


def dead_letter(
    reason: Reason,
    message: str,
    source: Source,
    raw: bytes | None,
    *,
    payload_limit: int,
    job_version: str,
    key: bytes | None = None,
    headers: Mapping[str, bytes | None] | None = None,
    details: Mapping[str, Any] | None = None,
) -> bytes:
    """Build one DLQ record.

    Parameters
    ----------
    raw : the value as received (None for a tombstone); kept up to `payload_limit` bytes, base64, with the SHA-256 of
        the whole so that a cut record can be checked when it is fetched again by its offset.
    headers : by name; the letter of a replayed record names what it replays, from `replay_of`.
    details : further fields (window definition, watermark, lateness …), merged at the top level.

    Returns
    -------
    JSON bytes; see the table "DLQ record" in ARCHITECTURE.md.
    """
    size = 0 if raw is None else len(raw)
    record: dict[str, Any] = {
        "reason": reason.value,
        "stage": reason.stage.value,
        "message": message,
        "topic": source.topic,
        "partition": source.partition,
        "offset": source.offset,
        "append_time_ms": source.append_time_ms,
        "key_base64": _base64(key and key[:_ENVELOPE_LIMIT]),
        "headers": None
        if headers is None
        else {n: _base64(v[:_ENVELOPE_LIMIT]) for n, v in headers.items() if v is not None},
        "payload_base64": _base64(raw if raw is None else raw[:payload_limit]),
        "payload_bytes": size,
        "payload_sha256": None if raw is None else hashlib.sha256(raw).hexdigest(),
        "truncated": size > payload_limit or _is_cut(key) or any(map(_is_cut, (headers or {}).values())),
        "replayable": raw is not None and not reason.is_final,
        "replay_of": _text((headers or {}).get(REPLAY_OF)),
        "job_version": job_version,
    }
    if details:
        record.update(details)
    return orjson.dumps(record)


def _is_cut(data: bytes | None) -> bool:
    return data is not None and len(data) > _ENVELOPE_LIMIT


def _text(header: bytes | None) -> str | None:
    return None if header is None else header[:_NAME_LIMIT].decode(errors="replace")


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")
