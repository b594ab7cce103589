"""The value of a metric at an instant: as-of, last, linear, mean, and their gaps."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.grids import metric
from udfs.grid.circular import between_deg, mean_direction_deg
from udfs.grid.methods import value_at
from udfs.grid.rules import MetricRule
from udfs.grid.series import Origin, Point, Series

directions = st.floats(0, 360, exclude_max=True)


def series(*readings: tuple[int, float], sensor: str = "a") -> Series:
    found = Series(None)
    for time_ms, value in readings:
        found.add([Point(time_ms, Origin(sensor, "s"), 0, value)])
    return found


def value(rule: MetricRule, t: int, *readings: tuple[int, float]) -> tuple[float | None, str | None]:
    found = value_at(t, series(*readings), rule, 100)
    return found.value, found.gap


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("backward", 1.0), ("forward", 2.0), ("nearest", 2.0)],
)
def test_as_of_takes_the_nearest_reading_in_its_direction(direction: str, expected: float) -> None:
    rule = metric(method="as_of", reach_ms=10, direction=direction)
    assert value(rule, 100, (94, 1.0), (104, 2.0)) == (expected, None)


def test_of_two_readings_as_near_the_earlier_one_counts() -> None:
    rule = metric(method="as_of", direction="nearest")
    assert value(rule, 100, (95, 1.0), (105, 2.0)) == (1.0, None)


def test_the_tolerance_itself_is_allowed_and_a_millisecond_more_is_a_gap() -> None:
    rule = metric(method="as_of", reach_ms=10)
    assert value(rule, 100, (90, 1.0)) == (1.0, None)
    assert value(rule, 101, (90, 1.0)) == (None, "too_old")
    assert value(rule, 80, (90, 1.0)) == (None, "no_reading")
    assert value(metric(method="as_of", direction="forward"), 91, (90, 1.0)) == (None, "no_next_reading")


def test_gaps_of_linear_say_what_is_missing() -> None:
    rule = metric(method="linear", reach_ms=10)
    assert value(rule, 100, (95, 1.0), (105, 2.0)) == (1.5, None)
    assert value(rule, 100, (94, 1.0), (105, 2.0)) == (None, "gap_too_wide")
    assert value(rule, 100, (95, 1.0)) == (None, "gap_too_wide")
    assert value(rule, 100, (89, 1.0), (105, 2.0)) == (None, "too_old")
    assert value(rule, 100, (105, 2.0)) == (None, "no_reading")
    assert value(rule, 100, (100, 3.0)) == (3.0, None)


@pytest.mark.parametrize(
    ("where", "expected"), [("before", 2.5), ("centre", 3.5), ("after", 4.5)]
)  # of 1 at 90, 2 at 96 … the window's start is inside, its end is not
def test_a_mean_takes_the_readings_of_its_half_open_window(where: str, expected: float) -> None:
    readings = [(88, 1.0), (90, 2.0), (99, 3.0), (100, 4.0), (109, 5.0), (110, 6.0)]
    rule = metric(method="mean", reach_ms=10, window_place=where)
    found = value_at(100, series(*readings), rule, 100)
    inside = {"before": [2.0, 3.0], "centre": [3.0, 4.0], "after": [4.0, 5.0]}[where]
    assert found.value == expected == math.fsum(inside) / 2


def test_an_empty_window_is_a_gap() -> None:
    rule = metric(method="mean", reach_ms=10)
    assert value(rule, 100, (89, 1.0)) == (None, "too_old")
    assert value(rule, 100, (100, 1.0)) == (None, "no_reading")


@given(
    st.integers(-1_000, 1_000), st.integers(-1_000, 1_000), st.integers(1, 64), st.integers(1, 64), st.integers(0, 64)
)
def test_interpolation_of_a_straight_line_is_exact(slope: int, level: int, before: int, ahead: int, shift: int) -> None:
    """With integer coefficients no step of the arithmetic is rounded."""
    t = 1_000 + shift
    readings = [(x, float(level + slope * x)) for x in (t - before, t + ahead)]
    assert value(metric(reach_ms=200), t, *readings) == (float(level + slope * t), None)


def test_several_sensors_of_a_place_are_interpolated_each_on_its_own() -> None:
    both = series((95, 0.0), (105, 10.0))
    for time_ms, height in ((98, 100.0), (102, 100.0)):
        both.add([Point(time_ms, Origin("b", "s"), 0, height)])
    found = value_at(100, both, metric(reach_ms=20), 100)
    assert found.value == (5.0 + 100.0) / 2
    assert len(found.support) == 4


@given(st.lists(directions, min_size=1, max_size=8))
def test_a_mean_direction_depends_on_no_order_and_turns_with_its_directions(
    found: list[float],
) -> None:
    mean = mean_direction_deg(found)
    assert mean_direction_deg(sorted(found)) == mean
    turned = mean_direction_deg([(d + 90.0) % 360.0 for d in found])
    if mean is None or turned is None:
        return
    length = abs(sum(complex(math.cos(math.radians(d)), math.sin(math.radians(d))) for d in found)) / len(found)
    assert 0 <= mean < 360
    if length > 1e-3:
        assert abs((turned - mean - 90.0 + 180.0) % 360.0 - 180.0) < 1e-6


def test_north_is_between_350_and_10_degrees_and_opposites_have_no_mean() -> None:
    assert mean_direction_deg([350.0, 10.0]) == pytest.approx(0.0, abs=1e-9) or mean_direction_deg(
        [350.0, 10.0]
    ) == pytest.approx(360.0)
    assert mean_direction_deg([0.0, 180.0]) is None
    assert between_deg(350.0, 10.0, 0.5) == 0.0
    assert between_deg(10.0, 350.0, 0.25) == 5.0
    assert between_deg(0.0, 180.0, 0.5) is None


@given(directions, directions, st.floats(0, 1))
def test_a_direction_between_two_is_on_the_shorter_arc(first: float, second: float, share: float) -> None:
    found = between_deg(first, second, share)
    if found is None:
        return
    arc = abs((second - first + 180.0) % 360.0 - 180.0)

    def away(d: float) -> float:
        return abs((found - d + 180.0) % 360.0 - 180.0)

    assert 0 <= found < 360
    assert away(first) + away(second) == pytest.approx(arc, abs=1e-6)


def test_a_gap_of_directions_that_cancel_out_is_named() -> None:
    rule = metric(method="circular_mean", reach_ms=10)
    assert value(rule, 100, (95, 0.0), (96, 180.0)) == (None, "no_direction")
    rule = metric(method="circular_linear", reach_ms=10)
    assert value(rule, 100, (95, 0.0), (105, 180.0)) == (None, "no_direction")
    assert value(rule, 100, (95, 350.0), (105, 10.0)) == (0.0, None)
