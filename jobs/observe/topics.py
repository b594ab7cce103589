"""How far topics have come, and how long their oldest open transaction is open: what Flink's own metrics do not tell.

A reader of committed records stops at the last stable offset. Where that stays below the end of a partition, a
transaction is open; its age is taken from when the offset was first seen there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_TIMEOUT_S = 3.0  # less than a scrape may last

Place = tuple[str, int]


class Ends(NamedTuple):
    """End and last stable offset of a partition."""

    end: int
    stable: int


def read_ends(admin: AdminClient) -> dict[Place, Ends]:
    """Of all partitions of all topics but Kafka's own.

    Raises
    ------
    KafkaException: no broker answers.
    """
    topics = admin.list_topics(timeout=_TIMEOUT_S).topics
    places = [
        TopicPartition(name, partition)
        for name, topic in topics.items()
        if not name.startswith("__")
        for partition in topic.partitions
    ]
    ends, stable = _latest(admin, places, IsolationLevel.READ_UNCOMMITTED), {}
    if ends:
        stable = _latest(admin, places, IsolationLevel.READ_COMMITTED)
    return {place: Ends(end, min(end, stable.get(place, end))) for place, end in ends.items()}


def _latest(admin: AdminClient, places: list[TopicPartition], isolation: IsolationLevel) -> dict[Place, int]:
    if not places:
        return {}
    asked = {place: OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]
    answers: Mapping[TopicPartition, Any] = admin.list_offsets(
        asked, isolation_level=isolation, request_timeout=_TIMEOUT_S
    )
    found: dict[Place, int] = {}
    for place, answer in answers.items():
        try:
            found[place.topic, place.partition] = answer.result(_TIMEOUT_S).offset
        except KafkaException:  # a topic that is being deleted
            continue
    return found


class OpenTransactions:
    """Since when each partition's last stable offset stands still below its end."""

    def __init__(self) -> None:
        self._since: dict[Place, tuple[int, float]] = {}

    def ages_s(self, ends: Mapping[Place, Ends], now_s: float) -> dict[Place, float]:
        """Seconds for each partition; 0 where none is open.

        Parameters
        ----------
        now_s : monotonic.
        """
        since = {}
        for place, (end, stable) in ends.items():
            if stable < end:
                before = self._since.get(place)
                since[place] = before if before is not None and before[0] == stable else (stable, now_s)
        self._since = since
        return {place: now_s - since[place][1] if place in since else 0.0 for place in ends}


class TopicCollector(Collector):
    """Asks the broker at each scrape."""

    def __init__(self, read: Callable[[], Mapping[Place, Ends]], clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._open = OpenTransactions()

    def collect(self) -> Iterator[Metric]:
        labels = ["topic", "partition"]
        up = GaugeMetricFamily("meridian_broker_up", "Whether the broker answers: 1 or 0")
        end = GaugeMetricFamily("meridian_topic_end_offset", "Offset after the last record", labels=labels)
        stable = GaugeMetricFamily(
            "meridian_topic_stable_offset", "Where readers of committed records stop", labels=labels
        )
        age = GaugeMetricFamily(
            "meridian_topic_open_transaction_seconds", "How long the oldest transaction is open; 0: none", labels=labels
        )
        try:
            ends = self._read()
        except KafkaException:
            ends = {}
            up.add_metric([], 0)
        else:
            up.add_metric([], 1)
        ages = self._open.ages_s(ends, self._clock())
        for place, found in ends.items():
            labelled = [place[0], str(place[1])]
            end.add_metric(labelled, found.end)
            stable.add_metric(labelled, found.stable)
            age.add_metric(labelled, ages[place])
        yield from (up, end, stable, age)

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that registering asks no broker."""
        return iter(())
