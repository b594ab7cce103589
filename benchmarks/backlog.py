"""The backlog: sensors that were cut off flush hours of readings at once; how fast and how steadily that drains."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from benchmarks import oracle
from benchmarks.broker_io import delete_topics
from benchmarks.meridian_job import Sample
from benchmarks.point import Measured, Point, Say, drain, send
from benchmarks.runner import BASELINE, VARIANTS, run_variant
from benchmarks.settings import Topics
from benchmarks.workload import Workload, ending_at

PREFIX = "bench.backlog"
_SLICE = 3_000_000  # readings that the plain loop is measured on


@dataclass(frozen=True)
class Drained:
    """A drained backlog beside the plain loop's answer on the beginning of the same readings."""

    workload: Workload
    plain_loop: dict[str, Any]
    meridian: Measured


def drain_backlog(sensors: int, hours: float, bootstrap: str, say: Say) -> Drained:
    """Send an hour's readings, one per sensor and second, and drain them; all topics are deleted afterwards."""
    workload = Workload("whole", round(sensors * hours * 3_600), 0, sensors=sensors)
    workload = ending_at(workload, time.time_ns() // 1_000_000)
    try:
        plain_loop = _plain_loop(workload, bootstrap, say)
        send(workload, bootstrap, f"{PREFIX}.raw", say)
        return Drained(workload, plain_loop, drain(Point("backlog", workload), bootstrap, PREFIX, say))
    finally:
        delete_topics(bootstrap, [f"{PREFIX}.raw", f"{PREFIX}.slice"])


def _plain_loop(workload: Workload, bootstrap: str, say: Say) -> dict[str, Any]:
    """Measure the plain loop on the first readings: a shorter run of a workload is the beginning of a longer one."""
    raw, topics = f"{PREFIX}.slice", Topics(f"{PREFIX}.plain-loop")
    send(replace(workload, count=min(workload.count, _SLICE)), bootstrap, raw, say)
    variant = next(variant for variant in VARIANTS if variant.name == BASELINE)
    say(f"{BASELINE}: draining")
    try:
        answer = run_variant(variant, "whole", bootstrap, raw, topics.prefix)
        verdict = oracle.judge(oracle.read_truth(bootstrap, raw), bootstrap, topics, "whole")
    finally:
        delete_topics(bootstrap, [raw, *topics.all])
    say(f"  {answer['readings_per_s']:,}/s, {answer['cpu_s_per_million']:.1f} CPU-s per million")
    return answer | {"correct": verdict.correct}


def summarise(drained: Drained) -> list[dict[str, Any]]:
    """One object per variant; Meridian's says whether memory is flat and checkpoints complete."""
    plain, meridian = drained.plain_loop, drained.meridian
    common = {"work": "backlog", "sensors": drained.workload.sensors}
    durations_ms = [checkpoint.duration_ms for checkpoint in meridian.checkpoints]
    first_mb, last_mb = memory_thirds_mb(meridian.samples)
    return [
        common
        | {
            "variant": BASELINE,
            "readings": plain["records"],
            "readings_per_s": plain["readings_per_s"],
            "cpu_s_per_million": plain["cpu_s_per_million"],
            "peak_rss_mb": round(plain["max_rss_mb"]),
            "ratio_to_plain_loop": 1.0,
            "correct": plain["correct"],
        },
        common
        | {"variant": "meridian", "readings": drained.workload.count}
        | meridian.row
        | {
            "ratio_to_plain_loop": round(meridian.readings_per_s / plain["readings_per_s"], 3),
            "cpu_ratio_to_plain_loop": round(meridian.cpu_s_per_million / plain["cpu_s_per_million"], 2),
            "seconds": round(meridian.seconds),
            "rss_mb_first_third": round(first_mb),
            "rss_mb_last_third": round(last_mb),
            "checkpoints_completed": len(durations_ms),
            "checkpoints_failed": meridian.failed_checkpoints,
            "checkpoint_longest_ms": max(durations_ms, default=0),
            "restarts": meridian.restarts,
            "problems": meridian.verdict.problems,
            "figures": meridian.verdict.figures,
        },
    ]


def memory_thirds_mb(samples: Sequence[Sample]) -> tuple[float, float]:
    """Median memory of the first and of the last third of a run, by time."""
    began_s, ended_s = samples[0].at_s, samples[-1].at_s
    third_s = (ended_s - began_s) / 3
    first = [s.rss_mb for s in samples if s.at_s <= began_s + third_s]
    last = [s.rss_mb for s in samples if s.at_s >= ended_s - third_s]
    return median(first), median(last)
