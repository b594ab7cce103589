"""librdkafka settings of the tools' clients, made from the deployment's Kafka section."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
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


class UndeliveredRecords(RuntimeError):  # noqa: N818
    """Records that the broker did not take."""


class Admin(AdminClient):
    """Remembers what the connection failed of, which a call that had no answer does not say."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._heard: str | None = None
        # What is told here is not logged as well, once for each attempt.
        own: dict[str, Any] = {"log_level": 2, "error_cb": self._hear}
        super().__init__(settings | own)

    def listen(self) -> str | None:
        """What a login or a certificate was refused for; None: nothing was."""
        self.poll(0)
        return self._heard

    def _hear(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
            self._heard = error.str()


class _Producer(Producer):
    """Raises UndeliveredRecords when the broker refuses it for good, in the midst of whatever callback."""

    def poll(self, timeout: float = -1) -> int:
        return _told(super().poll, timeout)

    def flush(self, timeout: float = -1) -> int:
        return _told(super().flush, timeout)


def _told(call: Callable[[float], int], timeout_s: float) -> int:
    try:
        return call(timeout_s)
    except (KafkaException, SystemError) as error:  # SystemError: a callback ran while the other one was raised
        cause = error if isinstance(error, KafkaException) else error.__cause__
        if not isinstance(cause, KafkaException):
            raise
        raise UndeliveredRecords(cause.args[0].str()) from None


def client_settings(deployment: Deployment) -> dict[str, Any]:
    return kafka_settings(deployment.kafka)


def kafka_settings(kafka: Kafka) -> dict[str, Any]:
    """Translate the Kafka section; Java properties that librdkafka does not share are left out.

    Raises
    ------
    LoginProblem : its login file cannot be used.
    """
    settings: dict[str, Any] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "log_level": 3,
        "broker.address.family": "v4" if "127.0.0.1" in kafka.bootstrap_servers else "any",
    }
    for name, value in kafka.properties.items():
        if name.startswith(_SHARED_PREFIXES):
            settings[name] = value
    if kafka.security is not None:
        settings |= kafka.security.librdkafka_settings(os.environ)
    return settings


def make_admin(deployment: Deployment) -> Admin:
    return Admin(client_settings(deployment))


def make_producer(deployment: Deployment, **settings: Any) -> Producer:
    """A producer for throughput that keeps order and writes nothing twice when it has to try again.

    Parameters
    ----------
    settings : of librdkafka, with underscores for dots; they go over the others.
    """
    return _Producer(
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
