"""From a batch of aligned records to frames: decode, find grid, place and metrics, correct the clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec
import numpy as np
from xxhash import xxh3_64_intdigest

from udfs.grid.frame import Columns, Lane, Part
from udfs.grid.place import Places
from udfs.grid.rules import FeedRule, GridRule, GridRules, MetricRule, SourceRule
from udfs.grid.series import NO_FEED
from udfs.series import shard_of

UNREADABLE, NO_METRIC, OTHER_UNIT, NO_PLACE = "unreadable", "no_metric", "other_unit", "no_place"
OUTSIDE = (UNREADABLE, NO_METRIC, OTHER_UNIT, NO_PLACE)  # classes of readings that no row can have

_MOST_KNOWN = 200_000  # series; then they are found anew


class AlignedReading(msgspec.Struct, gc=False):
    """The fields of an aligned record that a grid needs."""

    event_id: str
    sensor_id: str
    metric: str
    value: float
    unit: str
    event_time_ms: int
    append_time_ms: int
    lon_deg: float
    lat_deg: float
    stream: str = ""
    cell: str | None = None
    region: str | None = None
    ingest_time_ms: int | None = None


class _Way(NamedTuple):
    """Where readings of a series go in one grid: a lane of a shard, or a class of those that have no place."""

    grid: str
    shard: int
    lane: Lane | None
    outside: str


_NOTHING = AlignedReading("", "", "", 0.0, "", 0, 0, 0.0, 0.0)  # in place of what is unreadable and goes nowhere
_decode = msgspec.json.Decoder(AlignedReading).decode


class Gatherer:
    """Gathers the records of one source; one per worker process."""

    def __init__(self, rules: GridRules, source: SourceRule) -> None:
        self._rules = rules
        self._source = source.name
        self._places = {grid.name: Places(grid) for grid in rules.grids}
        self._corrections = {c.sensor_id: c for c in rules.clock.corrections}
        self._known: dict[tuple[object, ...], list[_Way]] = {}

    def gather(
        self, values: Sequence[bytes], partitions: Sequence[int], offsets: Sequence[int], append_ms: Sequence[int]
    ) -> list[tuple[int, bytes]]:
        """Turn one batch into `(shard, frame)` pairs, one for each shard, which also count what is in no grid."""
        parts: dict[int, Part] = {}
        outside: Counter[tuple[str, str]] = Counter()
        readings: list[AlignedReading] = []
        for row, raw in enumerate(values):
            try:
                reading = _decode(raw)
            except (msgspec.DecodeError, TypeError):
                outside.update((grid.name, UNREADABLE) for grid in self._rules.grids)
                reading = _NOTHING
            else:
                self._send(row, reading, parts, outside)
            readings.append(reading)
        if outside:
            shard = next(iter(parts), partitions[0] % self._rules.shards)
            tallies = [(grid, self._source, name, count) for (grid, name), count in outside.items()]
            parts.setdefault(shard, Part()).tallies.extend(tallies)
        columns = self._columns(readings, partitions, offsets, append_ms)
        return [(shard, part.encode(columns, values)) for shard, part in parts.items()]

    def _send(
        self, row: int, reading: AlignedReading, parts: dict[int, Part], outside: Counter[tuple[str, str]]
    ) -> None:
        """Put a reading into the parts that it goes to, one for each grid."""
        key = (
            reading.sensor_id, reading.metric, reading.unit, reading.stream, reading.cell, reading.region,
            reading.lon_deg, reading.lat_deg,
        )  # fmt: skip
        ways = self._known.get(key)
        if ways is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            ways = self._known[key] = []
            for grid in self._rules.grids:
                ways.append(self._way(grid, reading, tells_clock=not any(way.lane for way in ways)))
        for name, shard, lane, is_outside in ways:
            if lane is None:
                outside[name, is_outside] += 1
                continue
            part = parts.get(shard)
            if part is None:
                part = parts[shard] = Part()
            part.rows.append(row)
            part.lanes.append(lane)

    def _columns(
        self,
        readings: Sequence[AlignedReading],
        partitions: Sequence[int],
        offsets: Sequence[int],
        append_ms: Sequence[int],
    ) -> Columns:
        time_ms = np.array([reading.event_time_ms for reading in readings], np.int64)
        correction_ms = np.zeros_like(time_ms)
        if self._corrections:
            found = [(self._corrections.get(reading.sensor_id), reading.event_time_ms) for reading in readings]
            correction_ms[:] = [0 if known is None else known.correction_ms(at_ms) for known, at_ms in found]
        arrivals = [reading.append_time_ms for reading in readings]
        if self._rules.clock.against == "ingest":
            arrivals = [one.append_time_ms if one.ingest_time_ms is None else one.ingest_time_ms for one in readings]
        return Columns(
            time_ms + correction_ms,
            correction_ms,
            np.array([reading.value for reading in readings], np.float64),
            np.array([xxh3_64_intdigest(reading.event_id.encode()) for reading in readings], np.uint64),
            np.array(arrivals, np.int64),
            np.array(partitions, np.int64),
            np.array(offsets, np.int64),
            np.array(append_ms, np.int64),
        )

    def _way(self, grid: GridRule, reading: AlignedReading, *, tells_clock: bool) -> _Way:
        takers = [m for m in grid.metrics if _takes(m, reading, self._source)]
        if not takers:
            return _Way(grid.name, 0, None, NO_METRIC)
        names = tuple(m.name for m in takers if m.unit == reading.unit)
        if not names:
            return _Way(grid.name, 0, None, OTHER_UNIT)
        place = self._places[grid.name].place_of(
            reading.sensor_id, reading.cell or "", reading.region or "", reading.lon_deg, reading.lat_deg
        )
        if place is None:
            return _Way(grid.name, 0, None, NO_PLACE)
        feed = _feed_of(grid.feeds, self._source, reading.sensor_id)
        lane = Lane(
            grid.name, place, names, reading.sensor_id, self._source, feed, reading.metric, reading.stream,
            reading.unit, tells_clock,
        )  # fmt: skip
        return _Way(grid.name, shard_of(place, self._rules.shards), lane, "")


def _takes(metric: MetricRule, reading: AlignedReading, source: str) -> bool:
    return (
        metric.metric == reading.metric
        and (not metric.streams or reading.stream in metric.streams)
        and (not metric.sources or source in metric.sources)
    )


def _feed_of(feeds: Sequence[FeedRule], source: str, sensor_id: str) -> int:
    for number, feed in enumerate(feeds):
        of_source = not feed.sources or source in feed.sources
        if of_source and (not feed.sensors or any(fnmatchcase(sensor_id, pattern) for pattern in feed.sensors)):
            return number
    return NO_FEED
