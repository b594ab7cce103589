"""Which sensor ids are one box: close together, measuring different things at nearly the same times."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from udfs.geodesic import distance_m
from udfs.grid.clock import typical_difference_ms

_METRES_PER_DEGREE = 110_500.0  # of latitude, at the least


class Station(NamedTuple):
    """A sensor id with its position, what it measures, and when it did (in order)."""

    sensor_id: str
    lon_deg: float
    lat_deg: float
    metrics: frozenset[str]
    times_ms: Sequence[int]


def pair_stations(stations: Sequence[Station], within_m: float, clock_difference_ms: int) -> dict[str, list[str]]:
    """Find boxes of several sensor ids; a table `place: [sensor ids]` for the grid file.

    Two ids are paired when they are at most `within_m` apart, have no metric in common, and half of the readings of
    each have one of the other within the clocks' difference. What is paired with the same id is one box, as long as no
    metric would be in it twice.
    """
    boxes: dict[str, list[Station]] = {s.sensor_id: [s] for s in stations}
    for first, second in _neighbours(stations, within_m):
        box, other = boxes[first.sensor_id], boxes[second.sensor_id]
        if box is not other and _are_disjoint(box, other) and _are_together(first, second, clock_difference_ms):
            box += other
            boxes.update((member.sensor_id, box) for member in other)
    found = {id(box): sorted(s.sensor_id for s in box) for box in boxes.values() if len(box) > 1}
    return {"+".join(ids): ids for ids in sorted(found.values())}


def _neighbours(stations: Sequence[Station], within_m: float) -> list[tuple[Station, Station]]:
    """Pairs at most so far apart, the nearest first."""
    size_deg = max(within_m, 1.0) / _METRES_PER_DEGREE
    cells: dict[tuple[int, int], list[Station]] = defaultdict(list)
    pairs = []
    for station in sorted(stations):
        row = math.floor(station.lat_deg / size_deg)
        # Squares are as many degrees wide as they need to be at the edge of their row nearest to the pole.
        wide = size_deg / max(math.cos(math.radians(min(89.0, abs(station.lat_deg) + size_deg))), 0.01)
        column = math.floor(station.lon_deg / wide)
        around = [cells[row + i, column + j] for i, j in product((-1, 0, 1), repeat=2)]
        pairs += [(other, station) for cell in around for other in cell]
        cells[row, column].append(station)
    if not pairs:
        return []
    columns = np.array([[a.lon_deg, a.lat_deg, b.lon_deg, b.lat_deg] for a, b in pairs]).T
    metres = distance_m(*columns)
    near = np.flatnonzero(metres <= within_m)
    return [pairs[i] for i in near[np.argsort(metres[near], kind="stable")]]


def _are_disjoint(box: Sequence[Station], other: Sequence[Station]) -> bool:
    mine = frozenset().union(*(s.metrics for s in box))
    return not any(mine & s.metrics for s in other)


def _are_together(first: Station, second: Station, clock_difference_ms: int) -> bool:
    there, back = (typical_difference_ms(a.times_ms, b.times_ms) for a, b in ((first, second), (second, first)))
    return there is not None and back is not None and max(there, back) <= clock_difference_ms
