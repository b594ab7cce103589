"""What a window keeps of its readings: mergeable, so that frames, panes and places can be added up in any order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from udfs.frame import Readings

Integers = npt.NDArray[np.int64]


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

    def merge(self, other: Aggregate) -> None:
        """Add another aggregate of the same key and metric; only the last digits of means depend on the order."""
        n, m = self.count, other.count
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


class Fold:
    """The partial aggregates of a frame's rows: one for each group (key, metric) and pane.

    Parameters
    ----------
    readings, rows
        The frame, and which of its rows to aggregate; at least one.
    groups, panes
        For each row the index of its (key, metric) in `names`, and the start of its pane in ms.
    by_place
        The aggregates name their sensors.

    The work is done on columns (NumPy): a reading costs a tenth of a microsecond, a group about two.
    """

    def __init__(
        self,
        readings: Readings,
        rows: Integers,
        groups: Integers,
        panes: Integers,
        names: Sequence[tuple[str, str]],
        *,
        by_place: bool,
    ) -> None:
        times = np.frombuffer(readings.event_time_ms, np.int64)[rows]
        order = np.lexsort((times, groups, panes))
        groups, panes, times = groups[order], panes[order], times[order]
        rows = rows[order]
        is_start = np.empty(len(rows), np.bool_)
        is_start[0] = True
        np.not_equal(groups[1:], groups[:-1], out=is_start[1:])
        is_start[1:] |= panes[1:] != panes[:-1]
        starts = np.flatnonzero(is_start)
        counts = np.diff(starts, append=len(rows))
        first, last = _ends(readings, rows, times, starts, counts)

        stations = readings.stations
        of_row = np.frombuffer(readings.station, np.uint32)[rows]
        positions = np.array([(s.lon_deg, s.lat_deg, s.x, s.y) for s in stations])[of_row]
        lon0 = positions[starts, 0]
        offset = positions[:, 0] - np.repeat(lon0, counts)
        positions[:, 0] = np.where(np.abs(offset) <= 180.0, offset, (offset + 180.0) % 360.0 - 180.0)
        mean_position = (np.add.reduceat(positions, starts) / counts[:, None]).T.tolist()

        values = np.frombuffer(readings.value, np.float64)[rows]
        means = np.add.reduceat(values, starts) / counts
        lowest, highest = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        means = np.clip(means, lowest, highest)  # a rounded sum can leave the range of equal values
        m2 = np.add.reduceat((values - np.repeat(means, counts)) ** 2, starts)

        sensors: Sequence[list[str]]
        if by_place:
            cuts = np.split(of_row, starts[1:])
            sensors = [sorted({stations[i].sensor_id for i in cut.tolist()}) for cut in cuts]
        else:
            sensors = [[] for _ in starts]
        ids, seconds, measured = readings.event_id, readings.event_time_ms, readings.value
        named = [names[i] for i in groups[starts].tolist()]
        self.panes: list[int] = panes[starts].tolist()
        self._columns = (
            [key for key, _ in named],
            [metric for _, metric in named],
            counts.tolist(),
            means.tolist(),
            m2.tolist(),
            lowest.tolist(),
            highest.tolist(),
            [seconds[i] for i in first],
            [ids[i] for i in first],
            [measured[i] for i in first],
            [seconds[i] for i in last],
            [ids[i] for i in last],
            [measured[i] for i in last],
            lon0.tolist(),
            *mean_position,
            sensors,
        )

    def aggregates(self) -> list[Aggregate]:
        """New aggregates, one for each entry of `panes`; panes are in ascending order."""
        return list(map(Aggregate, *self._columns))


def _ends(
    readings: Readings, rows: Integers, times: Integers, starts: Integers, counts: Integers
) -> tuple[list[int], list[int]]:
    """The rows of each group's first and last reading; of equal times the event id decides, then the value."""
    ends = starts + counts - 1
    first, last = rows[starts].tolist(), rows[ends].tolist()
    several = counts > 1
    behind_start, before_end = np.minimum(starts + 1, ends), np.maximum(ends - 1, starts)
    tied = several & ((times[starts] == times[behind_start]) | (times[ends] == times[before_end]))
    for group in np.flatnonzero(tied).tolist():
        members = rows[starts[group] : ends[group] + 1].tolist()

        def rank(row: int) -> tuple[int, str, float]:
            return readings.event_time_ms[row], readings.event_id[row], readings.value[row]

        first[group], last[group] = min(members, key=rank), max(members, key=rank)
    return first, last


def _wrap(lon_deg: float) -> float:
    if -180.0 <= lon_deg <= 180.0:
        return lon_deg
    return (lon_deg + 180.0) % 360.0 - 180.0
