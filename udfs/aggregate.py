"""What a window keeps of its readings: mergeable, so that frames, panes and places can be added up in any order."""

from __future__ import annotations

import math

import msgspec

from udfs.frame import Accepted


class Aggregate(msgspec.Struct, array_like=True):
    """Partial or whole aggregate of one (key, metric) in one window; append fields with defaults only.

    `mean` and `m2` follow Welford (1962) and are merged by Chan, Golub & LeVeque (1979), which stays accurate where
    sums of squares cancel. Longitudes are averaged as offsets from the first one, so that a sensor at the
    antimeridian does not end in Greenwich. First and last are by (event time, event id); ids are unique per sensor
    only, so two sensors of a place may tie, and then the value decides.
    """

    key: str
    metric: str
    count: int
    mean: float
    m2: float
    min: float
    max: float
    first_ms: int
    first_id: str
    first: float
    last_ms: int
    last_id: str
    last: float
    lon0_deg: float
    dlon_deg: float
    lat_deg: float
    x: float
    y: float
    sensors: list[str]  # of cell and region windows, for the expected count; empty for sensor windows
    revision: int = 0

    @classmethod
    def of(cls, key: str, reading: Accepted, sensors: list[str]) -> Aggregate:
        value, time_ms, event_id = reading.value, reading.event_time_ms, reading.event_id
        return cls(
            key,
            reading.metric,
            1,
            value,
            0.0,
            value,
            value,
            time_ms,
            event_id,
            value,
            time_ms,
            event_id,
            value,
            reading.lon_deg,
            0.0,
            reading.lat_deg,
            reading.x,
            reading.y,
            sensors,
        )

    def merge(self, other: Aggregate) -> None:
        """Add another aggregate of the same key and metric; only the last digits of means depend on the order."""
        n, m = self.count, other.count
        if m == 0:
            self.revision = max(self.revision, other.revision)
            return
        if n == 0:
            self._take(other)
            return
        total = n + m
        weight = m / total
        delta = other.mean - self.mean
        self.mean += delta * weight
        self.m2 += other.m2 + delta * delta * n * weight
        self.dlon_deg += (_wrap(other.lon0_deg + other.dlon_deg - self.lon0_deg) - self.dlon_deg) * weight
        self.lat_deg += (other.lat_deg - self.lat_deg) * weight
        self.x += (other.x - self.x) * weight
        self.y += (other.y - self.y) * weight
        self.count = total
        if other.min < self.min:
            self.min = other.min
        if other.max > self.max:
            self.max = other.max
        if (other.first_ms, other.first_id, other.first) < (self.first_ms, self.first_id, self.first):
            self.first_ms, self.first_id, self.first = other.first_ms, other.first_id, other.first
        if (other.last_ms, other.last_id, other.last) > (self.last_ms, self.last_id, self.last):
            self.last_ms, self.last_id, self.last = other.last_ms, other.last_id, other.last
        if other.sensors:
            self.sensors = sorted({*self.sensors, *other.sensors})
        if other.revision > self.revision:
            self.revision = other.revision

    def copy(self) -> Aggregate:
        duplicate = msgspec.structs.replace(self)
        duplicate.sensors = list(self.sensors)
        return duplicate

    @property
    def std(self) -> float:
        """Population standard deviation (SQL's STDDEV_POP), canonical unit."""
        return math.sqrt(max(self.m2, 0.0) / self.count)

    @property
    def lon_deg(self) -> float:
        """Mean longitude in [-180, 180]."""
        return _wrap(self.lon0_deg + self.dlon_deg)

    def _take(self, other: Aggregate) -> None:
        revision = max(self.revision, other.revision)
        for name in self.__struct_fields__:
            setattr(self, name, getattr(other, name))
        self.sensors = list(other.sensors)
        self.revision = revision


def _wrap(lon_deg: float) -> float:
    if -180.0 <= lon_deg <= 180.0:
        return lon_deg
    return (lon_deg + 180.0) % 360.0 - 180.0
