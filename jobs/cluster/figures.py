"""A running job's figures as its operators count them, through Flink's REST API.

Counters start anew with each attempt of a job; they are for watching. The audit counts the topics themselves.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from jobs.cluster.rest import FlinkRest
from jobs.pipeline.operators import DEDUPLICATE, WINDOW_BY_PLACE
from udfs import metric_names


class Figures(NamedTuple):
    """Counts since the job's (re)start; `watermark_ms` is None before the first one."""

    aligned: int
    duplicates: int
    invalid: int
    late: int
    window_results: int
    revisions: int
    invalid_by_reason: dict[str, int]
    watermark_ms: int | None

    @property
    def accounted(self) -> int:
        return self.aligned + self.duplicates + self.invalid


def read_figures(rest: FlinkRest, job_id: str) -> Figures:
    """Sum the counters of both keyed operators over their subtasks."""
    vertices = {v["name"].split(" ")[0].rstrip(","): v["id"] for v in rest.get(f"/jobs/{job_id}")["vertices"]}
    counts: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for operator in (DEDUPLICATE, WINDOW_BY_PLACE):
        vertex = vertices.get(operator)
        if vertex is None:
            continue
        for metric, count in rest.summed_metrics(job_id, vertex, partial(_is_counter_of, operator)).items():
            # Labels stand in front of the name, as pairs: `deduplicate.stage.decode.reason.tombstone.invalid`.
            *labels, name = metric.split(".")
            counts[name] = counts.get(name, 0) + count
            if name == metric_names.INVALID:
                reasons[labels[-1]] = reasons.get(labels[-1], 0) + count
    return Figures(
        aligned=counts.get(metric_names.ALIGNED, 0),
        duplicates=counts.get(metric_names.DUPLICATES, 0),
        invalid=counts.get(metric_names.INVALID, 0),
        late=counts.get(metric_names.LATE, 0),
        window_results=counts.get(metric_names.WINDOW_RESULTS, 0),
        revisions=counts.get(metric_names.REVISIONS, 0),
        invalid_by_reason={reason: count for reason, count in reasons.items() if count},
        watermark_ms=_watermark_ms(rest, job_id, vertices.get(DEDUPLICATE)),
    )


def _is_counter_of(operator: str, metric: str) -> bool:
    return metric.startswith(f"{operator}.") and metric.rpartition(".")[2] in metric_names.COUNTERS


def _watermark_ms(rest: FlinkRest, job_id: str, vertex: str | None) -> int | None:
    """The operator's watermark is the smallest of its subtasks'; it is -2^63 before the first."""
    if vertex is None:
        return None
    values = [int(w["value"]) for w in rest.get(f"/jobs/{job_id}/vertices/{vertex}/watermarks")]
    return min(values) if values and min(values) > -(2**62) else None
