"""Event-time windows per sensor in memory, tumbling and sliding, with allowed lateness and revisions.

A reading is added once, to its pane: the largest slice of time that all windows are made of. Windows are put together
from panes when they are due.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.positions import Position
from benchmarks.settings import METRICS, WindowDefinition

NO_WATERMARK = -(2**62)
_END_OF_TIME = 2**62

Key = tuple[str, str]  # sensor, metric


class Aggregate:
    """Running figures of one sensor's metric in one pane or window."""

    __slots__ = (
        *("count", "total", "squares", "lowest", "highest", "first_ms", "first", "last_ms", "last"),
        *("lon_deg", "lat_deg", "x", "y"),
    )

    def __init__(self) -> None:
        self.count = 0
        self.total = self.squares = 0.0
        self.lowest, self.highest = math.inf, -math.inf
        self.first_ms, self.last_ms = _END_OF_TIME, NO_WATERMARK
        self.first = self.last = 0.0
        self.lon_deg = self.lat_deg = self.x = self.y = 0.0

    def add(self, time_ms: int, value: float, position: Position) -> None:
        self.count += 1
        self.total += value
        self.squares += value * value
        if value < self.lowest:
            self.lowest = value
        if value > self.highest:
            self.highest = value
        if time_ms < self.first_ms:
            self.first_ms, self.first = time_ms, value
        if time_ms > self.last_ms:
            self.last_ms, self.last = time_ms, value
        self.lon_deg += position[0]
        self.lat_deg += position[1]
        self.x += position[2]
        self.y += position[3]

    def merge(self, other: Aggregate) -> None:
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)
        if other.first_ms < self.first_ms:
            self.first_ms, self.first = other.first_ms, other.first
        if other.last_ms > self.last_ms:
            self.last_ms, self.last = other.last_ms, other.last
        self.lon_deg += other.lon_deg
        self.lat_deg += other.lat_deg
        self.x += other.x
        self.y += other.y


class Windows:
    """The windows of several definitions over the same readings."""

    def __init__(self, definitions: Sequence[WindowDefinition], period_ms: int | None = None) -> None:
        self._definitions = definitions
        self._period_ms = period_ms
        self._pane_ms = math.gcd(*(d.size_ms for d in definitions), *(d.slide_ms for d in definitions))
        self._panes: dict[int, dict[Key, Aggregate]] = {}  # by start
        self._waiting: dict[tuple[int, WindowDefinition], None] = {}  # windows that have not fired, by start
        self._revised: dict[tuple[int, WindowDefinition, Key], None] = {}
        self._revisions: dict[tuple[int, WindowDefinition, Key], int] = {}
        self.watermark_ms = NO_WATERMARK

    def add(self, key: Key, time_ms: int, value: float, position: Position) -> Sequence[WindowDefinition]:
        """Put a reading into its windows; returns the definitions whose windows are all gone, mostly none."""
        start = time_ms - time_ms % self._pane_ms
        missed: Sequence[WindowDefinition] = ()
        if start + self._pane_ms - 1 <= self.watermark_ms:
            missed = self._revise(key, start)
            if len(missed) == len(self._definitions):
                return missed
        pane = self._panes.get(start)
        if pane is None:
            pane = self._open(start)
        aggregate = pane.get(key)
        if aggregate is None:
            aggregate = pane[key] = Aggregate()
        aggregate.add(time_ms, value, position)
        return missed

    def advance(self, watermark_ms: int) -> list[dict[str, Any]]:
        """Records of the windows that are due and of those revised since; forgets what is too old."""
        results = [self._record(start, definition, key, "late") for start, definition, key in self._revised]
        self._revised.clear()
        self.watermark_ms = watermark_ms
        for start, definition in [w for w in self._waiting if w[0] + w[1].size_ms - 1 <= watermark_ms]:
            del self._waiting[start, definition]
            keys = {key for pane in self._panes_of(start, definition) for key in pane}
            results += [self._record(start, definition, key, "on_time") for key in keys]
        keep_ms = max(d.size_ms - 1 + d.allowed_lateness_ms for d in self._definitions)
        for start in [start for start in self._panes if start + keep_ms <= watermark_ms]:
            del self._panes[start]
        if self._revisions:
            self._revisions = {w: n for w, n in self._revisions.items() if not self._is_gone(w[0], w[1])}
        return results

    def close(self) -> list[dict[str, Any]]:
        """Everything that has not fired: the input has ended."""
        return self.advance(_END_OF_TIME)

    def _open(self, start: int) -> dict[Key, Aggregate]:
        pane = self._panes[start] = {}
        for definition in self._definitions:
            for window_start in self._starts(start, definition):
                if window_start + definition.size_ms - 1 > self.watermark_ms:
                    self._waiting[window_start, definition] = None
        return pane

    def _revise(self, key: Key, pane_start: int) -> list[WindowDefinition]:
        """A reading for a pane of windows that have fired: they fire again, unless they are gone."""
        missed = []
        for definition in self._definitions:
            starts = [s for s in self._starts(pane_start, definition) if not self._is_gone(s, definition)]
            for start in starts:
                if start + definition.size_ms - 1 <= self.watermark_ms:
                    self._revised[start, definition, key] = None
            if not starts:
                missed.append(definition)
        return missed

    def _is_gone(self, start: int, definition: WindowDefinition) -> bool:
        return start + definition.size_ms - 1 + definition.allowed_lateness_ms <= self.watermark_ms

    def _starts(self, pane_start: int, definition: WindowDefinition) -> range:
        latest = pane_start - pane_start % definition.slide_ms
        return range(latest, pane_start - definition.size_ms, -definition.slide_ms)

    def _panes_of(self, start: int, definition: WindowDefinition) -> Iterator[dict[Key, Aggregate]]:
        for pane_start in range(start, start + definition.size_ms, self._pane_ms):
            pane = self._panes.get(pane_start)
            if pane is not None:
                yield pane

    def _record(self, start: int, definition: WindowDefinition, key: Key, timing: str) -> dict[str, Any]:
        whole = Aggregate()
        for pane in self._panes_of(start, definition):
            if key in pane:
                whole.merge(pane[key])
        revision = 1
        if timing == "late":
            revision = self._revisions[start, definition, key] = self._revisions.get((start, definition, key), 1) + 1
        return window_record(definition, start, key, whole, timing, revision, self._period_ms)


def window_record(
    definition: WindowDefinition,
    start: int,
    key: Key,
    aggregate: Aggregate,
    timing: str = "on_time",
    revision: int = 1,
    period_ms: int | None = None,
) -> dict[str, Any]:
    """A window result with the fields of the job's contract."""
    sensor, metric = key
    count = aggregate.count
    mean = aggregate.total / count
    expected = definition.size_ms / period_ms if period_ms else None
    return {
        "stream": METRICS[metric].stream,
        "definition": definition.name,
        "key_kind": "sensor",
        "key": sensor,
        "metric": metric,
        "unit": METRICS[metric].unit,
        "window_start_ms": start,
        "window_end_ms": start + definition.size_ms,
        "count": count,
        "mean": mean,
        "min": aggregate.lowest,
        "max": aggregate.highest,
        "std": math.sqrt(max(aggregate.squares / count - mean * mean, 0.0)),
        "first": aggregate.first,
        "first_event_time_ms": aggregate.first_ms,
        "last": aggregate.last,
        "last_event_time_ms": aggregate.last_ms,
        "expected_count": expected,
        "completeness": count / expected if expected else None,
        "sensors": 1,
        "lon_deg": aggregate.lon_deg / count,
        "lat_deg": aggregate.lat_deg / count,
        "x": aggregate.x / count,
        "y": aggregate.y / count,
        "timing": timing,
        "revision": revision,
        "max_event_time_ms": aggregate.last_ms,
        "emitted_at_ms": time.time_ns() // 1_000_000,
    }


def window_key(record: dict[str, Any]) -> list[Any]:
    """What the record's Kafka key holds, so that compaction keeps the last revision."""
    return [record[n] for n in ("stream", "definition", "window_start_ms", "window_end_ms", "key", "metric")]
