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


def producer_options(deployment: Deployment) -> dict[str, str]:
    """What every sink of frames shares; all but the last are defaults, over which the deployment's own properties win.

    A broker that hangs counts as gone after 10 s. Kafka's 30 s pass once in each transaction that has to be opened, one
    after the other, and held a checkpoint up for minutes while one of three brokers was frozen (docs/faults.md). What
    is asked again is written once all the same: the producers are idempotent.
    """
    return {
        "properties.compression.type": "lz4",
        "properties.linger.ms": "20",
        "properties.batch.size": "262144",
        "properties.request.timeout.ms": "10000",
        **common_options(deployment),
        "properties.max.request.size": "16777216",
    }
