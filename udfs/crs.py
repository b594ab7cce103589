"""Move positions to EPSG:4326 and to the target CRS, and refuse those that cannot be believed: `transform_crs`.

Coordinates are (x, y) everywhere in this project: longitude or easting first, whatever the CRS itself says
(`always_xy=True`). Heights are carried, never transformed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from pyproj import CRS, Transformer
from pyproj.network import set_network_enabled  # type: ignore[attr-defined]

from udfs.crs_operation import (
    IDENTITY,
    Flags,
    Floats,
    NoOperation,
    Operation,
    Operations,
    areas_of_use,
    contains,
    transform,
)
from udfs.crs_text import MAX_CRS_LENGTH, read_crs
from udfs.reading import Position
from udfs.reasons import Reason, Rejected
from udfs.rules import BoundingBox, PositionRule

Key = tuple[str, float, float, str]  # crs, x, y, region
Place = Position | Rejected

_SOURCES = 512  # CRSs whose operations are kept; one takes up to a few dozen PROJ objects
_UNKNOWN = 1_024  # texts that are known to name no CRS, or one that PROJ cannot use
_TEXT_CHARACTERS = 4_194_304  # of all CRS texts among the remembered positions: a thousand WKTs, 200,000 codes
_NAME_LENGTH = 80  # a WKT may name its CRS in thousands of characters, and refusals repeat the name
_NULL_ISLAND_DEG = 1e-6  # 0.1 m
_ROUND_TRIP_M = 1.0


class Locator:
    """Locate readings. One instance belongs to one thread, as PROJ's objects do.

    Parameters
    ----------
    rule
        Target CRS, regions with known boxes, whether ballpark transforms are refused, and how far outside a CRS's area
        of use a position is believed: the areas are coarse boxes (EPSG rounds them to 0.01°), and coastal or border
        stations keep the grid of their network.
    assign_cell
        Names the cell of (lon_deg, lat_deg, x, y, region).
    cache_size
        Positions (and refusals) remembered, at least 1; twice as many can be held for a while.

    Raises
    ------
    ValueError
        The target CRS is none.
    """

    def __init__(
        self,
        rule: PositionRule,
        assign_cell: Callable[[float, float, float, float, str], str],
        *,
        cache_size: int = 65_536,
    ) -> None:
        set_network_enabled(active=False)
        self._target = read_crs(rule.target_crs)
        self._geographic = CRS.from_epsg(4326)
        self._regions = dict(rule.regions)
        self._refuses_ballpark = rule.ballpark == "reject"
        self._assign_cell = assign_cell
        self._cache_size = cache_size
        self._tolerance_deg = rule.area_tolerance_deg
        # Two generations instead of an ordered dict: a hit costs one look-up, and what is in use survives a change.
        self._recent: dict[Key, Place] = {}
        self._older: dict[Key, Place] = {}
        self._texts: dict[str, str] = {}
        self._text_characters = 0
        self._sources: dict[str, _Source] = {}
        self._unknown: dict[str, Rejected] = {}

    def locate_many(self, keys: Sequence[Key]) -> list[Place]:
        """Locate a batch; each position is transformed once and then remembered.

        `lon_deg`, `lat_deg` come by the best operation from the source to EPSG:4326, `x`, `y` by the best one from the
        source to the target, not by way of the other: what is in the target CRS already stays bit by bit as it is, and
        a change of projection alone has no datum shift. `transform` names the operation to the target; accuracy,
        `ballpark` and `best_available` are the worse of the two.

        Refused are: a CRS text that names none (`udfs.crs_text`); what is not finite; geographic coordinates beyond
        ±90° and ±180° (longitudes of 0 to 360 are not guessed at), and projected ones that the projection wraps to
        another place; (0, 0), in the source as sent - whatever the CRS: a position that was never set - or as
        longitude and latitude to within 1e-6°; what lies outside the CRS's area of use or the region's box. Where such
        a position would lie inside the region's box with x and y exchanged, the reason is AXIS_ORDER_SWAPPED.

        Parameters
        ----------
        keys
            (crs, x, y, region): x, y in the units of the CRS's axes, region "" where there is none.

        Returns
        -------
            For each key its position, or why it has none; a refusal is shared and is not to be raised.

        Source: EPSG registry (areas of use, accuracies) through PROJ; EPSG guidance note 7-2.
        """
        places: list[Place | None] = list(map(self._recent.get, keys))
        missing = [index for index, place in enumerate(places) if place is None]
        if missing:
            self._find(keys, places, missing)
        return places  # type: ignore[return-value]

    def _find(self, keys: Sequence[Key], places: list[Place | None], missing: list[int]) -> None:
        found: dict[Key, Place] = {}
        refused: dict[str, Rejected] = {}
        by_crs: dict[str, dict[Key, None]] = {}
        for index in missing:
            key = keys[index]
            place = self._older.get(key)
            if place is not None:
                found[key] = place
            else:
                by_crs.setdefault(key[0], {})[key] = None
        for text, group in by_crs.items():
            source = self._source(text)
            if isinstance(source, Rejected):
                refused[text] = source
            else:
                batch = list(group)
                found.update(zip(batch, self._locate_or_refuse(source, batch), strict=True))
        for index in missing:
            key = keys[index]
            places[index] = found.get(key) or refused[key[0]]
        self._remember(found)

    def _remember(self, found: dict[Key, Place]) -> None:
        if len(self._recent) + len(found) > self._cache_size:
            self._older, self._recent = self._recent, {}
        if len(found) <= self._cache_size:
            for (text, x, y, region), place in found.items():
                if x == x and y == y:  # a NaN never equals itself
                    key = (self._shared(text), x, y, region)  # before the cache is looked at, which this may renew
                    self._recent[key] = place

    def _shared(self, text: str) -> str:
        """Give one object for equal texts, or each remembered position would hold a copy of its WKT."""
        shared = self._texts.get(text)
        if shared is None:
            self._text_characters += len(text)
            if self._text_characters > _TEXT_CHARACTERS:
                self._recent, self._older, self._texts = {}, {}, {}
                self._text_characters = len(text)
            shared = self._texts[text] = text
        return shared

    def _source(self, text: str) -> _Source | Rejected:
        source = self._sources.get(text)
        if source is not None:
            return source
        refused = self._unknown.get(text)
        if refused is not None:
            return refused
        try:
            source = _Source(text, self._target, self._geographic, self._tolerance_deg)
        except Exception as error:  # PROJ knows many texts that it then cannot use, and says so in many ways
            reason = Reason.TRANSFORM_FAILED if isinstance(error, NoOperation) else Reason.UNKNOWN_CRS
            refused = Rejected(reason, str(error) or type(error).__name__)
            if len(self._unknown) >= _UNKNOWN:
                self._unknown.clear()
            if len(text) <= MAX_CRS_LENGTH:
                self._unknown[text] = refused
            return refused
        if len(self._sources) >= _SOURCES:
            self._sources.pop(next(iter(self._sources)))
        self._sources[text] = source
        return source

    def _locate_or_refuse(self, source: _Source, keys: list[Key]) -> list[Place]:
        """No CRS, however odd, may take the other readings of its batch with it."""
        try:
            return self._locate(source, keys)
        except Exception as error:
            message = f"{source.name!r} cannot be transformed: {error or type(error).__name__}"
            return [Rejected(Reason.TRANSFORM_FAILED, message)] * len(keys)

    def _locate(self, source: _Source, keys: list[Key]) -> list[Place]:
        given = np.array([(key[1], key[2]) for key in keys], np.float64)
        x, y = given[:, 0].copy(), given[:, 1].copy()
        problems: list[tuple[Reason, str] | None] = [None] * len(keys)

        def note(mask: Flags, reason: Reason, message: str) -> None:
            for index in np.flatnonzero(mask).tolist():
                problems[index] = problems[index] or (reason, message)

        with np.errstate(invalid="ignore"):
            finite = np.isfinite(x) & np.isfinite(y)
            note(~finite, Reason.POSITION_NOT_FINITE, "x or y is not finite")
            note((x == 0.0) & (y == 0.0), Reason.NULL_ISLAND, "the position is (0, 0)")
            rough_lon, rough_lat, in_range = source.roughly(x, y)
            note(~in_range, Reason.POSITION_OUT_OF_RANGE, f"no place on Earth has these coordinates in {source.name}")
            known = np.isfinite(rough_lon) & np.isfinite(rough_lat)
            note(~known, Reason.TRANSFORM_FAILED, f"{source.name} does not give a finite longitude and latitude")
            if source.areas:
                inside = np.any([contains(a, rough_lon, rough_lat, self._tolerance_deg) for a in source.areas], axis=0)
                bounds = " and ".join(f"({a.west}, {a.south}, {a.east}, {a.north})°" for a in source.areas)
                note(~inside, Reason.OUTSIDE_AREA_OF_USE, f"outside {bounds}, the area of {source.name}")
            lon, lat, by_geographic = source.to_geographic.transform(x, y, rough_lon, rough_lat)
            to_x, to_y, by_target = source.to_target.transform(x, y, rough_lon, rough_lat)
            usable = np.isfinite(lon) & np.isfinite(lat) & np.isfinite(to_x) & np.isfinite(to_y)
            note(~usable, Reason.TRANSFORM_FAILED, f"no finite result from {source.name} to {self._target.name}")
            null = (np.abs(lon) < _NULL_ISLAND_DEG) & (np.abs(lat) < _NULL_ISLAND_DEG)
            note(null, Reason.NULL_ISLAND, "the position is longitude 0, latitude 0")
            best = source.to_geographic.best_available(by_geographic, rough_lon, rough_lat)
            best &= source.to_target.best_available(by_target, rough_lon, rough_lat)

        rows = zip(lon.tolist(), lat.tolist(), to_x.tolist(), to_y.tolist(), strict=True)
        flags = zip(by_geographic.tolist(), by_target.tolist(), best.tolist(), strict=True)
        places: list[Place] = []
        for key, problem, row, (geographic, target, is_best) in zip(keys, problems, rows, flags, strict=True):
            box = self._regions.get(key[3])
            if problem is None and box is not None and not _holds(box, row[0], row[1]):
                problem = (Reason.OUTSIDE_REGION, f"({row[0]:.6f}°, {row[1]:.6f}°) is outside the box of {key[3]!r}")
            if problem is None:
                operation = source.operation(geographic, target)
                if operation.ballpark and self._refuses_ballpark:
                    problem = (Reason.BALLPARK_TRANSFORM, f"only a ballpark transform: {operation.name}")
                else:
                    cell = self._assign_cell(*row, key[3])
                    accuracy = operation.accuracy_m
                    places.append(Position(*row, cell, operation.name, accuracy, operation.ballpark, is_best))
                    continue
            places.append(_refuse(source, key, box, *problem))
        return places


class _Source:
    """One source CRS with all that is needed to leave it."""

    def __init__(self, text: str, target: CRS, geographic: CRS, tolerance_deg: float) -> None:
        crs = read_crs(text)
        self.name = (crs.name if crs.name != "unknown" else text)[:_NAME_LENGTH]
        self.areas = areas_of_use(crs)
        self.to_geographic = Operations(crs, geographic, tolerance_deg)
        same = target.equals(geographic, ignore_axis_order=True)
        self.to_target = self.to_geographic if same else Operations(crs, target, tolerance_deg)
        self._operations: dict[tuple[int, int], Operation] = {}
        if crs.is_bound and crs.source_crs is not None:
            crs = crs.source_crs
        base = crs.source_crs if crs.is_derived and crs.source_crs is not None else crs
        self._inverse = None if base is crs else Transformer.from_crs(crs, base, always_xy=True)
        self._is_geographic = crs.is_geographic
        self._degrees = _degrees(crs.axis_info[0].unit_conversion_factor)
        self._metres = crs.axis_info[0].unit_conversion_factor
        self._base_degrees = _degrees(base.axis_info[0].unit_conversion_factor)
        meridian = base.prime_meridian
        self._meridian_deg = meridian.longitude * _degrees(float(meridian.unit_conversion_factor)) if meridian else 0.0

    def roughly(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Flags]:
        """Say where positions are to within the datum shift: degrees east of Greenwich, and whether x, y are in range.

        PROJ wraps what is too large: longitude 500 is 140 for it, and 50,000 km east in Mercator is on the map again.
        Geographic coordinates are therefore compared with ±180° and ±90°, projected ones with their own round trip.
        """
        in_range = np.ones(len(x), np.bool_)
        if self._is_geographic:
            in_range = (np.abs(x * self._degrees) <= 180.0) & (np.abs(y * self._degrees) <= 90.0)
        lon, lat = x, y
        if self._inverse is not None:
            lon, lat = transform(self._inverse, x, y)
            if not self._is_geographic:
                again_x, again_y = transform(self._inverse, lon, lat, "INVERSE")
                apart = np.maximum(np.abs(again_x - x), np.abs(again_y - y)) * self._metres
                in_range = ~(np.isfinite(apart) & (apart > _ROUND_TRIP_M))
        lon, lat = lon * self._base_degrees, lat * self._base_degrees
        if self._meridian_deg:
            lon = (lon + self._meridian_deg + 180.0) % 360.0 - 180.0
        return lon, lat, in_range

    def operation(self, geographic: int, target: int) -> Operation:
        """Combine what is known of the two operations that a position took."""
        found = self._operations.get((geographic, target))
        if found is None:
            first, second = self.to_geographic.operations[geographic], self.to_target.operations[target]
            accuracies = (first.accuracy_m, second.accuracy_m)
            accuracy_m = None if None in accuracies else max(a for a in accuracies if a is not None)
            name = first.name if second is IDENTITY else second.name
            found = Operation(name, accuracy_m, first.ballpark or second.ballpark)
            self._operations[(geographic, target)] = found
        return found


def _degrees(radians: float) -> float:
    degrees = math.degrees(radians)
    return 1.0 if abs(degrees - 1.0) < 1e-12 else degrees


def _holds(box: BoundingBox, lon_deg: float, lat_deg: float) -> bool:
    if not box.south <= lat_deg <= box.north:
        return False
    if box.west > box.east:
        return lon_deg >= box.west or lon_deg <= box.east
    return box.west <= lon_deg <= box.east


def _refuse(source: _Source, key: Key, box: BoundingBox | None, reason: Reason, message: str) -> Rejected:
    x, y = key[1], key[2]
    if box is not None and reason not in (Reason.POSITION_NOT_FINITE, Reason.NULL_ISLAND, Reason.BALLPARK_TRANSFORM):
        lon, lat, in_range = source.roughly(np.array([y]), np.array([x]))
        if in_range[0] and _holds(box, float(lon[0]), float(lat[0])):
            return Rejected(Reason.AXIS_ORDER_SWAPPED, f"({x}, {y}) lies in {key[3]!r} only with x and y exchanged")
    return Rejected(reason, f"{message}; x={x}, y={y}")
