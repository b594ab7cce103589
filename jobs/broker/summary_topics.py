"""The topics of the SQL side: summaries, their dead letters, and the reference data that readings are joined with."""

from __future__ import annotations

from jobs.broker.topics import TopicSpec
from jobs.pipeline.config import Deployment
from jobs.pipeline.sql_deployment import summary_topics


def summary_topic_specs(deployment: Deployment) -> list[TopicSpec]:
    """The wanted topics, with partitions, replication and retention of their counterparts of the align job.

    Summaries are keyed by window, so compaction keeps the newest. Reference topics are compacted only beyond the age
    of the oldest aligned reading: a version that held then must still be there when it is summarised again. They have
    one partition, so that versions are read in the order in which they were written.
    """
    windows, late, aligned = deployment.topics.windows, deployment.topics.late_events, deployment.topics.aligned
    specs = []
    for role, name in summary_topics(deployment).items():
        if role in ("stations", "limits"):
            configs = {"cleanup.policy": "compact", "min.compaction.lag.ms": str(aligned.retention)}
            specs.append(TopicSpec(role, name, 1, aligned.replication, configs))
        elif role == "late_summaries":
            configs = {"cleanup.policy": "delete", "retention.ms": str(late.retention), "max.message.bytes": "2097152"}
            specs.append(TopicSpec(role, name, late.partitions, late.replication, configs))
        else:
            configs = {"cleanup.policy": "compact,delete", "retention.ms": str(windows.retention)}
            specs.append(TopicSpec(role, name, windows.partitions, windows.replication, configs))
    return specs
