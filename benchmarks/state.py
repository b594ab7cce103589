"""What keyed state holds per id, sensor and open window, and what checkpoints of it cost.

All readings of a run lie in one pane, and the job is looked at when it has taken in all of them: then every sensor has
one 5-minute and three 15-minute windows open, and nothing has been purged. Runs without windows, with one definition
and with both tell ids from panes. Sizes are those of a full checkpoint, so of RocksDB's files.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, NamedTuple

import requests

from benchmarks.meridian_job import RunningJob
from benchmarks.point import Measured, Point, Say, measure
from benchmarks.settings import MINUTE_MS, WINDOWS
from benchmarks.workload import DISORDER_MS, Workload
from jobs.cli.stack import load_endpoints
from jobs.pipeline.operators import DEDUPLICATE

PREFIX = "bench.state"
BASE_SENSORS = 10_000
_PANE_MS = 5 * MINUTE_MS
_STEPS_MAX = (_PANE_MS - DISORDER_MS) // 1_000 - 10  # readings of a sensor that fit into a pane
_TIMEOUT_S = 300.0

_FIVE, _FIFTEEN = WINDOWS["whole"]
_OPEN_WINDOWS = {"5min": 1, "15min": 3}  # of a sensor in one pane


class FullCheckpoint(NamedTuple):
    """A checkpoint that was written anew; `keyed_bytes` is the part of deduplicate with the windows by sensor."""

    duration_ms: int
    state_bytes: int
    written_bytes: int
    keyed_bytes: int


@dataclass(frozen=True)
class StateRun:
    """One run: how many ids it left, how many windows are open, and its checkpoints."""

    point: Point
    measured: Measured
    full: FullCheckpoint

    @property
    def sensors(self) -> int:
        return self.point.workload.sensors

    @property
    def ids(self) -> int:
        return self.measured.verdict.figures["aligned"]

    @property
    def open_windows(self) -> int:
        return self.sensors * sum(_OPEN_WINDOWS[definition.name] for definition in self.point.by_sensor)


def points(readings_per_sensor: int) -> tuple[Point, ...]:
    """The runs: by what is kept, then by the number of sensors.

    Raises
    ------
    ValueError : so many readings, one a second, do not fit into a pane.
    """
    if readings_per_sensor > _STEPS_MAX:
        raise ValueError(f"{readings_per_sensor} readings of a sensor: a pane has room for {_STEPS_MAX}")
    now_ms = time.time_ns() // 1_000_000
    pane_ms = now_ms - now_ms % _PANE_MS - _PANE_MS
    base = Workload("whole", 0, pane_ms + DISORDER_MS, late_share=0.0)

    def workload(sensors: int) -> Workload:
        return replace(base, sensors=sensors, count=sensors * readings_per_sensor)

    five = {"streams.*.windows": [{"name": "5min", "size": "5 min"}]}
    return (
        Point("ids only", workload(BASE_SENSORS), {"streams.*.windows": []}, by_sensor=()),
        Point("5-minute windows", workload(BASE_SENSORS), five, by_sensor=(_FIVE,)),
        *(
            Point(f"{sensors:,} sensors", workload(sensors), by_sensor=(_FIVE, _FIFTEEN))
            for sensors in (BASE_SENSORS // 2, BASE_SENSORS, 2 * BASE_SENSORS)
        ),
    )


def run_points(chosen: Sequence[Point], bootstrap: str, say: Say) -> Iterator[StateRun]:
    for point in chosen:
        full: list[FullCheckpoint] = []

        def take(job: RunningJob, full: list[FullCheckpoint] = full) -> None:
            full.append(_take_full(job))

        measured = measure(point, bootstrap, PREFIX, say, take)
        yield StateRun(point, measured, full[0])


def summarise(runs: Sequence[StateRun]) -> list[dict[str, Any]]:
    """One object per run, and one of work `state bytes` with what a single entry takes."""
    rows = [
        {"work": "state", "variant": run.point.name, "sensors": run.sensors, "readings": run.point.workload.count}
        | run.measured.row
        | {"ids": run.ids, "open_windows": run.open_windows}
        | {"full_bytes": run.full.state_bytes, "full_ms": run.full.duration_ms, "keyed_bytes": run.full.keyed_bytes}
        | _incremental(run.measured)
        | {"problems": run.measured.verdict.problems}
        for run in runs
    ]
    return [*rows, {"work": "state bytes", "correct": True} | bytes_per_entry(runs)]


def bytes_per_entry(runs: Sequence[StateRun]) -> dict[str, float]:
    """Bytes per id, per open window of each definition, and per sensor in all (the slope over numbers of sensors)."""
    ids_only, with_five, *whole = runs
    base = next(run for run in whole if run.sensors == BASE_SENSORS)
    fewest, most = min(whole, key=lambda run: run.sensors), max(whole, key=lambda run: run.sensors)
    open_fifteen = base.open_windows - with_five.open_windows
    return {
        "per_id": round(ids_only.full.keyed_bytes / ids_only.ids, 1),
        "per_open_5min_window": round(
            (with_five.full.keyed_bytes - ids_only.full.keyed_bytes) / with_five.open_windows, 1
        ),
        "per_open_15min_window": round((base.full.keyed_bytes - with_five.full.keyed_bytes) / open_fifteen, 1),
        "per_sensor": round((most.full.keyed_bytes - fewest.full.keyed_bytes) / (most.sensors - fewest.sensors), 1),
        "readings_per_sensor": base.point.workload.count // base.sensors,
    }


def _incremental(measured: Measured) -> dict[str, Any]:
    """Of the checkpoints that were triggered while readings came in."""
    until_ms = measured.samples[-1].at_s * 1_000
    checkpoints = [c for c in measured.checkpoints if c.trigger_ms <= until_ms]
    if not checkpoints:
        return {"incremental": 0}
    return {
        "incremental": len(checkpoints),
        "incremental_bytes_median": round(median(c.written_bytes for c in checkpoints)),
        "incremental_bytes_max": max(c.written_bytes for c in checkpoints),
        "incremental_ms_median": round(median(c.duration_ms for c in checkpoints)),
        "incremental_ms_max": max(c.duration_ms for c in checkpoints),
    }


def _take_full(job: RunningJob) -> FullCheckpoint:
    """Trigger a full checkpoint and wait for it.

    Source: https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/ops/rest_api/ (jobs/:jobid/checkpoints)
    """
    rest, path = job.rest, f"/jobs/{job.job_id}/checkpoints"
    url = load_endpoints().rest_url.rstrip("/")
    answer = requests.post(f"{url}{path}", json={"checkpointType": "FULL"}, timeout=30)
    answer.raise_for_status()
    trigger = answer.json()["request-id"]
    rest.wait(lambda: rest.get(f"{path}/{trigger}")["status"]["id"] == "COMPLETED", _TIMEOUT_S, "a full checkpoint")
    operation = rest.get(f"{path}/{trigger}")["operation"]
    if operation.get("failureCause"):
        raise RuntimeError(f"the full checkpoint failed: {operation['failureCause']}")
    number = operation["checkpointId"]
    # Flink answers from statistics that may be some seconds old.
    rest.wait(lambda: number in {c["id"] for c in rest.get(path)["history"]}, _TIMEOUT_S, "its statistics")
    details = rest.get(f"{path}/details/{number}")
    vertices = rest.get(f"/jobs/{job.job_id}")["vertices"]
    keyed = next(v["id"] for v in vertices if v["name"].startswith(DEDUPLICATE))
    return FullCheckpoint(
        details["end_to_end_duration"],
        details["state_size"],
        details["checkpointed_size"],
        details["tasks"][keyed]["state_size"],
    )
