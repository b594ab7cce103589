"""The deployment of another run over the same raw topic: topics of its own, and for history a patient watermark.

In a bounded run nothing may be late, although the job is the same. A reading is accepted up to `max_age` behind, and a
time up to `max_future` ahead, of the broker's stamp, and the stamps of a partition ascend. So a watermark that trails
the latest event time by `max_age + max_future` never passes a reading that is accepted: that is exact, whatever the
partitions' skew, and what is kept in state is bounded by `max_age` and not by the length of history. At the end of its
input Flink sends the last watermark, which closes what is open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from jobs.pipeline.config import Deployment, Topic, Topics
from jobs.pipeline.durations import format_duration

OUTPUT_ROLES = tuple(role for role in Topics.model_fields if role != "raw")
Document = dict[str, Any]


class Span(NamedTuple):
    """A part of the raw topic, by partition; `stop` None: it has no end, the run goes on with what comes."""

    start: dict[int, int]
    stop: dict[int, int] | None

    def until(self, ends: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        """(first offset, offset after the last) by partition, up to the topic's `ends` where there is no stop."""
        stop = ends if self.stop is None else self.stop
        return {p: (first, stop[p]) for p, first in self.start.items()}


def output_topics(deployment: Deployment, suffix: str) -> dict[str, str]:
    """Names of the output topics with a suffix, by role."""
    return {role: f"{getattr(deployment.topics, role).name}{suffix}" for role in OUTPUT_ROLES}


def with_topics(deployment: Deployment, names: Mapping[str, str]) -> Deployment:
    """The deployment with other output topics; all else of them stays."""
    topics = deployment.topics
    changed = {role: getattr(topics, role).model_copy(update={"name": name}) for role, name in names.items()}
    return deployment.model_copy(update={"topics": topics.model_copy(update=changed)})


def rerun_document(
    document: Document, deployment: Deployment, name: str, topics: Mapping[str, str], span: Span
) -> Document:
    """The deployment file of another run, from the file as it is written, so that `${…}` stays what it is.

    Parameters
    ----------
    document, deployment : the file's YAML, and what it means.
    topics : names of the output topics, by role.
    """
    sections = {role: _section(getattr(deployment.topics, role), topics.get(role)) for role in Topics.model_fields}
    kafka: Document = {**(document.get("kafka") or {}), "start": span.start}
    changed: Document = {**document, "name": name, "topics": sections, "kafka": kafka}
    if span.stop is None:
        return changed
    kafka["stop"] = span.stop
    patience_ms = max(stream.max_age for stream in deployment.streams) + deployment.time.max_future
    changed["time"] = {**(document.get("time") or {}), "out_of_orderness": format_duration(patience_ms)}
    changed["streams"] = [_patient(stream) for stream in document["streams"]]
    return changed


def _patient(stream: Document) -> Document:
    """Where nothing is late no window is kept open for it, and nobody waits for a provisional result."""
    return {**{k: v for k, v in stream.items() if k != "early_every"}, "allowed_lateness": "0 s"}


def _section(topic: Topic, name: str | None) -> Document:
    return {
        "name": name or topic.name,
        "partitions": topic.partitions,
        "replication": topic.replication,
        "retention": format_duration(topic.retention),
    }
