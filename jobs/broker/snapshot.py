"""Read a topic once, from a time or its beginning to the end that it has now, committed records only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from jobs.broker.clients import make_consumer
from jobs.pipeline.config import Deployment

CLOCKS_MS = 3_600_000
"""How far the clocks of those who write topics are believed to be behind, where a topic is searched by record time."""

_TIMEOUT_S = 10
_BATCH = 10_000


class UnreadableTopic(RuntimeError):  # noqa: N818
    """A topic that does not exist (`is_missing`) or cannot be read; one line for a person."""

    def __init__(self, message: str, *, is_missing: bool = False) -> None:
        super().__init__(message)
        self.is_missing = is_missing


def read_topic(
    deployment: Deployment, topic: str, since_ms: int | None = None, newest: int | None = None
) -> Iterator[Message]:
    """Every committed record of a topic, in order within a partition.

    Parameters
    ----------
    since_ms : leave out what Kafka got before, epoch ms by the records' own stamps.
    newest : only so many offsets before the end of each partition.

    Raises
    ------
    UnreadableTopic : there is no such topic, or no broker.
    """
    with _asking(deployment, topic) as (consumer, partitions):
        places = [TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions]
        if newest is not None:
            ends = {place: consumer.get_watermark_offsets(place, _TIMEOUT_S) for place in places}
            places = [TopicPartition(topic, p.partition, max(low, end - newest)) for p, (low, end) in ends.items()]
        if since_ms is not None:
            places = [TopicPartition(topic, p, max(0, since_ms)) for p in partitions]
            places = consumer.offsets_for_times(places, timeout=_TIMEOUT_S)
        consumer.assign(places)
        open_partitions = set(partitions)
        while open_partitions:
            for message in consumer.consume(_BATCH, 1.0):
                error = message.error()
                if error is None:
                    if message.partition() in open_partitions:
                        yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(message.partition())
                else:
                    raise UnreadableTopic(f"topic {topic}: {error.str()}")


def spans_now(deployment: Deployment, topic: str) -> dict[int, tuple[int, int]]:
    """For each partition the first offset that retention has left, and the end that read_committed consumers see.

    Raises
    ------
    UnreadableTopic : there is no such topic, or no broker.
    """
    with _asking(deployment, topic) as (consumer, partitions):
        return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), _TIMEOUT_S) for p in partitions}


def offsets_since(deployment: Deployment, topic: str, time_ms: int) -> dict[int, int]:
    """The first offset of each partition that Kafka got at a time or later; partitions without one are left out.

    Parameters
    ----------
    time_ms : epoch ms by the records' own stamps.

    Raises
    ------
    UnreadableTopic : there is no such topic, or no broker.
    """
    with _asking(deployment, topic) as (consumer, partitions):
        asked = [TopicPartition(topic, p, max(0, time_ms)) for p in partitions]
        found = consumer.offsets_for_times(asked, timeout=_TIMEOUT_S)
        return {place.partition: place.offset for place in found if place.offset >= 0}


@contextmanager
def _asking(deployment: Deployment, topic: str) -> Iterator[tuple[Consumer, list[int]]]:
    consumer = make_consumer(deployment)
    try:
        yield consumer, _partitions_of(consumer, topic)
    except KafkaException as error:
        raise UnreadableTopic(f"topic {topic}: {error.args[0].str()}") from None
    finally:
        consumer.close()


def _partitions_of(consumer: Consumer, topic: str) -> list[int]:
    """The partitions of a topic.

    Raises
    ------
    UnreadableTopic : there is no such topic.
    """
    found = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic]
    if found.error is not None:
        missing = found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
        raise UnreadableTopic(
            f"topic {topic}: {found.error.str()}; `meridian topics create` makes it", is_missing=missing
        )
    return sorted(found.partitions)
