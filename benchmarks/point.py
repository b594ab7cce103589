"""One point of a series: a workload, sent, taken in by a deployment with some keys changed, tallied and deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.broker_io import delete_topics
from benchmarks.meridian_job import Checkpoint, RunningJob, Sample, running, steady
from benchmarks.settings import WINDOWS, Topics, WindowDefinition
from benchmarks.tally import tally
from benchmarks.variation import topic_names, vary
from benchmarks.verdict import Verdict
from benchmarks.workload import Workload, ending_at, send_all

_SENDERS = 2

Say = Callable[[str], None]


@dataclass(frozen=True)
class Point:
    """What is run: `changes` are keys of the deployment *whole*; windows as that deployment then has them."""

    name: str
    workload: Workload
    changes: Mapping[str, Any] = field(default_factory=dict)
    by_sensor: Sequence[WindowDefinition] = WINDOWS["whole"]
    by_place: Sequence[WindowDefinition] = ()


@dataclass(frozen=True)
class Measured:
    """What was seen of a point. Rates are those of the last three quarters of the records; `seconds` is from the
    submission to the last record."""

    seconds: float
    readings_per_s: float
    cpu_s_per_million: float
    peak_rss_mb: float
    samples: list[Sample]
    checkpoints: list[Checkpoint]
    failed_checkpoints: int
    restarts: int
    verdict: Verdict

    @property
    def row(self) -> dict[str, Any]:
        """The figures that every JSON object has."""
        return {
            "readings_per_s": round(self.readings_per_s),
            "cpu_s_per_million": round(self.cpu_s_per_million, 2),
            "peak_rss_mb": round(self.peak_rss_mb),
            "correct": self.verdict.correct,
        }


def send(workload: Workload, bootstrap: str, raw: str, say: Say) -> None:
    """Fill a fresh raw topic."""
    delete_topics(bootstrap, [raw])
    say(f"{workload.count:,} readings of {workload.sensors:,} sensors into {raw}")
    seconds = send_all(workload, bootstrap, raw, _SENDERS)["seconds"]
    say(f"  sent in {seconds:,.0f} s")


def measure(
    point: Point, bootstrap: str, prefix: str, say: Say, at_end: Callable[[RunningJob], None] | None = None
) -> Measured:
    """Send, drain, tally and delete.

    Parameters
    ----------
    prefix
        Topics are PREFIX.raw, PREFIX.aligned …
    at_end
        Looks at the job when all is accounted for and committed, before it is cancelled.
    """
    raw = f"{prefix}.raw"
    workload = point.workload
    if not workload.start_ms:
        workload = ending_at(workload, time.time_ns() // 1_000_000)
    send(workload, bootstrap, raw, say)
    try:
        return drain(replace(point, workload=workload), bootstrap, prefix, say, at_end)
    finally:
        delete_topics(bootstrap, [raw])


def drain(
    point: Point,
    bootstrap: str,
    prefix: str,
    say: Say,
    at_end: Callable[[RunningJob], None] | None = None,
    **watched: Any,
) -> Measured:
    """Run the job over PREFIX.raw, which holds the point's workload; `watched` is for `meridian_job.running`."""
    raw, topics, records = f"{prefix}.raw", Topics(prefix), point.workload.count
    delete_topics(bootstrap, topics.all)
    say(f"{point.name}: draining")
    try:
        with TemporaryDirectory() as folder:
            config = vary("whole", topic_names(raw, topics) | dict(point.changes), Path(folder))
            with running(config, bootstrap, **watched) as job:
                job.watch(records)
                job.commit()
                restarts = job.restarts()
                if at_end:
                    at_end(job)
        first, last = steady(job.samples, records)
        readings = last.accounted - first.accounted
        rate, cpu_s = readings / (last.at_s - first.at_s), (last.cpu_s - first.cpu_s) / readings * 1e6
        say(f"  {rate:,.0f}/s, {cpu_s:.1f} CPU-s per million; counting offsets")
        verdict = tally(point.workload, bootstrap, raw, topics, point.by_sensor, point.by_place)
    finally:
        delete_topics(bootstrap, topics.all)
    say("  all accounted for" if verdict.correct else f"  WRONG: {verdict.problems} {verdict.samples}")
    checkpoints = [job.checkpoints[number] for number in sorted(job.checkpoints)]
    return Measured(
        last.at_s - job.submitted_s,
        rate,
        cpu_s,
        job.meter.peak_rss_mb,
        job.samples,
        checkpoints,
        len(job.failed_checkpoints),
        restarts,
        verdict,
    )
