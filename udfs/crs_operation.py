"""Choose, for each position, the best operation between two CRSs that is installed; used by `udfs.crs`."""

from __future__ import annotations

import math
import warnings
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from pyproj import CRS
from pyproj.aoi import AreaOfUse
from pyproj.exceptions import ProjError
from pyproj.transformer import TransformerGroup

from udfs.rules import BoundingBox

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]


class Operation(msgspec.Struct, frozen=True):
    """What is known of one coordinate operation."""

    name: str  # PROJ's name, without its steps that only swap axes
    accuracy_m: float | None  # None: unknown
    ballpark: bool


IDENTITY = Operation("identity", 0.0, False)
_MOST_SECONDS = 8  # operations from WGS 84 to a target that are tried after each operation to it


class NoOperation(ValueError):  # noqa: N818
    """PROJ knows both CRSs but no way from one to the other: most often a projection that it cannot compute."""


def areas_of_use(crs: CRS) -> list[BoundingBox]:
    """List the areas that a CRS is meant for, in degrees east of Greenwich; none where they are not known.

    EPSG gives some national grids two, and pyproj's `area_of_use` is only the first of them: of RT90 2.5 gon V (3021)
    and of KKJ zone 3 (2393) that is one zone, although both are the small-scale grid of their whole country.

    Source: EPSG registry, "usage" (since version 10); PROJJSON 0.2, "usages".
    """
    boxes = [usage["bbox"] for usage in crs.to_json_dict().get("usages", ()) if "bbox" in usage]
    areas = [
        BoundingBox(b["west_longitude"], b["south_latitude"], b["east_longitude"], b["north_latitude"]) for b in boxes
    ]
    if not areas and crs.area_of_use is not None:
        areas = [BoundingBox(*crs.area_of_use.bounds)]
    return [area for area in areas if area.south >= -90.0]  # -1000: not known to EPSG


def contains(area: AreaOfUse | BoundingBox, lon_deg: Floats, lat_deg: Floats, tolerance_deg: float) -> Flags:
    """Tell which positions lie in an area.

    Parameters
    ----------
    area
        Degrees; `west > east` crosses the antimeridian.
    lon_deg, lat_deg
        Degrees, −180 to 180 and −90 to 90, east of Greenwich.
    tolerance_deg
        How far outside the area still counts as inside, degrees >= 0.

    Returns
    -------
        One flag for each position.
    """
    west, east = area.west - tolerance_deg, area.east + tolerance_deg
    in_south_north = (lat_deg >= area.south - tolerance_deg) & (lat_deg <= area.north + tolerance_deg)
    if area.west > area.east:
        return in_south_north & ((lon_deg >= west) | (lon_deg <= east))
    # An area that ends at the antimeridian has its tolerance on the other side of it.
    beyond = (lon_deg >= west + 360.0) | (lon_deg <= east - 360.0)
    return in_south_north & (((lon_deg >= west) & (lon_deg <= east)) | beyond)


def transform(transformer: Any, x: Floats, y: Floats, direction: str = "FORWARD") -> tuple[Floats, Floats]:
    """Run one PROJ operation over arrays; what it cannot transform comes back infinite.

    Parameters
    ----------
    transformer
        A pyproj Transformer made with `always_xy=True`.
    x, y
        At least one position.
    direction
        `FORWARD` or `INVERSE`.

    Returns
    -------
        x and y of the results.

    Source: pyproj documentation, `Transformer.transform`.
    """
    if len(x) == 1:  # pyproj takes an array of one for a scalar, which numpy deprecates
        one_x, one_y = transformer.transform(x.item(), y.item(), direction=direction)
        return np.array([one_x]), np.array([one_y])
    many_x, many_y = transformer.transform(x, y, direction=direction)
    return many_x, many_y


class _Chain:
    """Two operations, one after the other, with what is asked of a pyproj Transformer."""

    def __init__(self, first: Any, second: Any) -> None:
        self._steps = first, second
        self.description = f"{first.description} + {second.description}"
        self.accuracy = first.accuracy + second.accuracy
        self.area_of_use = _common(first.area_of_use, second.area_of_use)

    def transform(self, x: Any, y: Any, direction: str = "FORWARD") -> tuple[Any, Any]:
        assert direction == "FORWARD"
        first, second = self._steps
        return second.transform(*first.transform(x, y))  # type: ignore[no-any-return]


class Operations:
    """The operations from one CRS to another, best first.

    PROJ's order without an area of interest favours large areas. Here a position takes what PROJ itself takes when it
    transforms one: of the operations whose area of use holds the position, the most accurate; of equals, the one with
    the smaller area. A ballpark operation (one that ignores the change of datum) comes after all others, and an
    operation beyond its area after that, marked as ballpark. Where there are only ballpark ones - the direct way needs
    a grid that is not installed, as OSTN15 from the British National Grid to ETRS89 - two operations by way of WGS 84
    are taken instead, which PROJ does too, but not pyproj's list of operations.

    Parameters
    ----------
    source, target
        Geographic or projected, two-dimensional.
    tolerance_deg
        How far outside its area of use an operation is still taken, when none covers a position properly.

    Raises
    ------
    NoOperation
        There is none.

    Source: PROJ documentation, "proj_create_crs_to_crs" and "Computation of coordinate operations between two CRS".
    """

    def __init__(self, source: CRS, target: CRS, tolerance_deg: float) -> None:
        self.identity = source.equals(target, ignore_axis_order=True)
        self._tolerance_deg = tolerance_deg
        self._transformers: list[Any] = []
        self._areas: list[AreaOfUse | None] = []
        self._missing: list[tuple[float, Any]] = []
        self.operations: list[Operation] = []
        if self.identity:
            self.operations = [IDENTITY]
            return
        group = _group(source, target)
        found: list[Any] = list(group.transformers)
        if all(_describe(t).ballpark for t in found):
            found += _by_wgs84(source, target)
        ranked = sorted(((_describe(t), t) for t in found), key=lambda pair: _rank(pair[0], pair[1]))
        self._transformers = [transformer for _, transformer in ranked]
        self._areas = [transformer.area_of_use for _, transformer in ranked]
        precise = [operation for operation, _ in ranked]
        beyond = [Operation(f"{o.name} beyond its area of use", None, True) for o in precise[:1]]
        self.operations = precise + beyond
        self._missing = [(o.accuracy, o.area_of_use) for o in group.unavailable_operations if o.area_of_use is not None]

    def transform(self, x: Floats, y: Floats, lon_deg: Floats, lat_deg: Floats) -> tuple[Floats, Floats, Indices]:
        """Transform positions, each by its operation.

        Parameters
        ----------
        x, y
            In the source CRS, (x, y) order.
        lon_deg, lat_deg
            Where that is, to within a datum shift; decides the operation.

        Returns
        -------
            x and y in the target CRS (not finite where the operation fails), and indices into `operations`.
        """
        if self.identity:
            return x, y, np.zeros(len(x), np.intp)
        chosen = self._choose(lon_deg, lat_deg)
        out_x, out_y = np.full(len(x), np.nan), np.full(len(x), np.nan)
        for index in np.unique(chosen):
            mask = chosen == index
            transformer = self._transformers[0 if index == len(self._transformers) else index]
            out_x[mask], out_y[mask] = transform(transformer, x[mask], y[mask])
        return out_x, out_y, chosen

    def best_available(self, chosen: Indices, lon_deg: Floats, lat_deg: Floats) -> Flags:
        """Tell for which positions no better operation is left out because its grid is not installed.

        Parameters
        ----------
        chosen
            From `transform`.
        lon_deg, lat_deg
            As for `transform`.

        Returns
        -------
            One flag for each position.
        """
        best = np.ones(len(chosen), np.bool_)
        if self._missing:
            accuracies = [math.inf if o.accuracy_m is None else o.accuracy_m for o in self.operations]
            accuracy = np.array(accuracies)[chosen]
            for accuracy_m, area in self._missing:
                if accuracy_m >= 0.0:
                    best &= ~((accuracy > accuracy_m) & contains(area, lon_deg, lat_deg, 0.0))
        return best

    def _choose(self, lon_deg: Floats, lat_deg: Floats) -> Indices:
        chosen = np.full(len(lon_deg), -1, np.intp)
        # Ballpark operations rank last, so the tolerant round of the others has to come in between.
        for ballpark, tolerance_deg in ((False, 0.0), (False, self._tolerance_deg), (True, 0.0)):
            for index, area in enumerate(self._areas):
                if self.operations[index].ballpark is ballpark:
                    free = chosen < 0
                    if not free.any():
                        return chosen
                    inside = free if area is None else free & contains(area, lon_deg, lat_deg, tolerance_deg)
                    chosen[inside] = index
        chosen[chosen < 0] = len(self._transformers)
        return chosen


def _by_wgs84(source: CRS, target: CRS) -> list[_Chain]:
    """The ways with WGS 84 in between, of operations that are known and no ballpark ones."""
    pivot = CRS.from_epsg(4326)
    try:
        steps = [_group(source, pivot).transformers, _group(pivot, target).transformers]
    except NoOperation:
        return []
    firsts, seconds = ([t for t in step if not _describe(t).ballpark and t.accuracy >= 0.0] for step in steps)
    return [_Chain(first, second) for first in firsts for second in seconds[:_MOST_SECONDS]]


def _common(one: AreaOfUse | None, other: AreaOfUse | None) -> AreaOfUse | None:
    """What two areas share; the first one where one of them crosses the antimeridian or nothing is shared."""
    if one is None or other is None:
        return one or other
    if one.west > one.east or other.west > other.east:
        return one
    west, south = max(one.west, other.west), max(one.south, other.south)
    east, north = min(one.east, other.east), min(one.north, other.north)
    return AreaOfUse(west, south, east, north, one.name) if west < east and south < north else one


def _group(source: CRS, target: CRS) -> TransformerGroup:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Best transformation is not available": said by `best_available`
            group = TransformerGroup(source, target, always_xy=True)
    except (ProjError, IndexError):  # pyproj takes the first operation without asking whether there is one
        group = None
    if group is None or not group.transformers:
        raise NoOperation(f"PROJ has no operation from {source.name[:80]!r} to {target.name[:80]!r}")
    return group


def _describe(transformer: Any) -> Operation:
    name = " + ".join(step for step in transformer.description.split(" + ") if not step.startswith("axis order change"))
    accuracy = float(transformer.accuracy)
    return Operation(name or "identity", accuracy if accuracy >= 0.0 else None, "ballpark" in name.lower())


def _rank(operation: Operation, transformer: Any) -> tuple[bool, float, float]:
    accuracy = math.inf if operation.accuracy_m is None else operation.accuracy_m
    area = transformer.area_of_use
    if area is None:
        return operation.ballpark, accuracy, math.inf
    width = area.east - area.west + (360.0 if area.west > area.east else 0.0)
    return operation.ballpark, accuracy, width * (area.north - area.south)
