"""Laws of positions: where a reading lies, in two CRSs, or why that cannot be believed."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from pyproj.aoi import AreaOfUse
from pyproj.network import is_network_enabled

from udfs.crs import Locator
from udfs.crs_operation import contains
from udfs.reading import Position
from udfs.reasons import Reason, Rejected
from udfs.rules import BoundingBox, PositionRule

EXAMPLES = Path(__file__).parents[3].parent / "shared" / "data" / "crs" / "epsg_g7_2_examples.csv"
NO_ORACLE = {"4087", "31300", "2985", "2314"}  # the published figure or the transform's definition differs

CALIFORNIA = ("california", BoundingBox(-125.0, 32.0, -114.0, 42.0))
NETHERLANDS = ("netherlands", BoundingBox(3.0, 50.5, 7.5, 54.0))
FIJI = ("fiji", BoundingBox(176.0, -21.0, -178.0, -15.0))
NAN, INF = math.nan, math.inf


def name_cell(lon_deg: float, lat_deg: float, x: float, y: float, region: str) -> str:
    return f"{lon_deg:.0f} {lat_deg:.0f} {region}"


def locator(target: str = "EPSG:3857", **rule: Any) -> Locator:
    return Locator(PositionRule(target, regions=(CALIFORNIA, NETHERLANDS, FIJI), **rule), name_cell)


def locate(crs: str, x: float, y: float, region: str = "", using: Locator | None = None) -> Position:
    place = (using or WEB).locate_many([(crs, x, y, region)])[0]
    assert isinstance(place, Position), place
    return place


def reason_of(crs: str, x: float, y: float, region: str = "", using: Locator | None = None) -> Reason:
    place = (using or WEB).locate_many([(crs, x, y, region)])[0]
    assert isinstance(place, Rejected), place
    assert place.message
    return place.reason


WEB = locator()


# --- oracles


def examples() -> list[dict[str, str]]:
    if not EXAMPLES.exists():
        return []
    with EXAMPLES.open(encoding="utf-8") as rows:
        return [row for row in csv.DictReader(rows) if row["target_epsg"] not in NO_ORACLE]


@pytest.mark.skipif(not EXAMPLES.exists(), reason="shared data is not there")
@pytest.mark.parametrize("row", examples(), ids=lambda row: row["target_epsg"])
def test_worked_examples_of_epsg_guidance_7_2_are_met_there_and_back(row: dict[str, str]) -> None:
    lon, lat = float(row["lon_deg_greenwich"]), float(row["lat_deg"])
    # S-JTSK counts from Ferro, the published longitude from Greenwich: EPSG:4156 is the same datum from Greenwich.
    geographic = {"EPSG:4818": "EPSG:4156"}.get(row["source_crs"], row["source_crs"])
    projected = f"EPSG:{row['target_epsg']}"
    easting, northing = float(row["easting"]), float(row["northing"])
    if row["target_epsg"] == "2065":  # native axes southing, westing: published with both signs changed
        easting, northing = -northing, -easting
    # One unit of the last published digit of either figure.
    tolerance = max(10.0 ** -len(row[name].partition(".")[2]) for name in ("easting", "northing"))
    # The guidance note calculates beyond some areas of use: 3388 ends at 47° N, 4675 (under 3295) is Guam, not Yap.
    there = Locator(PositionRule(projected, area_tolerance_deg=10.0), name_cell)
    back = Locator(PositionRule(geographic, area_tolerance_deg=10.0), name_cell)
    place = locate(geographic, lon, lat, using=there)
    assert (place.x, place.y) == pytest.approx((easting, northing), abs=tolerance)
    place = locate(projected, easting, northing, using=back)
    assert (place.x, place.y) == pytest.approx((lon, lat), abs=tolerance * 5e-5)


# --- round trips and identity


@given(st.floats(-179, 179), st.floats(-84, 84))
def test_web_mercator_and_back_is_the_same_place(lon: float, lat: float) -> None:
    if abs(lon) < 1e-5 and abs(lat) < 1e-5:
        return
    there = locate("EPSG:4326", lon, lat)
    back = locate("EPSG:3857", there.x, there.y)
    assert (back.lon_deg, back.lat_deg) == pytest.approx((lon, lat), abs=1e-9)


@pytest.mark.parametrize(
    ("crs", "lons", "lats"),
    [("EPSG:27700", (-6.0, 1.7), (50.0, 58.0)), ("EPSG:28992", (3.4, 7.0), (50.8, 53.5)),
     ("EPSG:25832", (6.1, 11.9), (40.0, 80.0)), ("EPSG:2193", (167.0, 178.0), (-47.0, -34.5))],
)  # fmt: skip
@given(fraction=st.tuples(st.floats(0, 1), st.floats(0, 1)))
@settings(max_examples=25)
def test_national_grids_and_back_is_the_same_place(
    crs: str, lons: tuple[float, float], lats: tuple[float, float], fraction: tuple[float, float]
) -> None:
    lon, lat = (low + (high - low) * part for (low, high), part in zip((lons, lats), fraction, strict=True))
    grid = GRIDS.setdefault(crs, locator(crs))
    there = locate("EPSG:4326", lon, lat, using=grid)
    back = locate(crs, there.x, there.y, using=grid)
    assert (back.lon_deg, back.lat_deg) == pytest.approx((lon, lat), abs=1e-7)
    assert (back.x, back.y) == (there.x, there.y)


GRIDS: dict[str, Locator] = {}


@given(st.floats(-180, 180), st.floats(-90, 90))
def test_longitude_and_latitude_of_epsg_4326_keep_every_bit(lon: float, lat: float) -> None:
    if abs(lon) < 1e-5 and abs(lat) < 1e-5:
        return
    place = locate("EPSG:4326", lon, lat, using=PLAIN)
    assert (place.lon_deg, place.lat_deg, place.x, place.y) == (lon, lat, lon, lat)
    assert (place.transform, place.accuracy_m, place.ballpark, place.best_available) == ("identity", 0.0, False, True)


PLAIN = locator("EPSG:4326")


def test_what_is_in_the_target_crs_keeps_every_bit() -> None:
    place = locate("EPSG:27700", 530_000.1, 180_000.3, using=locator("EPSG:27700"))
    assert (place.x, place.y) == (530_000.1, 180_000.3)


@given(st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=1, max_size=20))
@settings(max_examples=20)
def test_a_batch_gives_what_its_positions_give_alone(points: list[tuple[float, float]]) -> None:
    keys = [(crs, lon, lat, "") for lon, lat in points for crs in ("EPSG:4326", "EPSG:4267", "nope")]
    together = locator().locate_many(keys)
    for key, place in zip(keys, together, strict=True):
        alone = WEB.locate_many([key])[0]
        assert str(alone) == str(place)


# --- operations


def test_each_position_takes_the_most_accurate_installed_operation_for_its_place() -> None:
    texas, alaska = locate("EPSG:4267", -96.0, 28.5), locate("EPSG:4267", -150.0, 62.0)
    assert "NAD27 to WGS 84" in texas.transform
    assert texas.transform != alaska.transform
    assert texas.accuracy_m is not None and texas.accuracy_m <= 10.0
    assert not texas.ballpark


def test_a_better_operation_without_its_grid_is_told() -> None:
    london = locate("EPSG:27700", 530_000.0, 180_000.0)
    assert not london.best_available  # OSTN15 is not part of the pyproj package
    assert london.accuracy_m == 2.0
    assert (london.lon_deg, london.lat_deg) == pytest.approx((-0.1283, 51.5040), abs=1e-4)


def test_a_change_of_projection_alone_has_no_error() -> None:
    place = locate("EPSG:25832", 500_000.0, 5_500_000.0, using=locator("EPSG:3035"))
    assert "ETRS89" not in place.transform
    assert place.accuracy_m is not None and not place.ballpark


def test_a_ballpark_transform_is_marked_or_refused_as_configured() -> None:
    unknown_datum = "+proj=utm +zone=33 +ellps=intl"
    place = locate(unknown_datum, 500_000.0, 5_000_000.0)
    assert place.ballpark and place.accuracy_m is None
    strict = locator(ballpark="reject")
    assert reason_of(unknown_datum, 500_000.0, 5_000_000.0, using=strict) is Reason.BALLPARK_TRANSFORM


def test_grads_and_the_paris_meridian_are_understood() -> None:
    paris = locate("EPSG:4807", 0.0, 54.0)  # grads east of Paris
    assert (paris.lon_deg, paris.lat_deg) == pytest.approx((2.3365, 48.5999), abs=1e-3)
    assert reason_of("EPSG:4807", 0.0, 100.1) is Reason.POSITION_OUT_OF_RANGE


def test_proj_never_goes_to_the_network() -> None:
    locator()
    assert not is_network_enabled()


# --- refusals


@pytest.mark.parametrize(("x", "y"), [(NAN, 1.0), (1.0, NAN), (INF, 1.0), (1.0, -INF), (NAN, NAN)])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:27700"])
def test_a_position_that_is_not_finite_is_named_so(crs: str, x: float, y: float) -> None:
    assert reason_of(crs, x, y) is Reason.POSITION_NOT_FINITE


@pytest.mark.parametrize(("lon", "lat"), [(10.0, 95.0), (10.0, -90.0001), (500.0, 50.0), (181.0, 0.0), (270.0, 10.0)])
def test_latitude_95_and_longitude_500_are_out_of_range(lon: float, lat: float) -> None:
    assert reason_of("EPSG:4326", lon, lat) is Reason.POSITION_OUT_OF_RANGE


def test_edges_of_the_geographic_range_are_inside() -> None:
    for lon, lat in ((180.0, 10.0), (-180.0, 10.0), (10.0, 89.0), (10.0, -89.0)):
        assert locate("EPSG:4326", lon, lat).lon_deg == lon


def test_projected_coordinates_that_wrap_around_the_earth_are_out_of_range() -> None:
    assert reason_of("EPSG:3857", 50_000_000.0, 1.0) is Reason.POSITION_OUT_OF_RANGE
    assert locate("EPSG:3857", 20_037_508.342789244, 1e6).lon_deg == 180.0


@pytest.mark.parametrize(
    ("crs", "x", "y"),
    [("EPSG:4326", 0.0, 0.0), ("EPSG:4326", -0.0, 0.0), ("EPSG:4326", 1e-9, -1e-9), ("EPSG:3857", 0.0, 0.0),
     ("EPSG:27700", 0.0, 0.0), ("EPSG:32631", 166_021.4431, 0.0)],
)  # fmt: skip
def test_null_island_is_nowhere_in_any_crs(crs: str, x: float, y: float) -> None:
    assert reason_of(crs, x, y) is Reason.NULL_ISLAND


def test_places_on_the_equator_or_on_greenwich_are_not_null_island() -> None:
    assert locate("EPSG:4326", 0.0, 51.5).lon_deg == 0.0
    assert locate("EPSG:4326", 9.0, 0.0).lat_deg == 0.0


def test_coordinates_outside_the_area_of_use_are_refused_with_a_small_tolerance() -> None:
    assert reason_of("EPSG:27700", -100_000.0, 180_000.0) is Reason.OUTSIDE_AREA_OF_USE
    # EPSG:4269's area ends at 14.92° N; 0.1° more is believed
    assert locate("EPSG:4269", -96.0, 14.83).lat_deg == pytest.approx(14.83, abs=1e-3)
    assert reason_of("EPSG:4269", -96.0, 14.81) is Reason.OUTSIDE_AREA_OF_USE


def test_how_far_outside_the_area_of_use_is_believed_is_a_rule() -> None:
    strict, lenient = locator(area_tolerance_deg=0.0), locator(area_tolerance_deg=0.2)
    assert reason_of("EPSG:4269", -96.0, 14.91, using=strict) is Reason.OUTSIDE_AREA_OF_USE
    assert locate("EPSG:4269", -96.0, 14.73, using=lenient).lat_deg == pytest.approx(14.73, abs=1e-3)


@pytest.mark.parametrize(
    ("crs", "x", "y"), [("EPSG:2393", 3_400_000.0, 7_250_000.0), ("EPSG:3021", 1_300_000.0, 6.4e6)]
)
def test_a_national_grid_is_used_in_its_whole_country_and_not_in_its_first_zone_only(
    crs: str, x: float, y: float
) -> None:
    assert not locate(crs, x, y).ballpark


@pytest.mark.parametrize(("crs", "x", "y"), [("EPSG:4296", 32.0, 15.0), ("EPSG:29118", 500_000.0, 100_000.0)])
def test_an_area_that_epsg_does_not_know_refuses_nothing(crs: str, x: float, y: float) -> None:
    locate(crs, x, y)


def test_a_crs_that_proj_knows_but_cannot_compute_is_said_so() -> None:
    [refused] = WEB.locate_many([("EPSG:3145", 200_000.0, 900_000.0, "")])
    assert isinstance(refused, Rejected) and refused.reason is Reason.TRANSFORM_FAILED
    assert "PROJ has no operation from 'ETRS89 / Faroe Lambert' to" in refused.message


def test_coordinates_without_a_place_fail_to_transform() -> None:
    assert reason_of("EPSG:27700", 1e30, 1e30) is Reason.TRANSFORM_FAILED


def test_swapped_axes_are_recognised_by_the_box_of_the_region() -> None:
    assert locate("EPSG:4326", -122.0, 37.0, "california").cell == "-122 37 california"
    assert reason_of("EPSG:4326", 37.0, -122.0, "california") is Reason.AXIS_ORDER_SWAPPED  # latitude -122
    assert reason_of("EPSG:4326", 52.1, 5.4, "netherlands") is Reason.AXIS_ORDER_SWAPPED  # both in range
    assert reason_of("EPSG:28992", 463_000.0, 155_000.0, "netherlands") is Reason.AXIS_ORDER_SWAPPED  # metres
    assert locate("EPSG:28992", 155_000.0, 463_000.0, "netherlands").lon_deg == pytest.approx(5.3872, abs=1e-3)


def test_without_a_box_swapped_axes_have_the_reason_that_shows() -> None:
    assert reason_of("EPSG:4326", 37.0, -122.0, "elsewhere") is Reason.POSITION_OUT_OF_RANGE


def test_a_place_outside_the_box_of_its_region_is_refused() -> None:
    assert reason_of("EPSG:4326", -122.0, 20.0, "california") is Reason.OUTSIDE_REGION


def test_a_box_may_cross_the_antimeridian() -> None:
    assert locate("EPSG:4326", 179.9, -18.0, "fiji").lon_deg == 179.9
    assert locate("EPSG:4326", -179.9, -18.0, "fiji").lon_deg == -179.9
    assert reason_of("EPSG:4326", 170.0, -18.0, "fiji") is Reason.OUTSIDE_REGION
    assert reason_of("EPSG:4326", -18.0, 179.0, "fiji") is Reason.AXIS_ORDER_SWAPPED


def test_an_area_may_cross_the_antimeridian() -> None:
    new_zealand = AreaOfUse(west=160.6, south=-55.95, east=-171.2, north=-25.88)
    lon = np.array([175.0, -175.0, 180.0, -180.0, 150.0, -160.0])
    assert contains(new_zealand, lon, np.full(6, -40.0), 0.1).tolist() == [True, True, True, True, False, False]
    east_end = AreaOfUse(west=170.0, south=-1.0, east=180.0, north=1.0)
    assert contains(east_end, np.array([-179.95, -179.85]), np.zeros(2), 0.1).tolist() == [True, False]
    assert locate("EPSG:2193", 1_576_041.0, 6_188_574.0).lon_deg == pytest.approx(172.7392, abs=1e-3)


@pytest.mark.parametrize(
    "crs", ["nope", "EPSG:999999", "EPSG:4978", "+proj=pipeline +step +proj=utm +zone=3", "x" * 9999]
)
def test_an_unknown_crs_is_named_so_every_time(crs: str) -> None:
    assert [reason_of(crs, 1.0, 1.0) for _ in range(2)] == [Reason.UNKNOWN_CRS] * 2


finite_or_not = st.floats() | st.floats(-200, 200) | st.floats(-1e7, 1e7)


@given(
    st.sampled_from(["EPSG:4326", "EPSG:27700", "EPSG:3857", "EPSG:3413", "EPSG:4807"]), finite_or_not, finite_or_not
)
def test_any_coordinates_give_a_finite_position_or_a_reason(crs: str, x: float, y: float) -> None:
    place = WEB.locate_many([(crs, x, y, "")])[0]
    if isinstance(place, Position):
        assert all(map(math.isfinite, (place.lon_deg, place.lat_deg, place.x, place.y)))
        assert abs(place.lon_deg) <= 180.0 and abs(place.lat_deg) <= 90.0


# --- cache


def test_a_stationary_sensor_is_transformed_once() -> None:
    calls: list[float] = []

    def count(lon_deg: float, lat_deg: float, x: float, y: float, region: str) -> str:
        calls.append(lon_deg)
        return "cell"

    once = Locator(PositionRule(), count)
    places = [once.locate_many([("EPSG:4326", 1.0, 2.0, "r")] * 5)[0] for _ in range(3)]
    assert calls == [1.0]
    assert all(place is places[0] for place in places)


def test_the_cache_is_bounded_and_keeps_what_is_in_use() -> None:
    calls: list[float] = []

    def count(lon_deg: float, lat_deg: float, x: float, y: float, region: str) -> str:
        calls.append(lon_deg)
        return "cell"

    small = Locator(PositionRule(), count, cache_size=10)
    for number in range(1, 100):
        small.locate_many([("EPSG:4326", 100.0, 1.0, ""), ("EPSG:4326", number / 10, 50.0, "")])
    assert calls.count(100.0) == 1
    assert len(small._recent) + len(small._older) <= 20
    small.locate_many([("EPSG:4326", NAN, 1.0, ""), *(("EPSG:4326", n / 100, 40.0, "") for n in range(1, 100))])
    assert len(small._recent) + len(small._older) <= 20


def test_remembered_positions_share_the_text_of_their_crs() -> None:
    wkt = CRS("EPSG:27700").to_wkt()
    small = Locator(PositionRule(), name_cell, cache_size=100)
    for number in range(300):
        copy = wkt[:-1] + "]"
        small.locate_many([(copy, 400_000.0 + number, 300_000.0, ""), (copy, 400_000.0, 300_000.0, "")])
    assert len({id(key[0]) for cache in (small._recent, small._older) for key in cache}) == 1


def test_remembered_texts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is free text, so one CRS has endless WKTs."""
    monkeypatch.setattr("udfs.crs._TEXT_CHARACTERS", 20_000)
    wkt = CRS("EPSG:4326").to_wkt("WKT1_GDAL")
    small = Locator(PositionRule(), name_cell)
    for number in range(50):
        text = wkt.replace('"WGS 84"', f'"{"x" * 2_000}{number}"', 1)
        place, again = (small.locate_many([(text, 10.0 + number, 50.0, "")])[0] for _ in range(2))
        assert place is again
        kept = {id(key[0]): len(key[0]) for cache in (small._recent, small._older) for key in cache}
        assert sum(kept.values()) <= 20_000
    refused = small.locate_many([(text, 500.0, 50.0, ""), ("nope", 1.0, 1.0, "")])
    assert all(isinstance(r, Rejected) and len(r.message) < 300 for r in refused)
    assert not any(key[0] == "nope" for key in small._recent)


def test_kept_crss_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("udfs.crs._SOURCES", 64)
    many = Locator(PositionRule(), name_cell)
    for zone in range(1, 61):
        for pole in ("6", "7"):
            many.locate_many([(f"EPSG:32{pole}{zone:02d}", 500_000.0, 1_000_000.0, "")])
    assert len(many._sources) <= 64
    for number in range(2_000):
        many.locate_many([(f"nope{number}", 1.0, 1.0, "")])
    assert len(many._unknown) <= 1_024


def test_a_target_that_is_no_crs_is_refused_at_start_up() -> None:
    with pytest.raises(ValueError):
        Locator(PositionRule("nope"), name_cell)


@pytest.mark.parametrize("text", ["+proj=airy +datum=WGS84", "ESRI:102478", "EPSG:32700", "EPSG:22300", "EPSG:10626"])
@pytest.mark.parametrize("target", ["EPSG:3035", "EPSG:3857"])
def test_a_crs_that_proj_cannot_use_is_refused_and_spares_the_rest_of_its_batch(text: str, target: str) -> None:
    locator = Locator(PositionRule(target_crs=target), lambda *_: "cell")
    odd, good = locator.locate_many([(text, 10.0, 50.0, ""), ("EPSG:4326", 10.0, 50.0, "")])
    assert not isinstance(good, Rejected)
    assert isinstance(odd, Rejected | Position)


@pytest.mark.parametrize("target", ["EPSG:3035", "EPSG:25832"])
@pytest.mark.parametrize("source", ["EPSG:27700", "EPSG:4277"])
def test_without_the_grid_of_the_direct_way_wgs_84_is_between_and_not_a_ballpark_offset(
    source: str, target: str
) -> None:
    """OSTN15 is not installed; ignoring the datum instead would be 100 m off."""
    x, y = (400_000.0, 800_000.0) if source == "EPSG:27700" else (-2.0, 57.0)
    [place] = Locator(PositionRule(target_crs=target), name_cell).locate_many([(source, x, y, "")])
    assert isinstance(place, Position)
    by_hand = Transformer.from_crs("EPSG:4326", target, always_xy=True).transform(place.lon_deg, place.lat_deg)
    assert (place.x, place.y) == pytest.approx(by_hand, abs=0.01)
    assert "OSGB36 to WGS 84 (6)" in place.transform
    assert (place.accuracy_m, place.ballpark, place.best_available) == (3.0, False, False)
