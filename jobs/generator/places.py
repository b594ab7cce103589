"""Where stations stand and in which CRS they say so."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pyproj import Transformer

from udfs.cell import CellAssigner
from udfs.crs import Locator
from udfs.reasons import Rejected
from udfs.rules import BoundingBox, Rules

# Used where a deployment knows no regions: inhabited land in several CRSs' areas of use.
DEFAULT_REGIONS = (
    ("grampian", BoundingBox(-4.0, 56.5, -2.0, 57.7)),
    ("rhine", BoundingBox(4.0, 51.0, 8.0, 53.0)),
    ("po", BoundingBox(7.5, 44.5, 12.5, 45.8)),
    ("oslofjord", BoundingBox(10.0, 59.0, 11.2, 60.0)),
)
TRACK_POINTS = 48
_TRACK_RADIUS_DEG = 0.15

# (CRS, west, south, east, north): inside the EPSG areas of use, so that coarse borders do not matter.
_NATIONAL = (
    ("EPSG:27700", -6.0, 50.0, 1.7, 60.5),
    ("EPSG:28992", 3.6, 51.0, 7.0, 53.4),
    ("EPSG:25832", 6.1, 40.0, 11.9, 80.0),
    ("EPSG:25833", 12.1, 47.0, 17.9, 80.0),
    ("EPSG:3035", -10.0, 36.0, 30.0, 68.0),
)


@dataclass(frozen=True)
class Site:
    """A place as a station reports it; `x`, `y` are texts, so that every reading of the station has the same digits."""

    region: str
    crs: str
    x: str
    y: str
    lon_deg: float
    lat_deg: float
    cell: str


class Surveyor:
    """Finds places inside a deployment's regions that its job will believe."""

    def __init__(self, rules: Rules, rng: np.random.Generator) -> None:
        self._rng = rng
        self._regions = rules.position.regions or DEFAULT_REGIONS
        self._locator = Locator(rules.position, CellAssigner(rules.cell).cell)

    def track(self, number: int, mobile: bool) -> list[Site]:
        """The places of one station: one, or a loop of `TRACK_POINTS`."""
        region, box = self._regions[number % len(self._regions)]
        east = box.east if box.east > box.west else box.east + 360.0
        width, height = east - box.west, box.north - box.south
        lon = box.west + width * self._rng.uniform(0.1, 0.9)
        lat = box.south + height * self._rng.uniform(0.1, 0.9)
        crs = self._pick_crs(lon, lat)
        if not mobile:
            return [self._site(region, crs, lon, lat)]
        radius = min(_TRACK_RADIUS_DEG, 0.09 * width, 0.09 * height)
        angles = np.arange(TRACK_POINTS) * (2 * np.pi / TRACK_POINTS)
        return [self._site(region, crs, lon + radius * np.cos(a), lat + radius * np.sin(a)) for a in angles]

    def _pick_crs(self, lon: float, lat: float) -> str:
        zone = int((lon + 180.0) // 6.0) % 60 + 1
        choices = ["EPSG:4326"] * 3 + [f"EPSG:32{6 if lat >= 0 else 7}{zone:02d}"]
        if abs(lat) < 80.0:
            choices.append("EPSG:3857")
        choices += [c for c, w, s, e, n in _NATIONAL if w <= lon <= e and s <= lat <= n]
        return str(choices[self._rng.integers(len(choices))])

    def _site(self, region: str, crs: str, lon: float, lat: float) -> Site:
        lon = (lon + 180.0) % 360.0 - 180.0
        why = ""
        for candidate in (crs, "EPSG:4326"):
            if candidate == "EPSG:4326":
                x, y = f"{lon:.6f}", f"{lat:.6f}"
            else:
                east, north = _transformer(candidate).transform(lon, lat)
                x, y = f"{east:.2f}", f"{north:.2f}"
            place = self._locator.locate_many([(candidate, float(x), float(y), region)])[0]
            if not isinstance(place, Rejected):
                return Site(region, candidate, x, y, place.lon_deg, place.lat_deg, place.cell)
            why = place.message
        raise ValueError(f"region {region!r}: the deployment's rules refuse ({lon:.4f}°, {lat:.4f}°): {why}")


@lru_cache(maxsize=128)
def _transformer(crs: str) -> Transformer:
    return Transformer.from_crs("EPSG:4326", crs, always_xy=True)
