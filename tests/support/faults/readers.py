"""Readers of the output topics: one that watches while faults happen, one at the end, and where topics end."""

from __future__ import annotations

import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from confluent_kafka import OFFSET_BEGINNING, IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from benchmarks.broker_io import end_offsets, make_consumer, read_to_end

Place = tuple[str, int]
"""Topic and partition."""
Log = dict[Place, list[tuple[int, int]]]
"""Offsets with the CRC-32 of what was there."""


@dataclass
class Mark:
    """An end of the raw topic; `passed_s` is when results of later records were committed in all partitions."""

    ends: dict[int, int]
    passed_s: float | None = None


class Watcher(threading.Thread):
    """Reads all output topics with read_committed from the start on, as a consumer of the platform does."""

    def __init__(self, bootstrap: str, topics: Sequence[str], aligned: str) -> None:
        super().__init__(name="watcher", daemon=True)
        self._consumer = make_consumer(bootstrap, "faults-watcher")
        self._aligned = aligned
        places = [TopicPartition(t, p, OFFSET_BEGINNING) for t in topics for p in partitions(self._consumer, t)]
        self._consumer.assign(places)
        self._is_over = threading.Event()
        self._reached: dict[int, int] = {}  # raw partition -> highest offset of which a result is committed
        self._marks: list[Mark] = []
        self.log: Log = defaultdict(list)

    def mark(self, ends: dict[int, int]) -> Mark:
        mark = Mark(ends)
        self._marks.append(mark)
        return mark

    def stop(self) -> Log:
        """What it has seen."""
        self._is_over.set()
        self.join()
        return self.log

    def run(self) -> None:
        while not self._is_over.is_set():
            for message in self._consumer.consume(1_000, timeout=0.1):
                value = message.value() or b""
                if message.error() is not None:
                    continue  # an end of a partition, or a broker that is away
                self.log[message.topic(), message.partition()].append((message.offset(), zlib.crc32(value)))  # type: ignore[index,arg-type]
                if message.topic() == self._aligned:
                    record = orjson.loads(value)
                    partition, offset = record["partition"], record["offset"]
                    self._reached[partition] = max(offset, self._reached.get(partition, -1))
            for mark in self._marks:
                if mark.passed_s is None and all(self._reached.get(p, -1) >= end for p, end in mark.ends.items()):
                    mark.passed_s = time.monotonic()
        self._consumer.close()


def read_finally(bootstrap: str, topics: Sequence[str]) -> Log:
    """What a read_committed reader finds that comes when all is over."""
    consumer = make_consumer(bootstrap, "faults-final")
    log: Log = defaultdict(list)
    try:
        for topic in topics:
            for batch in read_to_end(consumer, topic, end_offsets(consumer, topic)):
                for m in batch:
                    log[topic, m.partition()].append((m.offset(), zlib.crc32(m.value() or b"")))  # type: ignore[index,arg-type]
    finally:
        consumer.close()
    return log


def raw_ends(bootstrap: str, topic: str) -> dict[int, int]:
    consumer = make_consumer(bootstrap, "faults-ends")
    try:
        return end_offsets(consumer, topic)
    finally:
        consumer.close()


def unstable(bootstrap: str, topics: Sequence[str]) -> dict[Place, int]:
    """Partitions whose last stable offset is below the high watermark, where an open transaction holds readers up."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 3, "broker.address.family": "v4"})
    consumer = make_consumer(bootstrap, "faults-ends")
    places = [TopicPartition(topic, p) for topic in topics for p in partitions(consumer, topic)]
    consumer.close()
    ends = [_latest(admin, places, level) for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)]
    return {place: ends[1][place] - stable for place, stable in ends[0].items() if stable < ends[1][place]}


def partitions(consumer: object, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=30).topics[topic]  # type: ignore[attr-defined]
    return sorted(found.partitions)


def _latest(admin: AdminClient, places: Sequence[TopicPartition], level: IsolationLevel) -> dict[Place, int]:
    futures = admin.list_offsets({p: OffsetSpec.latest() for p in places}, isolation_level=level, request_timeout=30)
    return {(p.topic, p.partition): future.result().offset for p, future in futures.items()}
