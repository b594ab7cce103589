"""Where the sensors of a benchmark stand, and in which CRS and unit they speak."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from pyproj import Transformer

from benchmarks.settings import CELL_M, METRICS, TARGET_CRS

REGIONS = 40
_HOT_LON, _HOT_LAT = 9.0, 50.0
# (west, south, east, north): well inside the areas of use
_BOXES = {
    "EPSG:27700": (-4.0, 51.0, -1.5, 57.0),
    "EPSG:25832": (7.0, 48.0, 11.5, 53.5),
    "EPSG:4326": (0.0, 43.0, 20.0, 60.0),
}
CRSS = tuple(_BOXES)


class Site(NamedTuple):
    """One sensor as it describes itself: texts, so that each of its readings has the same digits."""

    sensor: str
    region: int
    metric: str
    unit: str
    crs: str
    x: str
    y: str


def find_sites(seed: int, sensors: int, hot_share: float, hot_regions: int, *, mixed_units: bool) -> list[Site]:
    """Where the sensors stand, what they measure and how they say so.

    Parameters
    ----------
    hot_share
        Share of the sensors that stand in one cell, 0 to 1.
    hot_regions
        How many regions meet in that cell: sensors of one region share a partition.
    """
    rng = np.random.default_rng([seed, sensors, REGIONS])
    corners = [_corner(_crs_of(region), rng) for region in range(REGIONS)]
    found = []
    for number in range(sensors):
        offset = rng.random(2)
        hot = int(number * hot_share)  # of the sensors before this one
        if int((number + 1) * hot_share) > hot:
            region = hot % hot_regions
            lon, lat = _in_hot_cell(*offset)
            crs = ("EPSG:4326", "EPSG:25832")[region % 2]
        else:
            region = (number - hot) % REGIONS
            lon, lat = corners[region][0] + 0.5 * offset[0], corners[region][1] + 0.3 * offset[1]
            crs = _crs_of(region)
        found.append(_site(mixed_units, number, region, crs, lon, lat))
    return found


def _crs_of(region: int) -> str:
    return CRSS[region % len(CRSS)]


def _corner(crs: str, rng: np.random.Generator) -> tuple[float, float]:
    west, south, east, north = _BOXES[crs]
    return float(rng.uniform(west, east - 0.5)), float(rng.uniform(south, north - 0.3))


def _in_hot_cell(east: float, north: float) -> tuple[float, float]:
    x, y = _transformer("EPSG:4326", TARGET_CRS).transform(_HOT_LON, _HOT_LAT)
    x, y = (x // CELL_M + 0.1 + 0.8 * east) * CELL_M, (y // CELL_M + 0.1 + 0.8 * north) * CELL_M
    lon, lat = _transformer(TARGET_CRS, "EPSG:4326").transform(x, y)
    return float(lon), float(lat)


@lru_cache
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def _site(mixed_units: bool, number: int, region: int, crs: str, lon: float, lat: float) -> Site:
    metric = tuple(METRICS)[number // REGIONS % len(METRICS)]
    units = tuple(METRICS[metric].units)
    unit = units[number % len(units)] if mixed_units else METRICS[metric].unit
    if crs == "EPSG:4326":
        x, y = f"{lon:.6f}", f"{lat:.6f}"
    else:
        x, y = (f"{v:.2f}" for v in _transformer("EPSG:4326", crs).transform(lon, lat))
    return Site(f"s{number:06d}", region, metric, unit, crs, x, y)
