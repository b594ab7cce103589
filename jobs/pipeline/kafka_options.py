"""Options that every Kafka table of the job shares."""

from __future__ import annotations

from jobs.pipeline.config import Deployment


def source_group(deployment: Deployment) -> str:
    """Under which the job commits, with each checkpoint, how far it has read the raw topic."""
    return f"meridian-{deployment.name}"


def common_options(deployment: Deployment) -> dict[str, str]:
    kafka = deployment.kafka
    secured = kafka.security.java_properties() if kafka.security else {}
    return {
        "properties.bootstrap.servers": kafka.bootstrap_servers,
        **{f"properties.{name}": value for name, value in {**secured, **kafka.properties}.items()},
    }
