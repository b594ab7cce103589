"""librdkafka clients of the generator, the oracle and the baselines: the same settings for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

_BATCH = 10_000
_QUEUE_HIGH = 400_000
_TIMEOUT_S = 30.0
_STUCK_S = 60.0


class Undelivered(RuntimeError):  # noqa: N818
    """Records that the broker did not take, or a topic that cannot be read."""


def make_producer(bootstrap: str, **settings: Any) -> Producer:
    """A producer for throughput; what could not be delivered is counted by librdkafka and raised by `finish`."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "broker.address.family": "v4",
            "log_level": 3,
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.size": 1_000_000,
            "batch.num.messages": 20_000,
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 524_288,
            "delivery.report.only.error": True,
            **settings,
        }
    )


def make_consumer(bootstrap: str, group: str) -> Consumer:
    """A consumer for whole topics by explicit assignment; it commits nothing and sees committed records only."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "broker.address.family": "v4",
            "log_level": 3,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            # librdkafka's default of 1 s between fetches of a full queue halves a consumer that catches up.
            "fetch.queue.backoff.ms": 20,
        }
    )


def end_offsets(consumer: Consumer, topic: str) -> dict[int, int]:
    """The end of every partition that holds anything, as of now."""
    found = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic]
    if found.error is not None:
        raise Undelivered(f"topic {topic}: {found.error.str()}")
    bounds = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=_TIMEOUT_S) for p in found.partitions}
    return {p: high for p, (low, high) in sorted(bounds.items()) if high > low}


def read_to_end(consumer: Consumer, topic: str, ends: dict[int, int]) -> Iterator[list[Message]]:
    """Read partitions from their start to the given ends, in batches; what comes after the ends is left out."""
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in ends])
    where = [TopicPartition(topic, partition) for partition in ends]
    unread = set(ends)
    silent_s = 0.0
    while unread:
        batch = consumer.consume(_BATCH, timeout=1.0)
        silent_s = 0.0 if batch else silent_s + 1.0
        if silent_s > _STUCK_S:
            raise Undelivered(
                f"{topic}: nothing for {_STUCK_S:.0f} s, partitions {sorted(unread)} are not at their end"
            )
        events = [message for message in batch if message.error() is not None]
        if events:
            batch = [message for message in batch if message.error() is None]
            unread -= _finished(events, ends)
        for position in consumer.position(where):
            partition, end = position.partition, ends[position.partition]
            if position.offset >= end:
                unread.discard(partition)
            if position.offset > end:
                batch = [m for m in batch if m.partition() != partition or m.offset() < end]  # type: ignore[operator]
        if batch:
            yield batch


def _finished(events: list[Message], ends: dict[int, int]) -> set[int]:
    """The partitions whose end has been reached; with transactions it lies behind the last record."""
    finished = set()
    for event in events:
        error = event.error()
        if error is None or error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        partition, offset = event.partition(), event.offset()
        if partition is not None and offset is not None and offset >= ends[partition]:
            finished.add(partition)
    return finished


def make_room(producer: Producer) -> None:
    """Serve delivery reports, and wait while librdkafka's queue is nearly full."""
    producer.poll(0)
    while len(producer) > _QUEUE_HIGH:
        producer.poll(0.02)


def finish(producer: Producer, what: str) -> None:
    """Wait until the broker has everything.

    Raises
    ------
    Undelivered : it has not.
    """
    left = producer.flush(_STUCK_S)
    if left:
        raise Undelivered(f"{what}: {left} records not acknowledged")


def create_topics(bootstrap: str, names: Iterable[str], partitions: int, config: dict[str, str] | None = None) -> None:
    """Create the topics that are missing, and wait until they can be used."""
    admin = _admin(bootstrap)
    wanted = {name: NewTopic(name, partitions, 1, config=config or {}) for name in names}
    for name, future in admin.create_topics(list(wanted.values()), operation_timeout=_TIMEOUT_S).items():
        _done(name, future, KafkaError.TOPIC_ALREADY_EXISTS)
    _await(lambda: _usable(admin, set(wanted)) == set(wanted), f"topics {', '.join(wanted)}")


def delete_topics(bootstrap: str, names: Iterable[str]) -> None:
    """Delete topics with all their records, and wait until they are gone; missing ones are no mistake."""
    admin = _admin(bootstrap)
    unwanted = set(names)
    for name, future in admin.delete_topics(list(unwanted), operation_timeout=_TIMEOUT_S).items():
        _done(name, future, KafkaError.UNKNOWN_TOPIC_OR_PART)
    _await(lambda: not _usable(admin, unwanted), f"the end of topics {', '.join(sorted(unwanted))}")


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 3, "broker.address.family": "v4"})


def _usable(admin: AdminClient, names: set[str]) -> set[str]:
    """Those of the topics that exist and whose partitions have leaders."""
    known = admin.list_topics(timeout=_TIMEOUT_S).topics
    return {
        name
        for name in names & known.keys()
        if known[name].error is None and all(p.leader >= 0 for p in known[name].partitions.values())
    }


def _done(name: str, future: Any, harmless: int) -> None:
    try:
        future.result(_TIMEOUT_S)
    except KafkaException as problem:
        if problem.args[0].code() != harmless:
            raise Undelivered(f"topic {name}: {problem.args[0].str()}") from None


def _await(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise Undelivered(f"not within {_TIMEOUT_S:.0f} s: {what}")
        time.sleep(0.1)
