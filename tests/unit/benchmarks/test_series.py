"""What the figures of backlog, scaling and state are worked out from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.backlog import memory_thirds_mb
from benchmarks.meridian_job import Checkpoint, Sample, steady
from benchmarks.point import Measured
from benchmarks.scaling import Line, series
from benchmarks.scaling import summarise as summarise_scaling
from benchmarks.state import BASE_SENSORS, FullCheckpoint, StateRun, bytes_per_entry, points
from benchmarks.verdict import Verdict

SAMPLES = [Sample(100.0 + 2 * n, 3.0 * n, 10 * n, 1_000.0 + n) for n in range(1, 31)]
MEASURED = Measured(60.0, 10_000.0, 40.0, 2_000.0, SAMPLES, [Checkpoint(1, 0, 300, 10, 5)], 0, 0, Verdict())


def test_a_run_is_measured_after_its_first_quarter() -> None:
    first, last = steady(SAMPLES, 300)
    assert (first.accounted, last.accounted) == (80, 300)


def test_memory_is_that_of_the_first_and_last_third_by_time() -> None:
    assert memory_thirds_mb(SAMPLES) == (1_005.5, 1_025.5)
    assert memory_thirds_mb(SAMPLES[:1]) == (1_001.0, 1_001.0)


def test_points_are_compared_with_the_first_of_their_series() -> None:
    sensors = series(100_000)[0]
    dearer = replace(MEASURED, readings_per_s=8_000.0, cpu_s_per_million=60.0)
    lines = [Line(sensors, sensors.points[0], MEASURED), Line(sensors, sensors.points[1], dearer)]
    base, other = summarise_scaling(lines)
    assert (base["cost_ratio"], base["meets_goal"]) == (1.0, True)
    assert (other["cost_ratio"], other["rate_ratio"], other["meets_goal"]) == (1.5, 0.8, False)


@pytest.mark.parametrize(("rate", "meets"), [(7_000.0, True), (6_900.0, False)])
def test_a_hot_cell_may_cost_rate(rate: float, meets: bool) -> None:
    cells = series(100_000)[2]
    lines = [
        Line(cells, cells.points[0], MEASURED),
        Line(cells, cells.points[1], replace(MEASURED, readings_per_s=rate)),
    ]
    assert summarise_scaling(lines)[1]["meets_goal"] is meets


def test_the_points_of_a_series_have_the_same_number_of_readings() -> None:
    for one in series(6_000_000):
        assert {point.workload.count for point in one.points} == {6_000_000}


def test_a_sensor_has_readings_of_ten_minutes_however_many_sensors_there_are() -> None:
    for point in series(200_000)[0].points:
        assert point.workload.count >= 60 * point.workload.sensors


def test_bytes_per_entry_are_differences_between_runs() -> None:
    """Made of 20 bytes an id, 100 an open 5-minute window, 50 an open 15-minute one."""
    runs = []
    for point in points(60):
        sensors, ids = point.workload.sensors, point.workload.count
        five, fifteen = (sum(d.name == name for d in point.by_sensor) for name in ("5min", "15min"))
        keyed = 20 * ids + sensors * (100 * five + 3 * 50 * fifteen)
        measured = replace(MEASURED, verdict=Verdict(figures={"aligned": ids}))
        runs.append(StateRun(point, measured, FullCheckpoint(1, keyed, keyed, keyed)))
    assert bytes_per_entry(runs) == {
        "per_id": 20.0,
        "per_open_5min_window": 100.0,
        "per_open_15min_window": 50.0,
        "per_sensor": 60 * 20.0 + 100.0 + 150.0,
        "readings_per_sensor": 60,
    }


def test_all_readings_of_a_state_run_lie_in_one_pane() -> None:
    for point in points(200):
        workload = point.workload
        earliest_ms, latest_ms = workload.start_ms - 20_000, workload.end_ms
        assert earliest_ms // 300_000 == latest_ms // 300_000
    assert {point.workload.sensors for point in points(60)} >= {BASE_SENSORS}
    with pytest.raises(ValueError, match="a pane has room"):
        points(400)
