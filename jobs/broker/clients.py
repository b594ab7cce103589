"""librdkafka settings of the tools' clients, made from the deployment's Kafka section."""

from __future__ import annotations

import re
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from jobs.pipeline.config import Deployment, Kafka

LARGEST_MESSAGE_BYTES = 20 * 1024 * 1024

# A deployment's `kafka.properties` are spelt for Java clients. These mean the same to librdkafka.
_SHARED_PREFIXES = (
    "security.",
    "ssl.ca.",
    "ssl.certificate.",
    "ssl.key.",
    "sasl.mechanism",
    "client.id",
    "client.rack",
)
_JAAS_ENTRY = re.compile(r'(username|password)\s*=\s*"((?:[^"\\]|\\.)*)"')


def client_settings(deployment: Deployment) -> dict[str, Any]:
    return kafka_settings(deployment.kafka)


def kafka_settings(kafka: Kafka) -> dict[str, Any]:
    """Translate the Kafka section; Java properties that librdkafka does not share are left out."""
    settings: dict[str, Any] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "log_level": 3,
        "broker.address.family": "v4" if "127.0.0.1" in kafka.bootstrap_servers else "any",
    }
    for name, value in kafka.properties.items():
        if name == "sasl.jaas.config":
            settings.update((f"sasl.{key}", text) for key, text in _JAAS_ENTRY.findall(value))
        elif name.startswith(_SHARED_PREFIXES):
            settings[name] = value
    return settings


def make_admin(deployment: Deployment) -> AdminClient:
    return AdminClient(client_settings(deployment))


def make_producer(deployment: Deployment, **settings: Any) -> Producer:
    """A producer for throughput that keeps order and writes nothing twice when it has to try again.

    Parameters
    ----------
    settings : of librdkafka, with underscores for dots; they go over the others.
    """
    return Producer(
        {
            **client_settings(deployment),
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.size": 1_000_000,
            "batch.num.messages": 20_000,
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 262_144,
            "message.max.bytes": LARGEST_MESSAGE_BYTES,
            "delivery.report.only.error": True,
            **{name.replace("_", "."): value for name, value in settings.items()},
        }
    )


def make_consumer(deployment: Deployment, isolation: str = "read_committed") -> Consumer:
    """A consumer for reading whole topics by explicit assignment; it never commits offsets."""
    return Consumer(
        {
            **client_settings(deployment),
            "group.id": f"meridian-tools-{deployment.name}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            # librdkafka's default of 1 s between fetches of a full queue halves a consumer that catches up.
            "fetch.queue.backoff.ms": 20,
            "queued.max.messages.kbytes": 65_536,
            "fetch.max.bytes": LARGEST_MESSAGE_BYTES,
            "max.partition.fetch.bytes": 4_194_304,
            "receive.message.max.bytes": LARGEST_MESSAGE_BYTES + 1_048_576,
        }
    )
