"""Positions of stationary sensors, each transformed once: shared by the baselines."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from pyproj.transformer import TransformerGroup

from benchmarks.settings import CELL_M, TARGET_CRS


class Position(NamedTuple):
    """Where a reading was taken; `x`, `y` in the target CRS."""

    lon_deg: float
    lat_deg: float
    x: float
    y: float
    cell: str
    transform: str
    accuracy_m: float | None
    ballpark: bool
    best_available: bool


class UnusablePosition(ValueError):  # noqa: N818
    """A position that is none; the first argument is the reason's name."""


class _Source(NamedTuple):
    """All that is kept of one source CRS."""

    crs: CRS
    to_geographic: Transformer
    to_target: Transformer
    best_available: bool


class Positions:
    """A cache in front of pyproj; one per process, since PROJ's objects belong to a thread."""

    def __init__(self, target_crs: str = TARGET_CRS) -> None:
        self._target = target_crs
        self._known: dict[tuple[str, float, float], Position] = {}
        self._sources: dict[str, _Source] = {}
        self._operations: dict[str, tuple[str, float | None, bool]] = {}

    def locate(self, crs: str, x: float, y: float) -> Position:
        """Look a position up, or transform it.

        Raises
        ------
        UnusablePosition : unknown CRS, not finite, beyond the globe or outside of the CRS's area of use.
        """
        key = (crs, x, y)
        position = self._known.get(key)
        if position is None:
            position = self._known[key] = self._transform(crs, x, y)
        return position

    def _transform(self, crs: str, x: float, y: float) -> Position:
        source = self._sources.get(crs)
        if source is None:
            source = self._sources[crs] = _source(crs, self._target)
        if not (math.isfinite(x) and math.isfinite(y)):
            raise UnusablePosition("position_not_finite", f"x={x}, y={y}")
        if source.crs.is_geographic and not (abs(x) <= 180.0 and abs(y) <= 90.0):
            raise UnusablePosition("position_out_of_range", f"x={x}, y={y} is no longitude and latitude")
        lon_deg, lat_deg = source.to_geographic.transform(x, y)
        to_x, to_y = source.to_target.transform(x, y)
        if not all(map(math.isfinite, (lon_deg, lat_deg, to_x, to_y))):
            raise UnusablePosition("transform_failed", f"no finite result from {crs}")
        area = source.crs.area_of_use
        if area is not None and not (area.west <= lon_deg <= area.east and area.south <= lat_deg <= area.north):
            raise UnusablePosition("outside_area_of_use", f"({lon_deg}°, {lat_deg}°) is outside the area of {crs}")
        cell = f"g{CELL_M}:E{int(to_x // CELL_M)}:N{int(to_y // CELL_M)}"
        return Position(lon_deg, lat_deg, to_x, to_y, cell, *self._operation(crs, source), source.best_available)

    def _operation(self, name: str, source: _Source) -> tuple[str, float | None, bool]:
        """Name, accuracy and ballpark flag of the operation; asked once per CRS, since PROJ takes its time."""
        found = self._operations.get(name)
        if found is None:
            used = source.to_target.get_last_used_operation()
            accuracy_m = float(used.accuracy)
            description = str(used.description)
            found = (description, accuracy_m if accuracy_m >= 0.0 else None, "ballpark" in description.lower())
            self._operations[name] = found
        return found


def _source(name: str, target: str) -> _Source:
    try:
        crs = CRS.from_user_input(name)
    except CRSError as problem:
        raise UnusablePosition("unknown_crs", str(problem)) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a missing grid is said by `best_available`
        group = TransformerGroup(crs, target, always_xy=True)
    return _Source(
        crs,
        Transformer.from_crs(crs, "EPSG:4326", always_xy=True),
        Transformer.from_crs(crs, target, always_xy=True),
        group.best_available,
    )
