"""Stages, percentiles and the verdict of `meridian bench latency`."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.latency_stages import ReadingTimes, WindowTimes, curve, pace, summary

START_MS, SECONDS = 1_700_000_000_000, 60
END_MS = START_MS + SECONDS * 1_000


def readings(latency_ms: np.ndarray, rate: int = 100) -> ReadingTimes:
    due_ms = START_MS + np.arange(len(latency_ms), dtype=np.int64) * 1_000 // rate
    visible_ms = due_ms + latency_ms.astype(np.int64)
    return ReadingTimes(due_ms, due_ms + 1, due_ms + 3, visible_ms - 2, visible_ms)


def test_the_stages_of_a_reading_add_up() -> None:
    stages = readings(np.array([50, 700, 90])).stages()
    total = stages.pop("due to visible")
    assert sum(stages.values()).tolist() == total.tolist()  # type: ignore[union-attr]


def test_readings_belong_to_the_time_they_were_due_and_not_to_that_of_their_arrival() -> None:
    times = readings(np.full(6_000, 10_000))
    assert times.between(END_MS - 1_000, END_MS).due_ms.tolist() == times.due_ms[-100:].tolist()


def test_a_window_is_due_when_the_watermark_can_pass_its_last_millisecond() -> None:
    end_ms = np.array([START_MS + 10_000])
    windows = WindowTimes(end_ms, end_ms + 2_040, end_ms + 2_100)
    stages = {name: values.tolist() for name, values in windows.stages(2_000).items()}
    assert stages == {"due to written": [40], "written to visible": [60], "due to visible": [100]}


def test_windows_belong_to_the_time_of_their_end() -> None:
    ends_ms = np.array([START_MS - 1, START_MS, END_MS - 1, END_MS])
    windows = WindowTimes(ends_ms, ends_ms + 2_000, ends_ms + 2_000)
    assert windows.between(START_MS, END_MS).end_ms.tolist() == [START_MS, END_MS - 1]


@pytest.mark.parametrize("interval_ms", [1_000, 10_000])
def test_waiting_for_checkpoints_is_not_falling_behind(interval_ms: int) -> None:
    due_ms = np.arange(6_000) * 10
    assert not pace(readings(interval_ms - due_ms % interval_ms + 200), START_MS, END_MS, 6_000).falls_behind


@pytest.mark.parametrize("kept", [0.95, 0.8, 0.4])
def test_a_system_slower_than_its_load_falls_behind(kept: float) -> None:
    """A queue before a server of `kept` times the offered rate grows by 1/kept - 1 seconds a second."""
    due_ms = np.arange(6_000) * 10
    found = pace(readings(due_ms * (1 / kept - 1)), START_MS, END_MS, 6_000)
    assert found.falls_behind
    assert found.growth_ms_per_s == pytest.approx((1 / kept - 1) * 1_000, rel=0.05)
    assert found.visible_per_s == pytest.approx(kept * 100, rel=0.02)


def test_one_pause_is_not_falling_behind_but_stays_in_the_percentiles() -> None:
    latency_ms = np.full(6_000, 50)
    latency_ms[3_000:3_300] = np.arange(3_000, 0, -10)
    found = readings(latency_ms)
    assert not pace(found, START_MS, END_MS, 6_000).falls_behind
    assert summary(found.stages()["due to visible"])["p99"] > 2_000  # type: ignore[operator]


def test_a_reading_that_never_comes_out_is_a_failure() -> None:
    assert pace(readings(np.full(5_999, 50)), START_MS, END_MS, 6_000).falls_behind


def test_nothing_at_all_is_a_failure_too() -> None:
    assert pace(readings(np.array([])), START_MS, END_MS, 6_000).falls_behind


def test_a_percentile_needs_samples_beyond_it() -> None:
    assert summary(np.arange(9_999))["p99_9"] is None
    assert summary(np.arange(10_000))["p99_9"] == pytest.approx(9_989, abs=1)
    assert summary(np.array([], np.int64)) == {"count": 0, "p50": None, "p99": None, "p99_9": None, "max": None}


def test_the_curve_rises_to_what_the_samples_can_tell() -> None:
    quantiles, values = zip(*curve(np.arange(1_000)), strict=True)
    assert list(values) == sorted(values)
    assert quantiles[0] == 0.0 and 0.99 < quantiles[-1] <= 0.9991
