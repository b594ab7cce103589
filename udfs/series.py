"""What the readings of a series have in common, worked out at its first reading and remembered for the next ones.

A series is what a sensor sends of one metric. Its readings repeat the same texts, and most repeat the same position.
Whatever follows from the texts alone - that they are valid, the stream, the conversion of the unit, the shard, much of
the aligned record - is a function of the `SeriesKey`, and the rest of its site. So a reading of a remembered series at
its site need not take the stages that are about these, and one at another site has only to be located.
"""

from __future__ import annotations

import zlib
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from udfs.aligned import aligned_middle, aligned_tail
from udfs.bounded_cache import BoundedCache
from udfs.frame import Station
from udfs.identity import content_seed, event_id_start, id_seed
from udfs.reading import Headers, Position, Reading
from udfs.rules import Rules
from udfs.validate import Plan

CACHE_BYTES = 100_663_296  # of one generation, see `BoundedCache`: some 70,000 series

_BYTES = 1_400  # of a series, its key and its site, without the texts that can be long; measured by tracemalloc

# The headers sensor_id, crs_source, payload_version and content-type; the record's key; sensor_id, metric, unit, crs
# and region of the value. All as they came and unchecked: only what has passed the stages is remembered.
SeriesKey = tuple[bytes | None, bytes | None, bytes | None, bytes | None, bytes | None, Any, Any, Any, Any, Any]

_NOWHERE = Station("", "", "", "", "", 0.0, 0.0, 0.0, 0.0, b"", b"")


class Site(msgspec.Struct, gc=False, eq=False):
    """A series at one position, `x` and `y` as sent."""

    x: float
    y: float
    content_seed: int
    station: Station  # _NOWHERE until it is located

    @property
    def is_located(self) -> bool:
        return self.station is not _NOWHERE


class Series(msgspec.Struct, gc=False, eq=False):
    """What it takes to judge and write one more reading of a series."""

    sensor_id: str
    region: str
    metric: str
    stream: str
    unit_original: str
    crs: str
    record_key: bytes | None
    shard: int
    fields: int  # of a value: those that are in the key, and those that every reading has
    scale: float
    offset: float
    lowest: float
    highest: float
    max_age_ms: int
    sampled: bool
    zone: ZoneInfo | None
    id_seed: int
    event_id_start: str
    middle: bytes  # of the aligned record
    site: Site  # where it was last

    def at(self, x: float, y: float) -> Site:
        """Give the site there, which may have to be located yet."""
        if x == self.site.x and y == self.site.y:
            return self.site
        return _site(self.sensor_id, self.metric, self.unit_original, self.crs, x, y)

    def locate(self, site: Site, position: Position) -> None:
        """Tell a site its position."""
        site.station = Station(
            self.stream,
            self.sensor_id,
            self.metric,
            self.region,
            position.cell,
            position.lon_deg,
            position.lat_deg,
            position.x,
            position.y,
            self.record_key or position.cell.encode(),
            aligned_tail(self.middle, position),
        )


class KnownSeries:
    """The series that a worker remembers."""

    def __init__(self, rules: Rules, topic: str, cache_bytes: int = CACHE_BYTES) -> None:
        self._topic = topic
        self._target_crs = rules.position.target_crs
        self._shards = rules.shards
        self._cache: BoundedCache[SeriesKey, Series] = BoundedCache(cache_bytes, _weigh)
        self.zones = {s.name: ZoneInfo(s.time_zone) if s.time_zone else None for s in rules.streams}
        self.recent = self._cache.recent
        self.find = self._cache.find

    def of(self, key: SeriesKey, reading: Reading, headers: Headers, unit: Plan) -> Series:
        """Give the series of a valid reading; a new one is not remembered before `settle`."""
        return self.find(key) or self._make(key, reading, headers, unit)

    def settle(self, key: SeriesKey, series: Series, site: Site, position: Position) -> Site:
        """Remember where a series is; give the site, or its equal if that is known already."""
        known = self.find(key)
        if known is not None:
            if known.site.x == site.x and known.site.y == site.y:
                return known.site
            series = known
        series.locate(site, position)
        series.site = site
        if known is None:
            self._cache.put(key, series)
        return site

    def _make(self, key: SeriesKey, reading: Reading, headers: Headers, unit: Plan) -> Series:
        _, _, _, _, record_key, sensor_id, _, _, crs, region = key
        sensor, metric, stream = reading.sensor_id, reading.metric, reading.stream
        return Series(
            sensor,
            reading.region,
            metric,
            stream.name,
            reading.unit_original,
            reading.crs,
            record_key,
            shard_of(sensor, self._shards),
            6 + sum(field is not None for field in (sensor_id, crs, region)),  # metric, unit, value, event_time, x, y
            unit.scale,
            unit.offset,
            unit.lowest,
            unit.highest,
            stream.max_age_ms,
            stream.sampled,
            self.zones[stream.name],
            id_seed(sensor),
            event_id_start(sensor, metric),
            aligned_middle(reading, headers.payload_version, self._target_crs, self._topic),
            _site(sensor, metric, reading.unit_original, reading.crs, reading.x, reading.y),
        )


def shard_of(name: str, shards: int) -> int:
    """Spread names (sensors, cells, regions) over keyed-state shards; stable across processes and versions."""
    return zlib.crc32(name.encode()) % shards


def _site(sensor_id: str, metric: str, unit_original: str, crs: str, x: float, y: float) -> Site:
    x, y = x + 0.0, y + 0.0  # -0.0 equals 0.0, so it must be the same place in all respects
    return Site(x, y, content_seed(sensor_id, metric, unit_original, crs, x, y), _NOWHERE)


def _weigh(key: SeriesKey, series: Series) -> int:
    _, crs_header, _, _, record_key, _, _, _, crs, _ = key
    return _BYTES + 2 * len(series.middle) + sum(map(len, filter(None, (crs_header, record_key, crs))))
