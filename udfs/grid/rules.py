"""The rules of a grid: plain frozen values that travel to the workers. All times are integer milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from udfs.grid.clock import ClockRule

Method = Literal["as_of", "last", "linear", "circular_linear", "mean", "circular_mean"]
Direction = Literal["backward", "forward", "nearest"]
WindowPlace = Literal["before", "centre", "after"]
PlaceKind = Literal["station", "cell", "watershed", "region"]


@dataclass(frozen=True)
class SameReading:
    """When two readings of different feeds are the same measurement: both differences are at most this."""

    time_tolerance_ms: int
    value_tolerance: float


@dataclass(frozen=True)
class MetricRule:
    """How the values of one metric come to the instants of a grid.

    Parameters
    ----------
    reach_ms
        By method: the tolerance (`as_of`), the largest age (`last`), the widest gap between the neighbours (`linear`,
        `circular_linear`) or the length of the window (`mean`, `circular_mean`).
    streams, sources
        Only readings of these; empty: of all.
    """

    name: str
    metric: str
    unit: str
    method: Method
    reach_ms: int
    direction: Direction = "backward"
    window_place: WindowPlace = "before"
    streams: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    same_reading: SameReading | None = None

    @cached_property
    def is_window(self) -> bool:
        return self.method in ("mean", "circular_mean")

    @cached_property
    def is_linear(self) -> bool:
        return self.method in ("linear", "circular_linear")

    @cached_property
    def is_circular(self) -> bool:
        return self.method in ("circular_linear", "circular_mean")

    @cached_property
    def window_start_ms(self) -> int:
        """Where the window `[start, start + reach)` begins, relative to the instant."""
        return {"before": -self.reach_ms, "centre": -(self.reach_ms // 2), "after": 0}[self.window_place]

    @cached_property
    def before_ms(self) -> int:
        """How long before an instant a reading may lie that gives it its value."""
        if self.is_window:
            return -self.window_start_ms
        return 0 if self.method == "as_of" and self.direction == "forward" else self.reach_ms

    @cached_property
    def after_ms(self) -> int:
        """How long after an instant; -1 ms where the instant itself is outside, as the end of a window is."""
        if self.is_window:
            return self.window_start_ms + self.reach_ms - 1
        is_backward = self.method == "last" or (self.method == "as_of" and self.direction == "backward")
        return 0 if is_backward else self.reach_ms


@dataclass(frozen=True)
class FeedRule:
    """Readings of one collector: those of a source, or of sensors by fnmatch patterns, or both."""

    name: str
    sources: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()


@dataclass(frozen=True)
class GridRule:
    """One grid: the instants `offset + n · period`, the places, and how long a row can change.

    Parameters
    ----------
    keep_ms
        How long after its last reading a place still gets rows; they show gaps.
    stalled_after_ms
        Wall-clock time without a moving watermark after which rows are published unsettled; None: never.
    pairs
        Sensor id to the name of its place, for sensors of one box; the others are places of their own.
    feeds
        In the order of priority, for metrics with `same_reading`.
    """

    name: str
    place: PlaceKind
    period_ms: int
    offset_ms: int
    metrics: tuple[MetricRule, ...]
    max_wait_ms: int
    allowed_lateness_ms: int
    keep_ms: int = 0
    stalled_after_ms: int | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    feeds: tuple[FeedRule, ...] = ()
    layer: str | None = None  # GeoJSON text of the watersheds

    @cached_property
    def after_ms(self) -> int:
        """The last event time that can matter to a row, relative to its instant."""
        return max(m.after_ms for m in self.metrics)

    @cached_property
    def begins_ms(self) -> int:
        """How long after an instant a place's first reading may lie for a row: nothing is interpolated before it."""
        return max(min(m.after_ms, 0) if m.is_linear else m.after_ms for m in self.metrics)

    @cached_property
    def before_ms(self) -> int:
        """How far back a row looks, if only to say that a value is too old."""
        return max(self.keep_ms, *(self.influence_ms(m) for m in self.metrics))

    def influence_ms(self, metric: MetricRule) -> int:
        """How long after a reading the last instant lies that it concerns: the next instant at least."""
        return max(metric.before_ms, self.period_ms)

    def first_instant(self, from_ms: int) -> int:
        """The first instant at or after a time."""
        return from_ms + (self.offset_ms - from_ms) % self.period_ms

    def last_instant(self, to_ms: int) -> int:
        """The last instant at or before a time."""
        return to_ms - (to_ms - self.offset_ms) % self.period_ms

    def instants(self, from_ms: int, to_ms: int) -> range:
        """All instants from one time to another, both included."""
        return range(self.first_instant(from_ms), to_ms + 1, self.period_ms)

    def look_ms(self, instant_ms: int) -> int:
        """The watermark at which a row can be settled at the earliest."""
        return instant_ms + min(0, self.after_ms)

    def closes_ms(self, instant_ms: int) -> int:
        """The watermark at which a row can change no more; Flink's rule with the row's last event time."""
        return instant_ms + self.after_ms + self.allowed_lateness_ms


@dataclass(frozen=True)
class SourceRule:
    """A topic of aligned readings."""

    name: str
    topic: str


@dataclass(frozen=True)
class GridRules:
    """All that the workers need to know."""

    grids: tuple[GridRule, ...]
    sources: tuple[SourceRule, ...]
    clock: ClockRule
    shards: int
    dlq_payload_bytes: int = 65_536
    job_version: str = "0.1.0"
