"""Offset and drift of a clock are found through delays of any kind, and a correction says what it did."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.grid.clock import ClockRule, Clocks, Correction, estimate

MINUTE, HOUR = 60_000, 3_600_000
RULE = ClockRule(bucket_ms=10 * MINUTE, buckets=36)
START = 1_700_000_000_000 - 1_700_000_000_000 % (10 * MINUTE)


def clocks(ahead_ms: float, drift_ppm: float, delays_ms: list[int], rule: ClockRule = RULE) -> Clocks:
    """A sensor that reports every minute; its clock is `ahead_ms` at START and drifts."""
    found = Clocks(rule)
    for n, delay_ms in enumerate(delays_ms):
        true_ms = START + n * MINUTE
        shown_ms = true_ms + round(ahead_ms + drift_ppm * 1e-6 * (true_ms - START))
        found.see("s", true_ms + delay_ms, true_ms + delay_ms - shown_ms)
    return found


@given(
    st.integers(-3 * HOUR, 3 * HOUR), st.integers(-200, 200), st.lists(st.integers(0, 30_000), min_size=60, max_size=60)
)
def test_what_is_found_lies_between_the_truth_and_the_truth_less_the_smallest_delays(
    ahead_ms: int, drift_ppm: int, delays_ms: list[int]
) -> None:
    """Each span of ten minutes has one reading without delay, as networks do once in a while."""
    for n in range(0, 60, 10):
        delays_ms[n] = 0
    found = clocks(ahead_ms, drift_ppm, delays_ms).estimate("s")
    assert found is not None
    truth_ms = ahead_ms + drift_ppm * 1e-6 * (found.at_ms - START)
    assert found.ahead_ms == pytest.approx(truth_ms, abs=250)  # readings of one span drift by 200 ppm * 10 min = 120 ms
    assert found.drift_ppm == pytest.approx(drift_ppm, abs=60)


def test_an_outage_of_an_hour_does_not_move_the_line() -> None:
    delays_ms = [HOUR if 100 <= n < 160 else 20 for n in range(360)]
    found = clocks(2_000, 50, delays_ms).estimate("s")
    assert found is not None
    assert found.drift_ppm == pytest.approx(50, abs=2)
    assert found.ahead_ms == pytest.approx(2_000 - 20 + 50e-6 * (found.at_ms - START), abs=60)


def test_a_known_transport_delay_is_not_taken_for_a_slow_clock() -> None:
    rule = ClockRule(bucket_ms=10 * MINUTE, transport_ms=800)
    found = clocks(0, 0, [800] * 60, rule).estimate("s")
    assert found is not None
    assert found.ahead_ms == pytest.approx(0)
    assert clocks(0, 0, [800] * 60).estimate("s").ahead_ms == pytest.approx(-800)  # type: ignore[union-attr]


def test_two_spans_are_too_few_to_tell() -> None:
    assert estimate([(0, 5), (600_000, 5)], RULE) is None
    assert clocks(0, 0, [0] * 20).estimate("s") is None


def test_only_so_many_spans_are_kept() -> None:
    found = clocks(0, 0, [0] * 600, ClockRule(bucket_ms=10 * MINUTE, buckets=5))
    assert len(found.minima["s"]) == 5


@given(st.floats(-1e6, 1e6), st.floats(-500, 500), st.integers(0, 10 * HOUR))
def test_a_correction_undoes_offset_and_drift(ahead_ms: float, drift_ppm: float, passed_ms: int) -> None:
    shown_ms = START + passed_ms
    correction_ms = Correction("s", ahead_ms, drift_ppm, START).correction_ms(shown_ms)
    assert correction_ms == pytest.approx(-(ahead_ms + drift_ppm * 1e-6 * passed_ms), abs=0.5)
