"""Stations and cells on a map without tiles: a graticule, and shapes in longitude and latitude."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import cos, log10, radians
from typing import Any, Final, NamedTuple

import h3
from markupsafe import Markup
from pyproj import Transformer

from jobs.pipeline.config import Deployment
from jobs.report.gather import Station
from jobs.report.scales import Scale, plain, ticks

WIDTH, HEIGHT = 400, 330
_MARGIN: Final = 22
_MOST_CELLS: Final = 2_000
_GRID = re.compile(r"^g(?P<size>[\d.e+]+):E(?P<column>-?\d+):N(?P<row>-?\d+)$")
_LINES: Final = 6  # of the graticule, each way
_EDGE: Final = 4  # points along each side of a grid cell, which is bent in degrees

Ring = list[tuple[float, float]]


class StationMap(NamedTuple):
    svg: Markup
    data: dict[str, Any]
    streams: tuple[str, ...]
    summary: str


class Shapes:
    """Outlines of cells, as rings of (longitude, latitude)."""

    def __init__(self, deployment: Deployment) -> None:
        self._regions = deployment.position.regions
        self._to_degrees = Transformer.from_crs(deployment.position.target_crs, "EPSG:4326", always_xy=True)

    def ring(self, cell: str) -> Ring:
        """Nothing for a name that is no cell's."""
        grid = _GRID.match(cell)
        if grid is not None:
            return self._square(float(grid["size"]), int(grid["column"]), int(grid["row"]))
        if cell in self._regions:
            west, south, east, north = self._regions[cell]
            return [(west, south), (east, south), (east, north), (west, north)]
        if h3.is_valid_cell(cell):
            return [(lon, lat) for lat, lon in h3.cell_to_boundary(cell)]
        return []

    def _square(self, size: float, column: int, row: int) -> Ring:
        corners = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
        along = [
            (column + a + (c - a) * n / _EDGE, row + b + (d - b) * n / _EDGE)
            for (a, b), (c, d) in pairwise(corners)
            for n in range(_EDGE)
        ]
        lon, lat = self._to_degrees.transform([x * size for x, _ in along], [y * size for _, y in along])
        ring = list(zip(lon, lat, strict=True))
        return ring if all(abs(value) <= 360 for pair in ring for value in pair) else []


def draw_map(stations: Mapping[str, Station], cells: Mapping[str, int], shapes: Shapes) -> StationMap:
    """Cells shaded by their readings, stations by stream; the area of a station goes with the order of its readings."""
    if not stations:
        return StationMap(Markup(""), {}, (), "no stations")
    rings = {cell: shapes.ring(cell) for cell in sorted(cells, key=lambda c: -cells[c])[:_MOST_CELLS]}
    x, y = _scales([(s.lon_deg, s.lat_deg) for s in stations.values()])
    streams = tuple(sorted({station.stream for station in stations.values()}))
    parts = [_cells({cell: ring for cell, ring in rings.items() if ring}, cells, x, y), _graticule(x, y)]
    listed = []
    for name, station in sorted(stations.items(), key=lambda item: (-item[1].lat_deg, item[1].lon_deg)):
        place = round(x(station.lon_deg), 1), round(y(station.lat_deg), 1)
        radius = round(1.6 + log10(station.readings), 1)
        parts.append(
            Markup('<circle class="station c{}" cx="{}" cy="{}" r="{}"/>').format(
                streams.index(station.stream) % 6, *place, radius
            )
        )
        where = f"{station.lon_deg:.4f}, {station.lat_deg:.4f}"
        text = f"{name} ({station.stream}): {station.readings:,} readings, {where}, cell {station.cell}"
        listed.append([*place, radius, text])
    svg = Markup('<svg viewBox="0 0 {} {}" aria-hidden="true">{}<circle class="ring" r="0"/></svg>')
    summary = f"{len(stations):,} stations in {len(cells):,} cells"
    return StationMap(svg.format(WIDTH, HEIGHT, Markup("").join(parts)), {"stations": listed}, streams, summary)


def _scales(places: Sequence[tuple[float, float]]) -> tuple[Scale, Scale]:
    """Equirectangular, true at the middle latitude, with room around."""
    west, east = min(lon for lon, _ in places), max(lon for lon, _ in places)
    south, north = min(lat for _, lat in places), max(lat for _, lat in places)
    middle = ((west + east) / 2, (south + north) / 2)
    squeeze = max(cos(radians(middle[1])), 0.05)
    width, height = WIDTH - 2 * _MARGIN, HEIGHT - 2 * _MARGIN
    degrees = max((east - west) * squeeze / width, (north - south) / height, 0.01 / width) * 1.08
    half_lon, half_lat = degrees * width / squeeze / 2, degrees * height / 2
    x = Scale(middle[0] - half_lon, middle[0] + half_lon, _MARGIN, WIDTH - _MARGIN)
    y = Scale(middle[1] - half_lat, middle[1] + half_lat, HEIGHT - _MARGIN, _MARGIN)
    return x, y


def _graticule(x: Scale, y: Scale) -> Markup:
    parts = []
    for lon in ticks(x.low, x.high, _LINES):
        at = f"{x(lon):.1f}"
        parts.append(Markup('<path class="grid" d="M{} {}V{}"/>').format(at, _MARGIN, HEIGHT - _MARGIN))
        label = f"{plain(abs(lon))}°{'E' if lon > 0 else 'W' if lon < 0 else ''}"
        parts.append(Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(at, HEIGHT - 7, label))
    for lat in ticks(y.low, y.high, _LINES):
        at = f"{y(lat):.1f}"
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(_MARGIN, at, WIDTH - _MARGIN))
        label = f"{plain(abs(lat))}°{'N' if lat > 0 else 'S' if lat < 0 else ''}"
        parts.append(Markup('<text class="halo" x="{}" y="{}" dy="-3">{}</text>').format(_MARGIN + 2, at, label))
    frame = Markup('<rect class="frame" x="{0}" y="{0}" width="{1}" height="{2}"/>')
    parts.append(frame.format(_MARGIN, WIDTH - 2 * _MARGIN, HEIGHT - 2 * _MARGIN))
    return Markup("").join(parts)


def _cells(rings: Mapping[str, Ring], cells: Mapping[str, int], x: Scale, y: Scale) -> Markup:
    most = max(cells.values(), default=1)
    parts = []
    for cell, ring in rings.items():
        points = " ".join(f"{x(lon):.1f},{y(lat):.1f}" for lon, lat in ring)
        shade = 0.12 + 0.48 * cells[cell] / most
        parts.append(
            Markup('<polygon class="cell" points="{}" style="fill-opacity:{}"><title>{}</title></polygon>').format(
                points, f"{shade:.2f}", f"{cell}: {cells[cell]:,} readings"
            )
        )
    return Markup('<g clip-path="inset(0)">{}</g>').format(Markup("").join(parts))
