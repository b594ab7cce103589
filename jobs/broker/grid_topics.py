"""The topics of the grid job."""

from __future__ import annotations

from jobs.broker.topics import TopicSpec
from jobs.pipeline.grid_config import GridDeployment, GridTopics


def grid_topic_specs(deployment: GridDeployment) -> list[TopicSpec]:
    """The wanted topics; rows and clocks are compacted, so the last revision and the last estimate stay."""
    special = {
        "grid": {"cleanup.policy": "compact,delete"},
        "late_grid": {"max.message.bytes": "2097152"},
        "clocks": {"cleanup.policy": "compact,delete"},
    }
    specs = []
    for role in GridTopics.model_fields:
        topic = getattr(deployment.topics, role)
        configs = {"cleanup.policy": "delete", "retention.ms": str(topic.retention), **special.get(role, {})}
        specs.append(TopicSpec(role, topic.name, topic.partitions, topic.replication, configs))
    return specs
