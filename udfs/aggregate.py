"""What a window keeps of its readings: partial aggregates as columns, which add up in any order and any split.

The work is done on columns (NumPy), and only what is published becomes an object.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise

import msgspec
import numpy as np
import numpy.typing as npt

from udfs.frame import Readings
from udfs.sampling import Sample, certain, fold_samples, merge_samples

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Key = tuple[str, str]  # (sensor, cell or region; metric)

_INTEGERS = ("count", "first_ms", "last_ms")
_FLOATS = ("mean", "m2", "min", "max", "first", "last", "lon0_deg", "dlon_deg", "lat_deg", "x", "y")
_COUNT, _FIRST_MS, _LAST_MS = range(len(_INTEGERS))
_MEAN, _M2, _MIN, _MAX, _FIRST, _LAST, _LON0, _DLON, _LAT, _X, _Y = range(len(_FLOATS))


class Aggregate(msgspec.Struct, frozen=True):
    """The readings of one (key, metric) in one window.

    Longitudes are averaged as offsets from the first one, so that a sensor at the antimeridian does not end in
    Greenwich. First and last are by (event time, event id); ids are unique per sensor only, so two sensors of a place
    may tie, and then the value decides.
    """

    key: str
    metric: str
    first_id: str
    last_id: str
    sensors: list[str]  # of cell and region windows, for the expected count; empty for sensor windows
    count: int
    first_ms: int
    last_ms: int
    mean: float
    m2: float  # sum of squared deviations from the mean
    min: float
    max: float
    first: float
    last: float
    lon0_deg: float
    dlon_deg: float
    lat_deg: float
    x: float
    y: float
    sample: Sample | None = None  # where there are sampled readings

    @property
    def std(self) -> float:
        """Population standard deviation (SQL's STDDEV_POP), canonical unit."""
        return math.sqrt(max(self.m2, 0.0) / self.count)

    @property
    def lon_deg(self) -> float:
        """Mean longitude in [-180, 180]."""
        lon_deg = self.lon0_deg + self.dlon_deg
        return lon_deg if -180.0 <= lon_deg <= 180.0 else (lon_deg + 180.0) % 360.0 - 180.0


class _Chunk(msgspec.Struct, array_like=True, gc=False):
    """`Partials` as state holds them; append fields with defaults only."""

    keys: list[str]
    metrics: list[str]
    first_ids: list[str]
    last_ids: list[str]
    integers: bytes
    floats: bytes
    sensors: list[list[str]]
    samples: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Chunk)


@dataclass(frozen=True, eq=False)
class Partials:
    """Partial aggregates, each (key, metric) once; `integers` and `floats` have a row per field, a column per key.

    `sensors` is empty for windows by sensor; `samples` has a row per field of `Sample`, or is None: nothing is sampled.
    """

    names: list[Key]
    first_ids: list[str]
    last_ids: list[str]
    integers: Integers
    floats: Floats
    sensors: list[list[str]]
    samples: Floats | None = None

    @cached_property
    def index(self) -> dict[Key, int]:
        return {name: column for column, name in enumerate(self.names)}

    @cached_property
    def encoded(self) -> bytes:
        """For state; kept, because the definitions of a stream share partials."""
        return _encoder.encode(
            _Chunk(
                [key for key, _ in self.names],
                [metric for _, metric in self.names],
                self.first_ids,
                self.last_ids,
                self.integers.tobytes(),
                self.floats.tobytes(),
                self.sensors,
                b"" if self.samples is None else self.samples.tobytes(),
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Partials:
        chunk = _decoder.decode(data)
        size = len(chunk.keys)
        return cls(
            list(zip(chunk.keys, chunk.metrics, strict=True)),
            chunk.first_ids,
            chunk.last_ids,
            np.frombuffer(chunk.integers, np.int64).reshape(len(_INTEGERS), size),
            np.frombuffer(chunk.floats, np.float64).reshape(len(_FLOATS), size),
            chunk.sensors,
            np.frombuffer(chunk.samples).reshape(-1, size) if chunk.samples else None,
        )

    def take(self, columns: Sequence[int]) -> Partials:
        return Partials(
            [self.names[c] for c in columns],
            [self.first_ids[c] for c in columns],
            [self.last_ids[c] for c in columns],
            self.integers[:, columns],
            self.floats[:, columns],
            [self.sensors[c] for c in columns] if self.sensors else [],
            None if self.samples is None else self.samples[:, columns],
        )

    def only(self, names: Iterable[Key]) -> Partials:
        """Those of some keys, as far as there are any."""
        return self.take([self.index[name] for name in names if name in self.index])

    def aggregates(self) -> list[Aggregate]:
        keys, metrics = zip(*self.names, strict=True) if self.names else ((), ())
        columns = (*self.integers.tolist(), *self.floats.tolist())
        sensors = self.sensors or [[] for _ in self.names]
        if self.samples is not None:
            columns += ([Sample(*s) if s[0] else None for s in self.samples.T.tolist()],)
        return list(map(Aggregate, keys, metrics, self.first_ids, self.last_ids, sensors, *columns))


def merge(parts: Sequence[Partials]) -> Partials:
    """Add up partials by key; only the last digits of means depend on the order.

    Means and sums of squared deviations are merged as by Chan, Golub & LeVeque (1979), which stays accurate where sums
    of squares cancel.
    """
    if len(parts) == 1:
        return parts[0]
    index: dict[Key, int] = {}
    all_names = [name for part in parts for name in part.names]
    groups = np.array([index.setdefault(name, len(index)) for name in all_names], np.int64)
    integers = np.concatenate([part.integers for part in parts], axis=1)
    floats = np.concatenate([part.floats for part in parts], axis=1)
    first_ids = [event_id for part in parts for event_id in part.first_ids]
    last_ids = [event_id for part in parts for event_id in part.last_ids]
    sensors = [names for part in parts for names in part.sensors]
    samples = _samples(parts)
    if len(index) == len(groups):
        return Partials(all_names, first_ids, last_ids, integers, floats, sensors, samples)

    sizes = np.bincount(groups)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    order = np.argsort(groups, kind="stable")
    weight = integers[_COUNT, order]
    total = np.add.reduceat(weight, starts)
    given = floats[:, order]
    found = np.empty((len(_FLOATS), len(index)))

    found[_MIN] = np.minimum.reduceat(given[_MIN], starts)
    found[_MAX] = np.maximum.reduceat(given[_MAX], starts)
    averaged = given[[_MEAN, _LAT, _X, _Y]]
    typical = averaged[:, starts]
    away = averaged - np.repeat(typical, sizes, axis=1)
    found[[_MEAN, _LAT, _X, _Y]] = typical + np.add.reduceat(away * weight, starts, axis=1) / total
    found[_MEAN] = np.clip(found[_MEAN], found[_MIN], found[_MAX])  # a rounded mean can leave the range of equal values
    deviation = given[_MEAN] - np.repeat(found[_MEAN], sizes)
    found[_M2] = np.add.reduceat(given[_M2] + weight * deviation**2, starts)
    found[_LON0] = given[_LON0, starts]
    offset = _wrapped(given[_LON0] + given[_DLON] - np.repeat(found[_LON0], sizes))
    found[_DLON] = np.add.reduceat(offset * weight, starts) / total

    first = _extremes(groups, sizes, integers[_FIRST_MS], first_ids, floats[_FIRST], latest=False)
    last = _extremes(groups, sizes, integers[_LAST_MS], last_ids, floats[_LAST], latest=True)
    found[_FIRST], found[_LAST] = floats[_FIRST, first], floats[_LAST, last]
    return Partials(
        list(index),
        [first_ids[i] for i in first.tolist()],
        [last_ids[i] for i in last.tolist()],
        np.stack((total, integers[_FIRST_MS, first], integers[_LAST_MS, last])),
        found,
        _united([sensors[i] for i in order.tolist()], starts) if sensors else [],
        None if samples is None else merge_samples(samples[:, order], starts, sizes),
    )


@dataclass(frozen=True)
class Stations:
    """What folding needs of a frame's stations: positions, and the number of each one's (key, metric)."""

    names: Sequence[Key]
    group: Integers
    sensor_ids: Sequence[str]
    positions: Floats  # a column per station


def fold(
    readings: Readings, rows: Integers, panes: Integers, stations: Stations, *, by_place: bool
) -> list[tuple[int, Partials]]:
    """The partial aggregates of a frame's rows, by the starts of panes in ascending order.

    Parameters
    ----------
    rows
        Which rows of the frame; at least one.
    panes
        For each row the start of its pane, ms.
    by_place
        The partials name their sensors.
    """
    times = np.frombuffer(readings.event_time_ms, np.int64)[rows]
    groups = stations.group[np.frombuffer(readings.station, np.uint32)[rows]]
    order = np.lexsort((times, groups, panes))
    groups, panes, rows = groups[order], panes[order], rows[order]
    is_start = np.empty(len(rows), np.bool_)
    is_start[0] = True
    np.not_equal(groups[1:], groups[:-1], out=is_start[1:])
    is_start[1:] |= panes[1:] != panes[:-1]
    starts = np.flatnonzero(is_start)
    counts = np.diff(starts, append=len(rows))

    of_row = np.frombuffer(readings.station, np.uint32)[rows]
    values = np.frombuffer(readings.value, np.float64)[rows]
    found = np.empty((len(_FLOATS), len(starts)))
    found[_MIN], found[_MAX] = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    mean = np.add.reduceat(values, starts) / counts
    found[_MEAN] = np.clip(mean, found[_MIN], found[_MAX])  # a rounded sum can leave the range of equal values
    found[_M2] = np.add.reduceat((values - np.repeat(found[_MEAN], counts)) ** 2, starts)
    positions = stations.positions[:, of_row]
    found[_LON0] = positions[0, starts]
    positions[0] = _wrapped(positions[0] - np.repeat(found[_LON0], counts))
    found[_DLON : _Y + 1] = np.add.reduceat(positions, starts, axis=1) / counts

    times = times[order]
    first, last = _ends(readings, rows, times, starts, counts)
    found[_FIRST], found[_LAST] = values[first], values[last]
    ids = readings.event_id
    samples = None
    if readings.fraction is not None:
        samples = fold_samples(np.frombuffer(readings.fraction)[rows], values, starts, counts)
    partials = Partials(
        [stations.names[i] for i in groups[starts].tolist()],
        [ids[i] for i in rows[first].tolist()],
        [ids[i] for i in rows[last].tolist()],
        np.stack((counts, times[first], times[last])),
        found,
        _united([[stations.sensor_ids[i]] for i in of_row.tolist()], starts) if by_place else [],
        samples,
    )
    begins = np.unique(panes[starts], return_index=True)
    if len(begins[0]) == 1:
        return [(int(begins[0][0]), partials)]
    bounds = [*begins[1].tolist(), len(starts)]
    slices = [range(a, b) for a, b in pairwise(bounds)]
    return [(start_ms, partials.take(s)) for start_ms, s in zip(begins[0].tolist(), slices, strict=True)]


def _ends(
    readings: Readings, rows: Integers, times: Integers, starts: Integers, counts: Integers
) -> tuple[Integers, Integers]:
    """Where the first and last reading of each group are; of equal times the event id decides, then the value."""
    ends = starts + counts - 1
    first, last = starts.copy(), ends.copy()
    behind_start, before_end = np.minimum(starts + 1, ends), np.maximum(ends - 1, starts)
    tied = (counts > 1) & ((times[starts] == times[behind_start]) | (times[ends] == times[before_end]))
    for group in np.flatnonzero(tied).tolist():

        def rank(place: int) -> tuple[int, str, float]:
            row = int(rows[place])
            return readings.event_time_ms[row], readings.event_id[row], readings.value[row]

        members = range(int(starts[group]), int(ends[group]) + 1)
        first[group], last[group] = min(members, key=rank), max(members, key=rank)
    return first, last


def _extremes(
    groups: Integers, sizes: Integers, times: Integers, ids: Sequence[str], values: Floats, *, latest: bool
) -> Integers:
    """The earliest or latest member of each group; of equal times the event id decides, then the value."""
    order = np.lexsort((times, groups))
    ends = np.cumsum(sizes)
    at = ends - 1 if latest else ends - sizes
    beside = np.maximum(at - 1, ends - sizes) if latest else np.minimum(at + 1, ends - 1)
    found: Integers = order[at]
    for group in np.flatnonzero((sizes > 1) & (times[order[at]] == times[order[beside]])).tolist():
        members = order[ends[group] - sizes[group] : ends[group]].tolist()
        ranked = [(int(times[i]), ids[i], float(values[i]), i) for i in members]
        found[group] = (max if latest else min)(ranked)[-1]
    return found


def _samples(parts: Sequence[Partials]) -> Floats | None:
    if all(part.samples is None for part in parts):
        return None
    return np.concatenate(
        [
            certain(part.integers[_COUNT], part.floats[_MEAN]) if part.samples is None else part.samples
            for part in parts
        ],
        axis=1,
    )


def _united(sensors: Sequence[Sequence[str]], starts: Integers) -> list[list[str]]:
    """The distinct sensors of each group of consecutive lists."""
    bounds = [*starts.tolist(), len(sensors)]
    return [sorted(set(chain.from_iterable(sensors[a:b]))) for a, b in pairwise(bounds)]


def _wrapped(lon_deg: Floats) -> Floats:
    """Longitudes, or differences of them, in [-180, 180]."""
    return np.where(np.abs(lon_deg) <= 180.0, lon_deg, (lon_deg + 180.0) % 360.0 - 180.0)
