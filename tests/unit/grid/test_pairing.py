"""Ids are one box when they are close, report together, and measure different things."""

from __future__ import annotations

from udfs.grid.pairing import Station, pair_stations

TIMES = range(0, 3_600_000, 150_000)


def station(sensor_id: str, lon: float, lat: float, metric: str, shift_ms: int = 0) -> Station:
    return Station(sensor_id, lon, lat, frozenset({metric}), [t + shift_ms for t in TIMES])


def test_two_ids_of_one_box_whose_clocks_differ_by_two_seconds_are_paired() -> None:
    found = [station("sds", -2.102, 57.125, "pm10"), station("dht", -2.102, 57.125, "air_temperature", 2_000)]
    assert pair_stations(found, 5.0, 2_000) == {"dht+sds": ["dht", "sds"]}
    assert pair_stations(found, 5.0, 1_999) == {}


def test_the_distance_is_one_on_the_ground_at_any_latitude() -> None:
    for lat in (0.0, 57.0, 80.0, -89.0):
        near = [station("a", 10.0, lat, "x"), station("b", 10.0, lat + 9.9 / 111_700, "y")]
        far = [station("a", 10.0, lat, "x"), station("b", 10.0, lat + 10.2 / 110_500, "y")]
        assert pair_stations(near, 10.0, 0) == {"a+b": ["a", "b"]}
        assert pair_stations(far, 10.0, 0) == {}


def test_two_sensors_of_the_same_metric_are_two_boxes() -> None:
    assert pair_stations([station("a", 1.0, 2.0, "x"), station("b", 1.0, 2.0, "x")], 5.0, 0) == {}


def test_a_box_never_has_a_metric_twice() -> None:
    found = [station("a", 1.0, 2.0, "x"), station("b", 1.0, 2.0, "y"), station("c", 1.0, 2.0, "x")]
    assert pair_stations(found, 5.0, 0) == {"a+b": ["a", "b"]}


def test_three_ids_can_be_one_box() -> None:
    found = [station(i, 1.0, 2.0, i) for i in "cab"]
    assert pair_stations(found, 5.0, 0) == {"a+b+c": ["a", "b", "c"]}
