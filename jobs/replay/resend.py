"""Read a dead letter topic to its end, and send records back to the raw topic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from jobs.broker.clients import make_consumer, make_producer
from jobs.broker.markers import UndeliveredRecords
from jobs.broker.snapshot import read_topic
from jobs.pipeline.config import Deployment
from jobs.replay.dead_letters import Letter, RawRecord, decode_letter
from udfs.dead_letter import REPLAY_OF

_TIMEOUT_S = 10
_FLUSH_S = 60
_QUEUE_HIGH = 100_000


def read_letters(deployment: Deployment) -> Iterator[Letter]:
    """Every committed letter of the invalid topic, oldest first within a partition."""
    for message in read_topic(deployment, deployment.topics.invalid_events.name):
        yield decode_letter(message.value() or b"")


def replays_since(deployment: Deployment, since_ms: int) -> set[str]:
    """The `replay_of` of every raw record that Kafka got at `since_ms` (epoch ms) or later."""
    found: set[str] = set()
    for message in read_topic(deployment, deployment.topics.raw.name, since_ms):
        found.update(
            value.decode(errors="replace")
            for name, value in _headers(message)
            if name == REPLAY_OF and value is not None
        )
    return found


class RawTopic:
    """The raw topic of a deployment: fetch one record, send many."""

    def __init__(self, deployment: Deployment) -> None:
        self._topic = deployment.topics.raw.name
        self._consumer: Consumer = make_consumer(deployment)
        self._producer: Producer = make_producer(deployment)
        self._failures: list[str] = []

    def fetch(self, topic: str, partition: int, offset: int) -> RawRecord | None:
        """Give the record at an offset; None when it is no longer there."""
        place = TopicPartition(topic, partition)
        low, high = self._consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
        if not low <= offset < high:
            return None
        place.offset = offset
        self._consumer.assign([place])
        message = self._consumer.poll(_TIMEOUT_S)
        if message is None or message.error() is not None or message.offset() != offset:
            return None
        return RawRecord(message.key(), message.value(), _headers(message))

    def send(self, record: RawRecord) -> None:
        """Queue a record; with the key of the refused one it comes to the same partition.

        Raises
        ------
        UndeliveredRecords : Kafka has refused an earlier one.
        """
        while len(self._producer) > _QUEUE_HIGH and not self._failures:
            self._producer.poll(0.05)
        if self._failures:
            raise UndeliveredRecords(f"{self._topic}: {self._failures[0]}")
        self._producer.produce(
            self._topic, record.value, record.key, headers=list(record.headers), on_delivery=self._delivered
        )

    def close(self) -> None:
        """Wait until Kafka has all that was sent.

        Raises
        ------
        UndeliveredRecords : it has not.
        """
        self._consumer.close()
        left_over = self._producer.flush(_FLUSH_S)
        if self._failures or left_over:
            why = self._failures[0] if self._failures else f"{left_over} records not acknowledged"
            raise UndeliveredRecords(f"{self._topic}: {why}")

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failures.append(error.str())


def _headers(message: Message) -> list[tuple[str, bytes | None]]:
    return cast("list[tuple[str, bytes | None]]", message.headers() or [])  # a consumer never gives texts or a dict
