"""The planner against figures that were measured, and its laws."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jobs.cli.local.profiles import base_config
from jobs.pipeline.deployment_file import load_deployment
from jobs.planning.capacity import memory_bytes, recovery_ms
from jobs.planning.check import check
from jobs.planning.checkpoints import INTERVALS_MS, cost
from jobs.planning.constants import (
    CHUNKS,
    CPU_S_PER_MILLION,
    ID_BYTES,
    PANE_BYTES,
    SUBTASK_READINGS_PER_S,
    Constant,
)
from jobs.planning.disorder import DisorderSample
from jobs.planning.inputs import Inputs, defaults_of
from jobs.planning.plan import make_plan
from jobs.planning.state import id_bytes, pane_bytes

DEMO = Path(__file__).resolve().parents[3] / "flink-conf" / "deployments" / "demo.yaml"
TRUCKS = {"sensors": 8_000, "period": "10 s", "state": {"size": "322 MB", "lifetime": "10 min"}}


def plan_of(**given: Any) -> Any:
    return make_plan(Inputs.model_validate({"sensors": 1_000, "period": "10 s", **given}))


def test_a_fleet_of_8000_trucks_with_322_mb_of_state() -> None:
    inputs = Inputs.model_validate(TRUCKS)
    plan = make_plan(inputs)
    shares = [100 * cost(322e6, interval_ms, inputs.write_rate) for interval_ms in INTERVALS_MS]
    assert shares == pytest.approx([12, 4, 2, 0.4], rel=0.001)
    assert plan.result("checkpoint_interval") == "30 s"
    assert plan["incremental_checkpoint"] == pytest.approx(16.1e6)
    assert plan["incremental_cost"] == pytest.approx(0.2, rel=0.01)


SCALING = (DEMO.parents[2] / "docs" / "scaling.md").read_text()


def measured_state() -> list[tuple[str, int, int, float]]:
    """The table of `meridian bench state`: run, ids, panes with a key in them, bytes of a full checkpoint."""
    rows = re.findall(r"\| ([^|]+) \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) MB \|", SCALING)
    assert len(rows) == 5
    found = []
    for run, ids, windows, size in rows:
        # A sensor has one 5-minute window; with the sliding ones it has four, of two panes.
        panes = int(windows.replace(",", "")) // (2 if run.startswith("whole") else 1)
        found.append((run, int(ids.replace(",", "")), panes, float(size) * 1e6))
    return found


@pytest.mark.parametrize(("run", "ids", "panes", "measured"), measured_state())
def test_predicted_state_brackets_what_bench_state_measured(run: str, ids: int, panes: int, measured: float) -> None:
    least, average, most = (id_bytes(ids) + size for size in pane_bytes(panes, share_of_keys=1.0))
    assert least * 0.98 <= measured <= most * 1.02  # at 2 % the table's own rounding
    assert average / 1.65 <= measured <= average * 1.65


@pytest.mark.parametrize(
    ("constant", "words"),
    [
        (ID_BYTES, "| id | {:.0f} |"),
        (PANE_BYTES, "takes {:.0f} bytes per sensor and metric"),
        (SUBTASK_READINGS_PER_S, "| parallelism | 1 | {:,.0f} |"),
        (CPU_S_PER_MILLION, "in process mode it took 17.9 min (35,633/s, {:.1f} CPU-s per million)"),
    ],
)
def test_what_was_measured_stands_in_the_page_that_is_named(constant: Constant, words: str) -> None:
    assert "docs/scaling.md" in constant.source
    assert words.format(constant.value) in SCALING


def test_planned_memory_covers_the_backlog_of_36_million_readings() -> None:
    measured = 6_661e6  # docs/scaling.md, Backlog: two TaskManagers, parallelism 2
    assert measured <= memory_bytes(slots=2, taskmanagers=2) <= 1.3 * measured


def test_a_larger_state_never_has_a_shorter_interval_and_no_interval_outlasts_the_budget() -> None:
    sizes = [2**power for power in range(18)]
    intervals = [plan_of(state={"size": f"{mb} MB", "lifetime": "1 h"})["checkpoint_interval"] for mb in sizes]
    assert intervals == sorted(intervals)
    assert set(intervals) == {10_000, 30_000, 60_000, 300_000}


def test_the_plan_drains_an_outage_within_its_goal() -> None:
    plan = plan_of(sensors=500_000, recovery={"outage": "1 h", "within": "2 h"})
    capacity = plan["parallelism"] * SUBTASK_READINGS_PER_S.value
    assert capacity >= plan["capacity_needed"] == pytest.approx(75_000)
    assert plan["partitions"] % plan["parallelism"] == 0
    assert plan["burst_recovery"] <= 2 * 3_600_000
    assert recovery_ms(rate=capacity, capacity=capacity, down_ms=1_000) == float("inf")


def test_a_window_has_ten_samples_and_two_to_three_anomalies() -> None:
    assert plan_of(period="1 s", anomaly="2 min").result("window_size") == "5 min"
    coarse = plan_of(period="1 min", anomaly="2 min")
    assert coarse["window_size"] == 10 * 60_000
    assert any("hide an anomaly" in note for note in coarse.notes)


def test_out_of_orderness_is_twice_p99_and_the_maximum_is_told() -> None:
    plan = plan_of(disorder={"p99": "14 s", "max": "2 h"})
    assert plan.result("out_of_orderness") == "30 s"
    assert any("the largest disorder, 2 h" in note for note in plan.notes)


def test_state_grows_with_rate_ttl_and_side_by_side_partials() -> None:
    window = {"name": "5min", "size": "5 min"}
    slow, quick = (plan_of(period=period, windows=[window]) for period in ("10 s", "500 ms"))
    assert quick["ids"] == 20 * slow["ids"]
    assert quick["window_5min"] / slow["window_5min"] == pytest.approx(
        (1 + CHUNKS.value / 2) / (1 + CHUNKS.value / 2 * 0.05)
    )


def test_disorder_is_measured_per_partition() -> None:
    sample = DisorderSample()
    for event_ms in range(0, 100_000, 1_000):
        sample.add(0, event_ms)
        sample.add(1, event_ms + 50_000)  # another partition that is ahead is no disorder
    sample.add(0, 60_000)
    found = sample.quantiles()
    assert (found.readings, found.in_order, found.max_ms) == (201, 200, 39_000)
    assert found.p99_ms == 0


def findings(engine: dict[str, Any] | None = None, **given: Any) -> list[str]:
    deployment = load_deployment(DEMO)
    inputs = Inputs.model_validate({**defaults_of(deployment), "sensors": 500, "period": "10 s", **given})
    return check(inputs, make_plan(inputs), deployment, base_config() | (engine or {}))


def test_the_demo_fits_a_plan_for_its_stations() -> None:
    assert findings() == []


@pytest.mark.parametrize(
    ("given", "engine", "key"),
    [
        ({"sensors": 3_000_000}, {}, "parallelism = 2"),
        ({"growth": 8}, {}, "topics.raw.partitions = 4"),
        ({"replication": 3}, {}, "topics.raw.replication = 1"),
        ({"dedup_ttl": "48 h"}, {}, "dedup.ttl = 1 d"),
        ({"recovery": {"longest_outage": "10 d"}}, {}, "topics.raw.retention = 7 d"),
        ({"disorder": {"p99": "40 s", "max": "50 s"}}, {}, "time.out_of_orderness = 30 s"),
        ({"anomaly": "1 min"}, {}, "streams.weather.windows.5min.size = 5 min"),
        ({"state": TRUCKS["state"]}, {}, "execution.checkpointing.interval = 10 s"),
        ({}, {"execution.checkpointing.interval": "5 min"}, "kafka.transaction_timeout = 10 min"),
        ({}, {"execution.checkpointing.incremental": False}, "execution.checkpointing.incremental is not true"),
        ({}, {"execution.checkpointing.interval": ""}, "execution.checkpointing.interval is not set"),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, Any], engine: dict[str, Any], key: str) -> None:
    assert any(line.startswith(key) for line in findings(engine, **given)), findings(engine, **given)
