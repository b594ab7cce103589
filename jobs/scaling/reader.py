"""Looks at a running job: Flink's REST API for work and backlog, Kafka for what arrives and how long it takes."""

from __future__ import annotations

import time
from typing import Final

from jobs.broker.snapshot import UnreadableTopic, spans_now
from jobs.broker.topic_records import topic_records
from jobs.cluster.rest import FlinkRest
from jobs.doctor.flink import collect_job
from jobs.pipeline.config import Deployment
from jobs.scaling.figures import Figures, medians_ms

_NEWEST: Final = 500  # aligned records of a partition that are looked at


def look(rest: FlinkRest, name: str, deployment: Deployment, sample_s: float) -> Figures | None:
    """One look at the job of that name, which lasts `sample_s`; None: it does not run.

    Raises
    ------
    ClusterError : the cluster does not answer.
    """
    began_s, before = time.monotonic(), _raw_end(deployment)
    job, _ = collect_job(rest, name, sample_s)
    if job is None:
        return None
    after, took_s = _raw_end(deployment), time.monotonic() - began_s
    now_ms = time.time_ns() // 1_000_000
    parallelism = rest.parallelism(job.id)
    busy = [operator.busy for operator in job.operators if operator.busy_ms_per_s]
    return Figures(
        at_ms=now_ms,
        up_ms=int(rest.get(f"/jobs/{job.id}")["duration"]),
        is_settled=rest.vertices_running(job.id) and not job.is_failing,
        parallelism=parallelism,
        slots=rest.free_slots() + parallelism,
        pending=job.pending_records,
        arriving_per_s=None if before is None or after is None else max(0, after - before) / took_s,
        busy_ms_per_s=min(1_000.0, max(busy)) if busy else None,
        p50_ms=_medians_ms(deployment, now_ms),
    )


def _raw_end(deployment: Deployment) -> int | None:
    """How many records the raw topic has ever got; None: it cannot be read."""
    try:
        return sum(end for _, end in spans_now(deployment, deployment.topics.raw.name).values())
    except UnreadableTopic:
        return None


def _medians_ms(deployment: Deployment, now_ms: int) -> dict[str, float]:
    try:
        return medians_ms(topic_records(deployment, deployment.topics.aligned.name, newest=_NEWEST), now_ms)
    except UnreadableTopic:
        return {}
