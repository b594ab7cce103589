"""The grid file of another run over the same aligned topics: topics of its own, an end, and a patient watermark.

In a bounded run nothing may be late, although the job is the same. How far a reading can be behind is measured: the
watermark is that of the slowest partition, so with the largest disorder within any partition as its out-of-orderness
it never passes a reading, and what is kept in state is bounded by that disorder and not by the length of history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jobs.pipeline.durations import format_duration
from jobs.pipeline.grid_config import GridDeployment, GridTopics
from jobs.reprocess.deployment import Document, Span


class History(NamedTuple):
    """What a source holds of a time: its part of the topic, and how far a reading is behind in it, in ms."""

    span: Span
    disorder_ms: int


def largest_disorder_ms(readings: Iterable[tuple[int, int, int]]) -> int:
    """How far a reading is behind the latest one of its partition, at the most.

    Parameters
    ----------
    readings
        (partition, event time by the clock as it is, event time with its correction), in the order of the partitions.
        The watermark goes by the former, readings are judged by the latter.
    """
    latest: dict[int, int] = {}
    disorder_ms = 0
    for partition, time_ms, corrected_ms in readings:
        latest[partition] = max(time_ms, latest.get(partition, time_ms))
        disorder_ms = max(disorder_ms, latest[partition] - corrected_ms)
    return disorder_ms


def grid_topics(deployment: GridDeployment, suffix: str) -> dict[str, str]:
    """Names of the job's topics with a suffix, by role."""
    return {role: f"{getattr(deployment.topics, role).name}{suffix}" for role in GridTopics.model_fields}


def with_grid_topics(deployment: GridDeployment, names: Mapping[str, str]) -> GridDeployment:
    topics = deployment.topics
    changed = {role: getattr(topics, role).model_copy(update={"name": name}) for role, name in names.items()}
    return deployment.model_copy(update={"topics": topics.model_copy(update=changed)})


def grid_rerun_document(
    document: Document,
    deployment: GridDeployment,
    name: str,
    topics: Mapping[str, str],
    history: Mapping[str, History],
) -> Document:
    """The grid file of a bounded run, from the file as it is written, so that `${…}` stays what it is.

    Parameters
    ----------
    topics : names of the job's topics, by role.
    history : of each source, by name.
    """
    sections = {}
    for role, topic_name in topics.items():
        topic = getattr(deployment.topics, role)
        sections[role] = {
            "name": topic_name,
            "partitions": topic.partitions,
            "replication": topic.replication,
            "retention": format_duration(topic.retention),
        }
    sources = [
        {
            **source,
            "start": history[source["name"]].span.start,
            "stop": history[source["name"]].span.stop,
            "out_of_orderness": format_duration(history[source["name"]].disorder_ms),
        }
        for source in document["sources"]
    ]
    # Where nothing is late no row is kept open for it, and no wall clock matters.
    grids = [
        {**{key: value for key, value in grid.items() if key != "stalled_after"}, "allowed_lateness": "0 s"}
        for grid in document["grids"]
    ]
    return {**document, "name": name, "topics": sections, "sources": sources, "grids": grids, "alignment": None}
