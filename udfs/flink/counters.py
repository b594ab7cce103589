"""The keyed operators' counters in Flink's metric groups.

All of them exist from the first frame on: a series that begins with its first event hides it from `increase()`. Where
`python.metric.enabled` is false, there are no groups, and nothing is worked out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from udfs.deduplicate import Deduplicated
from udfs.frame import Letter, Readings
from udfs.lag_buckets import LABELS, cumulative_counts
from udfs.metric_names import (
    ALIGNED,
    DUPLICATES,
    EVENT_LAG,
    INVALID,
    LATE,
    PROCESSING_LAG,
    REVISIONS,
    STALE,
    WINDOW_DELAY,
    WINDOW_RESULTS,
)
from udfs.reasons import Reason
from udfs.rules import Rules
from udfs.window import Windowed


class Uncounted:
    """In place of a counter."""

    def inc(self, count: int = 1) -> None:
        """Nothing."""


class Registry:
    """Makes counters, and lets all of them begin with 0.

    Parameters
    ----------
    metrics : the operator's metric group; None: metrics are switched off.
    """

    def __init__(self, metrics: Any) -> None:
        self._metrics = metrics
        self._unseen: list[Any] = []

    @property
    def is_on(self) -> bool:
        return self._metrics is not None

    def counter(self, name: str, **labels: str) -> Any:
        if not self.is_on:
            return Uncounted()
        group = self._metrics
        for label, value in labels.items():
            group = group.add_group(label, value)
        counter = group.counter(name)
        self._unseen.append(counter)
        return counter

    def show(self) -> None:
        """Let the counters appear; PyFlink ignores what is counted in `open`, so with an element."""
        if self._unseen:
            for counter in self._unseen:
                counter.inc(0)
            self._unseen.clear()


class LagHistogram:
    """One counter for each bucket."""

    def __init__(self, registry: Registry, name: str) -> None:
        self._buckets = [registry.counter(name, le=label) for label in LABELS]

    def add(self, lags_ms: np.ndarray) -> None:
        for bucket, count in zip(self._buckets, cumulative_counts(lags_ms), strict=True):
            if count:
                bucket.inc(count)


class WindowCounters:
    """What both operators count: results, revisions, late readings, and how long results take.

    Parameters
    ----------
    keys
        The kinds of window keys that the operator has windows for.
    """

    def __init__(self, registry: Registry, rules: Rules, keys: Sequence[str]) -> None:
        self._is_on = registry.is_on
        self._results = registry.counter(WINDOW_RESULTS)
        self._revisions = registry.counter(REVISIONS)
        self._delay = LagHistogram(registry, WINDOW_DELAY)
        self._late = {
            (stream.name, window.name): registry.counter(LATE, stream=stream.name, definition=window.name)
            for stream in rules.streams
            for window in stream.windows
            if window.key in keys
        }

    def count(self, windowed: Windowed, readings: Readings | None) -> None:
        """Count what a frame (of `readings`) or a timer did."""
        if not self._is_on:
            return
        if windowed.firings:
            self._results.inc(len(windowed.firings))
            self._revisions.inc(sum(f.timing == "late" for f in windowed.firings))
            ends_ms = [f.window.end_ms for f in windowed.firings if f.timing == "on_time"]
            if ends_ms:
                self._delay.add(_now_ms() - np.array(ends_ms, np.int64))
        if windowed.late and readings is not None:
            stations, station = readings.stations, readings.station
            late = Counter((stations[station[reading.row]].stream, reading.definition) for reading in windowed.late)
            for definition, count in late.items():
                self._late[definition].inc(count)


class ReadingCounters:
    """What the deduplicate operator counts of each frame."""

    def __init__(self, registry: Registry, rules: Rules) -> None:
        self._is_on = registry.is_on
        self._stale_after_ms = rules.time.stale_after_ms
        self._aligned = {s.name: registry.counter(ALIGNED, stream=s.name) for s in rules.streams}
        self._duplicates = registry.counter(DUPLICATES)
        self._stale = registry.counter(STALE)
        self._invalid = {
            reason.value: registry.counter(INVALID, stage=reason.stage.value, reason=reason.value)
            for reason in Reason
            if reason is not Reason.LATE
        }
        self._event_lag = LagHistogram(registry, EVENT_LAG)
        self._processing_lag = LagHistogram(registry, PROCESSING_LAG)

    def count(self, readings: Readings, invalid: Sequence[Letter], fate: Deduplicated) -> None:
        if not self._is_on:
            return
        for reason, count in Counter(reason for reason, _, _ in invalid).items():
            self._invalid[reason].inc(count)
        if fate.conflicts:
            self._invalid[Reason.ID_CONFLICT.value].inc(len(fate.conflicts))
        if fate.duplicates:
            self._duplicates.inc(len(fate.duplicates))
        if not len(readings):
            return
        append_ms = np.frombuffer(readings.append_time_ms, np.int64)
        self._processing_lag.add(_now_ms() - append_ms)
        if not fate.unique:
            return
        lag_ms = (append_ms - np.frombuffer(readings.event_time_ms, np.int64))[fate.unique]
        self._event_lag.add(lag_ms)
        if stale := int((lag_ms > self._stale_after_ms).sum()):
            self._stale.inc(stale)
        of_station = np.bincount(np.frombuffer(readings.station, np.uint32)[fate.unique])
        by_stream: Counter[str] = Counter()
        for station, count in zip(readings.stations, of_station.tolist(), strict=False):
            by_stream[station.stream] += count
        for stream, count in by_stream.items():
            self._aligned[stream].inc(count)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
