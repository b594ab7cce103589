"""The readings of one place and metric in the order of time, and which of them another feed stands for."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple

from udfs.grid.rules import SameReading

NO_FEED = -1
_FEW_INTO_MANY = 16  # so many points behind those to be inserted, for each of them, cost more to sort than to search


class Origin(NamedTuple):
    """Where readings come from; what a value's provenance names."""

    sensor_id: str
    source: str
    feed: int = NO_FEED  # index in the grid's feeds: the lower, the more it is preferred


class Point(NamedTuple):
    """A reading as a grid keeps it; the order of the fields is the order of readings, so that ties have a rule."""

    time_ms: int  # of the event, with the clock's correction
    origin: Origin
    tie: int  # digest of the event id
    value: float
    correction_ms: int = 0
    counts: bool = True  # False for a further copy of a reading that several metrics of a grid take


class Series:
    """Points in order. A point is *merged* when a preferred feed has the same measurement; that depends on the set
    of points alone and not on the order of their arrival."""

    def __init__(self, same: SameReading | None) -> None:
        self._same = same
        self._points: list[Point] = []
        self._merged: set[Point] = set()

    def __len__(self) -> int:
        return len(self._points)

    def add(self, points: list[Point]) -> tuple[int, list[Point]]:
        """Insert points of one origin, in order; how many of them are merged, and which others are merged into them."""
        if self._same is None or points[0].origin.feed == NO_FEED:
            self._insert(points)
            return 0, []
        merged, losers = 0, []
        for point in points:
            is_merged, lost = self._merge(point)
            merged += is_merged
            losers += lost
            insort(self._points, point)
        return merged, losers

    def _insert(self, points: list[Point]) -> None:
        own, count = self._points, len(points)
        start = bisect_left(own, points[0])
        if start == len(own):
            own += points
        elif (len(own) - start) > _FEW_INTO_MANY * count:
            for point in points:
                insort(own, point)
        else:
            own[start:] = sorted(own[start:] + points)  # two runs in order, which are merged

    def _merge(self, point: Point) -> tuple[bool, list[Point]]:
        found = False
        losers: list[Point] = []
        for other in self._like(point):
            if other.origin.feed < point.origin.feed:
                found = True
            elif other not in self._merged:
                losers.append(other)
        if found:
            self._merged.add(point)
        self._merged.update(losers)
        return found, losers

    def between(self, from_ms: int, to_ms: int) -> list[Point]:
        """The points in a span of time, both ends included, without the merged ones."""
        points = self._span(from_ms, to_ms)
        return [p for p in points if p not in self._merged] if self._merged else points

    def has(self, from_ms: int, to_ms: int) -> bool:
        place = bisect_left(self._points, (from_ms,))
        return place < len(self._points) and self._points[place].time_ms <= to_ms

    def stands_for(self, point: Point) -> list[Point]:
        """The points that are merged into this one."""
        if not self._merged or point.origin.feed == NO_FEED:
            return []
        return [p for p in self._like(point) if p.origin.feed > point.origin.feed]

    def forget(self, before_ms: int) -> None:
        """Drop the points before a time."""
        place = bisect_left(self._points, (before_ms,))
        if self._merged:
            self._merged.difference_update(self._points[:place])
        del self._points[:place]

    def _like(self, point: Point) -> list[Point]:
        same = self._same
        assert same is not None
        near = self._span(point.time_ms - same.time_tolerance_ms, point.time_ms + same.time_tolerance_ms)
        return [
            other
            for other in near
            if other.origin.feed not in (NO_FEED, point.origin.feed)
            and abs(other.value - point.value) <= same.value_tolerance
        ]

    def _span(self, from_ms: int, to_ms: int) -> list[Point]:
        return self._points[bisect_left(self._points, (from_ms,)) : bisect_left(self._points, (to_ms + 1,))]
