"""Read a dead letter topic to its end, and send records back to the raw topic."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, cast

import msgspec
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Message, TopicPartition

from jobs.broker.clients import make_admin, make_consumer
from jobs.broker.snapshot import read_topic, spans_now
from jobs.broker.transactions import RESEND, Outgoing, TransactionalWriter, wait_until_decided
from jobs.pipeline.config import Deployment
from jobs.pipeline.kafka_options import source_group
from jobs.replay.dead_letters import Letter, RawRecord, decode_letter
from udfs.dead_letter import REPLAY_OF

_TIMEOUT_S = 10
_DECIDED_S = 60  # as long as a producer's transaction may stay open by default


def read_letters(deployment: Deployment) -> Iterator[Letter]:
    """Every committed letter of the invalid topic, oldest first within a partition; the audit names unreadable ones."""
    for message in read_topic(deployment, deployment.topics.invalid_events.name):
        try:
            yield decode_letter(message.value() or b"")
        except msgspec.DecodeError:
            continue


def replays_since(deployment: Deployment, since_ms: int | None) -> dict[str, str]:
    """What each raw record that Kafka got at `since_ms` (epoch ms) or later replays, if it does: place and place."""
    found: dict[str, str] = {}
    topic = deployment.topics.raw.name
    for message in read_topic(deployment, topic, since_ms):
        for name, value in _headers(message):
            if name == REPLAY_OF and value is not None:
                found[f"{topic}/{message.partition()}/{message.offset()}"] = value.decode(errors="replace")
    return found


def sent_before(deployment: Deployment, letters: Collection[Letter]) -> set[str]:
    """The places of the letters that have been sent again, as far as any topic still says so.

    The raw topic does. What retention has deleted from it was aligned, with `replay_of` among its attributes, or was
    refused and has a letter. A repeat of it would be a duplicate.
    """
    since_ms = min(letter.append_time_ms for letter in letters)
    found = set(replays_since(deployment, since_ms).values())
    if any(first for first, _ in spans_now(deployment, deployment.topics.raw.name).values()):
        for message in read_topic(deployment, deployment.topics.aligned.name, since_ms):
            name = _decode_aligned(message.value() or b"{}").attributes.get(REPLAY_OF)
            found.update([name] if isinstance(name, str) else ())
    return found


class _Aligned(msgspec.Struct):
    attributes: dict[str, Any] = {}


_decode_aligned = msgspec.json.Decoder(_Aligned).decode


class RawTopic:
    """Fetches single records of a deployment's raw topic."""

    def __init__(self, deployment: Deployment) -> None:
        self._consumer: Consumer = make_consumer(deployment)

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

    def close(self) -> None:
        self._consumer.close()


class Resender:
    """Sends records again, one process at a time.

    It takes the writer first, which ends any other run and what a killed one has left open, and then waits until all
    that is in the raw topic can be seen. What `replays_since` finds afterwards is all that was ever sent again.

    Raises
    ------
    UndeliveredRecords, UnreadableTopic : no broker answers, or a transaction stays open.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._topic = deployment.topics.raw.name
        self._writer = TransactionalWriter(deployment, RESEND)
        wait_until_decided(deployment, (self._topic,), _DECIDED_S)

    def send(self, records: Iterable[tuple[Letter, RawRecord]]) -> None:
        """Send records in one transaction, each to the partition that it was refused from.

        Raises
        ------
        UndeliveredRecords : Kafka has not taken them, or another run has taken over.
        """
        self._writer.write(
            self._topic,
            [
                Outgoing(r.value, r.key, r.headers, letter.partition if letter.topic == self._topic else -1)
                for letter, r in records
            ],
        )


class JobLag:
    """How many raw records the job is behind, by what it has committed with its last checkpoint."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._admin = make_admin(deployment)

    def behind(self) -> int | None:
        """None: no job of the deployment has committed anything.

        Raises
        ------
        UnreadableTopic, KafkaException : no broker answers.
        """
        ends = spans_now(self._deployment, self._deployment.topics.raw.name)
        places = [TopicPartition(self._deployment.topics.raw.name, p) for p in ends]
        asked = ConsumerGroupTopicPartitions(source_group(self._deployment), places)
        [answer] = self._admin.list_consumer_group_offsets([asked], request_timeout=_TIMEOUT_S).values()
        committed: list[Any] = answer.result(_TIMEOUT_S).topic_partitions
        if all(place.offset < 0 for place in committed):
            return None
        behind: int = sum(max(0, ends[p.partition][1] - max(int(p.offset), ends[p.partition][0])) for p in committed)
        return behind


def _headers(message: Message) -> list[tuple[str, bytes | None]]:
    return cast("list[tuple[str, bytes | None]]", message.headers() or [])  # a consumer never gives texts or a dict
