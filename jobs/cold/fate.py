"""What the job would do with a cold record that is sent now: it may have become too old, or be misplaced still."""

from __future__ import annotations

from enum import StrEnum

from jobs.bridge.breakers.breaker import Cause
from jobs.bridge.sample import Judge
from jobs.cold.record import ColdRecord
from udfs.reasons import Reason, Stage
from udfs.rules import Rules

_WAITING_MADE_THEM = (Reason.TOO_OLD, Reason.BEFORE_FLOOR)


class Fate(StrEnum):
    """What becomes of a record that is sent now."""

    DEDUPLICATED = "deduplicated"
    """As any other: a repeat of it would be dropped."""
    BEYOND_HORIZON = "beyond_horizon"
    """The job remembers no ids of its time any more: a repeat of it would be aligned a second time."""
    TOO_OLD = "too_old"
    """Refused, and it was not when it was diverted."""
    MISPLACED = "misplaced"
    """Refused for its position still."""


class FateTeller:
    """Judges records by a deployment's rules.

    Parameters
    ----------
    now_ms
        Epoch milliseconds, as Kafka will stamp what is sent.
    """

    def __init__(self, rules: Rules, now_ms: int) -> None:
        self._judge = Judge(rules)
        self._now_ms = now_ms
        oldest_ms = min(stream.max_age_ms for stream in rules.streams)
        self._surely_young_ms = max(rules.time.floor_ms, now_ms - oldest_ms)
        # The watermark is at most so far ahead of Kafka's clock as an event time may be.
        self._horizon_ms = now_ms + rules.time.max_future_ms - rules.dedup.ttl_ms

    def of(self, record: ColdRecord) -> Fate:
        """Say what becomes of a record. What the job would have refused anyway is sent as any other."""
        event_ms = record.event_time_ms
        is_misplaced = record.cause == Cause.CRS
        if is_misplaced or event_ms is None or event_ms < self._surely_young_ms:
            verdict = self._judge.judge(record.message, self._now_ms)
            if not verdict.accepted and verdict.reason in _WAITING_MADE_THEM:
                return Fate.TOO_OLD
            if is_misplaced and not verdict.accepted and _stage_of(verdict.reason) is Stage.TRANSFORM_CRS:
                return Fate.MISPLACED
        is_young = event_ms is not None and event_ms >= self._horizon_ms
        return Fate.DEDUPLICATED if is_young else Fate.BEYOND_HORIZON


def _stage_of(reason: str) -> Stage | None:
    return Reason(reason).stage if reason in Reason._value2member_map_ else None
