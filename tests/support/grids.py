"""Grids under test: a shard driven by scripts, and a brute-force account of what its final rows must say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import orjson

from tests.support.shards import DictStore
from udfs.grid.fate import Gridded, Row, Run
from udfs.grid.rules import GridRule, MetricRule
from udfs.grid.series import NO_FEED, Origin, Point
from udfs.grid.shard import GridShard

END = 2**62


class Arrival(NamedTuple):
    """A reading on its way to a place; the names of the metrics that take it."""

    place: str
    metrics: tuple[str, ...]
    time_ms: int
    origin: Origin
    tie: int
    value: float


Script = list[int | list[Arrival]]  # watermarks and frames


def metric(name: str = "level", method: Any = "linear", reach_ms: int = 10, **changes: Any) -> MetricRule:
    return replace(MetricRule(name, name, "m", method, reach_ms), **changes)


def grid(*metrics: MetricRule, **changes: Any) -> GridRule:
    rule = GridRule("g", "station", 10, 0, metrics or (metric(),), max_wait_ms=1_000, allowed_lateness_ms=0)
    return replace(rule, **changes)


def arrival(
    time_ms: int, value: float, *metrics: str, place: str = "p", sensor: str = "a", tie: int = 0, feed: int = NO_FEED
) -> Arrival:
    return Arrival(place, metrics or ("level",), time_ms, Origin(sensor, "s", feed), tie, value)


def runs_of(arrivals: Sequence[Arrival]) -> list[Run]:
    """A frame's readings as the job hands them to a grid."""
    found: dict[tuple[str, tuple[str, ...], Origin], list[tuple[Point, int]]] = {}
    for index, (place, metrics, time_ms, origin, tie, value) in enumerate(arrivals):
        found.setdefault((place, metrics, origin), []).append((Point(time_ms, origin, tie, value), index))
    return [
        Run(place, metrics, *map(list, zip(*sorted(of), strict=True)))  # type: ignore[arg-type]
        for (place, metrics, _), of in found.items()
    ]


class Shard:
    """A grid's shard over a store in memory; what it has published so far."""

    def __init__(self, rule: GridRule, store: DictStore | None = None) -> None:
        self.rule = rule
        self.store = store or DictStore()
        self.grid = GridShard(rule, self.store)
        self.rows: list[Row] = []
        self.late: list[Arrival] = []
        self.partly_late: list[tuple[int, int]] = []  # event time, and time before which its rows were closed
        self.counts: Counter[str] = Counter()
        self.timers: set[int] = set()
        self.watermark_ms = -(2**63)

    def add(self, *arrivals: Arrival) -> list[Row]:
        done = self.grid.add(self.store, runs_of(arrivals), self.watermark_ms)
        self.late += [arrivals[i] for i in done.late]
        self.partly_late += [(arrivals[i].time_ms, open_from_ms) for i, open_from_ms in done.partly_late]
        return self._take(done)

    def advance(self, watermark_ms: int) -> list[Row]:
        """Reach a watermark as Flink does: timer by timer, and nothing happens without one."""
        rows = []
        while due := [t for t in self.timers if t <= watermark_ms]:
            self.timers.discard(min(due))
            rows += self._take(self.grid.advance(self.store, max(min(due), self.watermark_ms)))
        self.watermark_ms = max(self.watermark_ms, watermark_ms)
        return rows

    def play(self, script: Script) -> Shard:
        for step in script:
            if isinstance(step, int):
                self.advance(step)
            else:
                self.add(*step)
        return self

    def restored(self) -> Shard:
        """The same shard after a restore: memory is gone; timers, state and watermark are there."""
        other = Shard(self.rule, DictStore(dict(self.store.data)))
        other.rows, other.late, other.counts = list(self.rows), list(self.late), Counter(self.counts)
        other.timers, other.watermark_ms = set(self.timers), self.watermark_ms
        return other

    @property
    def final(self) -> dict[tuple[str, int], dict[str, Any]]:
        """The values of each row's last revision."""
        return {(r.place, r.instant_ms): orjson.loads(r.content.values) for r in self.rows}

    def values(self, name: str = "level", place: str = "p") -> dict[int, float | None]:
        return {t: values[name]["value"] for (p, t), values in sorted(self.final.items()) if p == place}

    def reasons(self, name: str = "level") -> dict[int, str | None]:
        return {t: values[name]["reason"] for (_, t), values in sorted(self.final.items())}

    def _take(self, done: Gridded) -> list[Row]:
        self.rows += done.rows
        self.timers.update(done.timers_ms)
        for (_, name), count in done.counts.items():
            self.counts[name] += count
        return done.rows


class Expected(NamedTuple):
    value: float | None
    reason: str | None


def brute_force(rule: GridRule, arrivals: list[Arrival], from_ms: int, to_ms: int) -> dict[tuple[str, int], Any]:
    """The final rows by definition: each instant looks at all readings; shares no code with the job."""
    rows = {}
    begins_ms = max(0 if "linear" in m.method else m.after_ms for m in rule.metrics)
    first = -(-(from_ms - rule.offset_ms) // rule.period_ms) * rule.period_ms + rule.offset_ms
    for t in range(first, to_ms + 1, rule.period_ms):
        for place in {a.place for a in arrivals}:
            near = [a for a in arrivals if a.place == place and t - rule.before_ms <= a.time_ms <= t + rule.after_ms]
            if any(a.time_ms <= t + begins_ms for a in near):
                rows[place, t] = {
                    m.name: _expected(t, [a for a in near if m.name in a.metrics], m) for m in rule.metrics
                }
    return rows


def _expected(t: int, readings: list[Arrival], rule: MetricRule) -> Expected:
    readings = sorted(readings, key=lambda a: (a.time_ms, a.origin, a.tie, a.value))
    past = [a for a in readings if a.time_ms <= t]
    if rule.method in ("last", "as_of"):
        if not past:
            return Expected(None, "no_reading")
        newest = past[-1]
        return Expected(newest.value, None) if t - newest.time_ms <= rule.reach_ms else Expected(None, "too_old")
    if rule.method == "mean":
        inside = [a.value for a in readings if t - rule.reach_ms <= a.time_ms < t]
        if inside:
            return Expected(float(np.mean(inside)), None)
        return Expected(None, "too_old" if any(a.time_ms < t - rule.reach_ms for a in readings) else "no_reading")
    if not past:
        return Expected(None, "no_reading")
    if past[-1].time_ms == t:
        return Expected(past[-1].value, None)
    if t - past[-1].time_ms > rule.reach_ms:
        return Expected(None, "too_old")
    ahead = [a for a in readings if t < a.time_ms]
    if not ahead or ahead[0].time_ms - past[-1].time_ms > rule.reach_ms:
        return Expected(None, "gap_too_wide")
    times = [past[-1].time_ms, ahead[0].time_ms]
    return Expected(float(np.interp(t, times, [past[-1].value, ahead[0].value])), None)
