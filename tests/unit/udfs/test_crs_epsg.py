"""Laws of positions in whatever CRS the EPSG registry has: a sample each time, all of it with MERIDIAN_FULL=1."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Iterator

from pyproj import CRS, Transformer
from pyproj.database import get_codes
from pyproj.enums import PJType
from pyproj.exceptions import ProjError

from udfs.crs import Locator
from udfs.crs_operation import areas_of_use
from udfs.reading import Position
from udfs.reasons import Reason, Rejected
from udfs.rules import BoundingBox, PositionRule

FULL = os.environ.get("MERIDIAN_FULL") == "1"
BUDGET_S = 4.0
APART_DEG = 0.02  # no change of datum is larger: Kusaie 1951 (EPSG:4735) lies 0.017° from WGS 84
UNUSABLE = (Reason.UNKNOWN_CRS, Reason.TRANSFORM_FAILED)
ODD = (
    (0.0, 0.0),
    (math.nan, 1.0),
    (math.inf, -math.inf),
    (10.0, 50.0),
    (500.0, 95.0),
    (5e5, 5e6),
    (1e9, -1e9),
    (1e300, 1.0),
)

Point = tuple[float, float]


def codes() -> list[str]:
    """All CRSs of all types, also the withdrawn ones; in an order of which any beginning is a sample."""
    found = sorted(get_codes("EPSG", PJType.CRS, allow_deprecated=True))
    random.Random(1).shuffle(found)
    return found


def horizontal(crs: CRS) -> CRS:
    return crs.sub_crs_list[0] if crs.is_compound else crs


def points_in(area: BoundingBox, rng: random.Random, number: int = 4) -> Iterator[Point]:
    east = area.east + 360.0 if area.east < area.west else area.east
    for _ in range(number):
        yield (rng.uniform(area.west, east) + 180.0) % 360.0 - 180.0, rng.uniform(area.south, area.north)


def to_crs(crs: CRS, points: list[Point]) -> list[Point]:
    """Longitudes and latitudes on the CRS's own datum, east of Greenwich, in its coordinates."""
    base = crs.geodetic_crs
    assert base is not None and base.prime_meridian is not None
    unit_deg = math.degrees(base.axis_info[0].unit_conversion_factor)
    meridian = base.prime_meridian
    meridian_deg = meridian.longitude * math.degrees(meridian.unit_conversion_factor)
    own = [((lon - meridian_deg) / unit_deg, lat / unit_deg) for lon, lat in points]
    if not crs.is_projected:
        return own
    project = Transformer.from_crs(base, crs, always_xy=True)
    return [project.transform(*point) for point in own]


def draw(code: str) -> tuple[list[Point], list[Point]]:
    """Places in the areas of use of a CRS, and their coordinates in it; nothing for CRSs without a plane."""
    crs = horizontal(CRS.from_epsg(code))
    if not (crs.is_geographic or crs.is_projected) or crs.is_geocentric:
        return [], []
    places = [point for area in areas_of_use(crs) for point in points_in(area, random.Random(code))]
    try:
        found = list(zip(places, to_crs(crs, places), strict=True))
    except ProjError:  # a projection that PROJ cannot compute
        return [], []
    usable = [(place, xy) for place, xy in found if all(map(math.isfinite, xy))]
    return [place for place, _ in usable], [xy for _, xy in usable]


def distance_deg(one: Point, other: Point) -> float:
    east = (one[0] - other[0] + 180.0) % 360.0 - 180.0
    return max(abs(east) * math.cos(math.radians(other[1])), abs(one[1] - other[1]))


def is_sound(answer: Position | Rejected) -> bool:
    if isinstance(answer, Rejected):
        return True
    numbers = (answer.lon_deg, answer.lat_deg, answer.x, answer.y)
    return all(map(math.isfinite, numbers)) and abs(answer.lon_deg) <= 180.0 and abs(answer.lat_deg) <= 90.0


def is_there(answer: Position | Rejected, place: Point) -> bool:
    if isinstance(answer, Rejected):
        return answer.reason in UNUSABLE
    return distance_deg((answer.lon_deg, answer.lat_deg), place) < APART_DEG


def test_any_crs_of_epsg_gives_a_position_where_it_is_or_a_reason_and_never_raises() -> None:
    locator = Locator(PositionRule(), lambda *_: "cell")
    end_s = time.monotonic() + BUDGET_S
    problems: list[str] = []
    checked = located = 0
    for code in codes():
        if not FULL and time.monotonic() > end_s:
            break
        places, drawn = draw(code)
        answers = locator.locate_many([(f"EPSG:{code}", x, y, "") for x, y in (*drawn, *ODD)])
        problems += [
            f"EPSG:{code}: {xy}: {a}" for a, xy in zip(answers, (*drawn, *ODD), strict=True) if not is_sound(a)
        ]
        found = list(zip(answers, places, strict=False))
        problems += [f"EPSG:{code}: {place}: {a}" for a, place in found if not is_there(a, place)]
        checked += 1
        located += any(isinstance(a, Position) for a, _ in found)
    assert problems == []
    assert located > checked / 2 > 5
