"""The event time that a raw record claims, as far as it may move a watermark: read without the job's code for it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from jobs.audit.records import decode_time
from udfs.event_time import normalise_event_time
from udfs.reasons import Rejected
from udfs.rules import Rules

NO_TIME = -(2**62)


class ClaimedTime:
    """Reads the claims of one deployment's records."""

    def __init__(self, rules: Rules) -> None:
        self._floor_ms = rules.time.floor_ms
        self._max_future_ms = rules.time.max_future_ms
        self._oldest_ms = max(stream.max_age_ms for stream in rules.streams)

    def of(self, headers: Mapping[str, bytes | None], value: bytes | None, append_ms: int) -> int:
        """Epoch ms by the header, without one by the value; NO_TIME where there is none, or it is implausible."""
        claimed = headers.get("event_timestamp")
        claimed_ms = _claimed_in(value) if claimed is None else whole(claimed)
        if claimed_ms < self._floor_ms:
            return NO_TIME
        return claimed_ms if append_ms - self._oldest_ms <= claimed_ms <= append_ms + self._max_future_ms else NO_TIME


def whole(text: bytes | None) -> int:
    try:
        return int(text or b"")
    except ValueError:
        return NO_TIME


def _claimed_in(value: bytes | None) -> int:
    """The event time of a value without a header; what the source cannot read moves nothing."""
    try:
        return normalise_event_time(decode_time(value or b"").event_time, None) // 1_000_000
    except (msgspec.DecodeError, Rejected, UnicodeDecodeError):
        return NO_TIME
