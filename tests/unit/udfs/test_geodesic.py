"""Distances on the ellipsoid, and the nearest of the stations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyproj import Geod

from udfs.geodesic import distance_m
from udfs.layer_file import LayerError, parse_layer, read_layer
from udfs.stations import Stations

NAN = float("nan")
LONGITUDES = st.floats(-180.0, 180.0)
LATITUDES = st.floats(-90.0, 90.0)
POSITIONS = st.tuples(LONGITUDES, LATITUDES)
WGS84 = Geod(ellps="WGS84")


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_distance_of_known_places() -> None:
    # One degree of the equator is a · π/180; a quarter of the meridian is 10,001,965.729 m (Karney 2013).
    found = distance_m(column(0, 0), column(0, 0), column(1, 0), column(0, 90))
    assert found == pytest.approx([6_378_137.0 * np.pi / 180.0, 10_001_965.729], abs=1e-3)


def test_distance_crosses_the_antimeridian_and_the_pole() -> None:
    found = distance_m(column(179.9, 0), column(0, 89), column(-179.9, 180), column(0, 89))
    assert found == pytest.approx([22_263.898, 223_387.730], abs=1e-3)


@pytest.mark.parametrize("position", [(NAN, 0), (0, NAN), (180.1, 0), (0, -90.1), (float("inf"), 0), (359.0, 0)])
def test_distance_to_what_is_not_on_earth_is_none(position: tuple[float, float]) -> None:
    lon, lat = position
    both = distance_m(column(lon, 0), column(lat, 0), column(0, lon), column(0, lat))
    assert np.isnan(both).all()


def test_distance_of_no_positions_is_empty() -> None:
    assert len(distance_m(*(column() for _ in range(4)))) == 0


def named(positions: list[tuple[float, float]]) -> Stations:
    return Stations([f"s{i:03d}" for i in range(len(positions))], *zip(*positions, strict=True))


@given(st.lists(POSITIONS, min_size=1, max_size=40), st.lists(POSITIONS, min_size=1, max_size=20))
@example([(179.9, 0.0), (-170.0, 0.0)], [(-179.9, 0.0)])
@example([(0.0, 89.0), (10.0, 80.0)], [(180.0, 89.9)])
@example([(0.0, 10.0), (10.05, 0.0)], [(0.0, 0.0)])  # nearer on a sphere, farther on the ellipsoid
@example([(0.0, 0.0), (1e-7, 0.0)], [(1e-7, 1e-7), (180.0, 0.0)])
def test_nearest_is_the_smallest_of_all_distances(
    stations: list[tuple[float, float]], positions: list[tuple[float, float]]
) -> None:
    nearest = named(stations).nearest(*(np.array(axis) for axis in zip(*positions, strict=True)))
    for (lon, lat), name, metres in zip(positions, nearest.station, nearest.distance_m, strict=True):
        all_metres = [WGS84.inv(lon, lat, *station)[2] for station in stations]
        assert metres == pytest.approx(min(all_metres), abs=1e-6)
        assert all_metres[int(name[1:])] == pytest.approx(min(all_metres), abs=1e-6)


def test_of_equally_near_stations_the_first_by_name_is_taken() -> None:
    for names in (["a", "b"], ["b", "a"]):
        stations = Stations(names, [5.0, 5.0], [50.0, 50.0])
        assert list(stations.nearest(column(6.0), column(50.0)).station) == ["a"]


def test_nearest_of_no_stations_is_none() -> None:
    nearest = Stations([], [], []).nearest(column(1.0, NAN), column(1.0, 1.0))
    assert list(nearest.station) == [None, None] and np.isnan(nearest.distance_m).all()


def test_bad_positions_do_not_shift_the_answers_of_good_ones() -> None:
    stations = named([(0.0, 0.0), (10.0, 0.0)])
    nearest = stations.nearest(column(NAN, 9.0, 400.0, 1.0), column(0.0, 0.0, 0.0, 0.0))
    assert list(nearest.station) == [None, "s001", None, "s000"]


def test_more_pairs_than_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    stations = named(list(zip(rng.uniform(-180, 180, 30), rng.uniform(-90, 90, 30), strict=True)))
    lon, lat = rng.uniform(-180, 180, 200), rng.uniform(-90, 90, 200)
    whole = stations.nearest(lon, lat)
    monkeypatch.setattr("udfs.stations._PAIRS", 100)
    parts = stations.nearest(lon, lat)
    assert list(whole.station) == list(parts.station) and list(whole.distance_m) == list(parts.distance_m)


def test_the_shipped_list_is_usable() -> None:
    nearest = Stations.of(read_layer("", "stations")).nearest(column(10.7), column(59.9))
    assert list(nearest.station) == ["Oslo"]


def test_lists_that_are_refused() -> None:
    with pytest.raises(LayerError, match="'a' comes twice"):
        Stations(["a", "b", "a"], [0, 1, 2], [0, 1, 2])
    with pytest.raises(LayerError, match="'a' is not on Earth"):
        Stations(["a"], [181.0], [0.0])
    line = b'{"type": "LineString", "coordinates": [[0, 0], [1, 1]]}'
    with pytest.raises(LayerError, match="'a' is a LineString"):
        Stations.of(parse_layer(b'{"features": [{"properties": {"name": "a"}, "geometry": %s}]}' % line))
