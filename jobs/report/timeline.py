"""The watermark over the time in which records came in, as the raw topic justifies it, and how far it was behind.

Each partition has the latest time that it has claimed; the watermark is the smallest of them less the out-of-orderness,
without partitions that have been silent for `idle_after`, and it never goes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from jobs.audit.claimed_time import NO_TIME, ClaimedTime
from jobs.broker.topic_records import TopicRecord
from jobs.report.gather import Period

STEP_MS = 1_000


class Moment(NamedTuple):
    """The end of a step in which something came in."""

    time_ms: int
    records: int
    watermark_ms: int | None

    @property
    def lag_ms(self) -> int | None:
        return None if self.watermark_ms is None else self.time_ms - self.watermark_ms


class Timeline:
    """Takes raw records in any order of partitions; 1 s steps of append time."""

    def __init__(self, claimed: ClaimedTime, out_of_orderness_ms: int, idle_after_ms: int, period: Period) -> None:
        self._claimed = claimed
        self._out_of_orderness_ms = out_of_orderness_ms
        self._idle_after_ms = idle_after_ms
        self._period = period
        self._steps: dict[int, dict[int, tuple[int, int]]] = {}  # step -> partition -> records, latest claim

    def add(self, records: Iterable[TopicRecord]) -> None:
        for record in records:
            if not self._period.holds(record.timestamp_ms):
                continue
            claimed_ms = self._claimed.of(record.headers, record.value, record.timestamp_ms)
            step = self._steps.setdefault(record.timestamp_ms // STEP_MS, {})
            count, latest_ms = step.get(record.partition, (0, NO_TIME))
            step[record.partition] = count + 1, max(latest_ms, claimed_ms)

    def moments(self) -> list[Moment]:
        latest: dict[int, int] = {}
        seen: dict[int, int] = {}
        watermark_ms = NO_TIME
        found = []
        for number in sorted(self._steps):
            step, end_ms = self._steps[number], (number + 1) * STEP_MS
            for partition, (_, claimed_ms) in step.items():
                latest[partition] = max(claimed_ms, latest.get(partition, NO_TIME))
                seen[partition] = end_ms
            active = [latest[p] for p in latest if end_ms - seen[p] <= self._idle_after_ms]
            if min(active) != NO_TIME:
                watermark_ms = max(watermark_ms, min(active) - self._out_of_orderness_ms - 1)
            records = sum(count for count, _ in step.values())
            found.append(Moment(end_ms, records, None if watermark_ms == NO_TIME else watermark_ms))
        return found
