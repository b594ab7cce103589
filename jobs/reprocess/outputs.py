"""Versions of a deployment's outputs, and which of them is the current one: records of one compacted topic.

    demo       {"version": 2, "topics": {"aligned": "telemetry.aligned.v2", …}, …}     the pointer
    demo/v2    {"version": 2, "topics": …, "start": …, "stop": …}                      a version that was made

The pointer is one record with the names of all topics, so a switch is atomic: who reads it sees all of the old version
or all of the new one. Version 1 is what the deployment file names; it needs no record.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from jobs.broker.clients import make_producer
from jobs.broker.markers import UndeliveredRecords
from jobs.broker.snapshot import UnreadableTopic, read_topic
from jobs.broker.topics import TopicSpec, create_topics
from jobs.pipeline.config import Deployment
from jobs.reprocess.deployment import OUTPUT_ROLES, Span, output_topics, with_topics

_FLUSH_S = 30


class Version(msgspec.Struct, frozen=True):
    """One version of all outputs; `start` and `stop` are offsets of the raw topic, None: without a limit."""

    version: int
    topics: dict[str, str]
    job: str
    start: dict[int, int] | None = None
    stop: dict[int, int] | None = None
    created_at_ms: int = 0

    def span(self, held: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
        """Its part of the raw topic, which now holds `held`."""
        start = {p: first for p, (first, _) in held.items()} if self.start is None else self.start
        return Span(start, self.stop).until({p: end for p, (_, end) in held.items()})

    def behind(self, held: dict[int, tuple[int, int]]) -> int:
        """How many raw records it will never have."""
        return 0 if self.stop is None else sum(max(0, end - self.stop.get(p, 0)) for p, (_, end) in held.items())


class Pointer(msgspec.Struct, frozen=True):
    """Which version consumers read."""

    version: int
    topics: dict[str, str]
    previous: int | None = None
    switched_at_ms: int = 0


class Outputs(NamedTuple):
    """All that the topic says of one deployment."""

    current: Pointer
    versions: dict[int, Version]


def own_version(deployment: Deployment) -> Version:
    """Version 1: the topics of the deployment file."""
    return Version(1, {role: getattr(deployment.topics, role).name for role in OUTPUT_ROLES}, deployment.name)


def new_version(deployment: Deployment, number: int, span: Span) -> Version:
    suffix = deployment.outputs.suffix.format(version=number)
    topics = output_topics(deployment, suffix)
    return Version(number, topics, f"{deployment.name}-v{number}", span.start, span.stop, _now_ms())


def fold(deployment: Deployment, records: Iterable[tuple[bytes | None, bytes | None]]) -> Outputs:
    """What (key, value) records say, the later ones more than the earlier ones; a tombstone takes a version away."""
    own = own_version(deployment)
    current, versions = Pointer(1, own.topics), {1: own}
    for key, value in records:
        name, _, number = (key or b"").decode(errors="replace").partition("/v")
        if name != deployment.name:
            continue
        if not number:
            current = Pointer(1, own.topics) if value is None else msgspec.json.decode(value, type=Pointer)
        elif value is None:
            versions.pop(int(number), None)
        else:
            versions[int(number)] = msgspec.json.decode(value, type=Version)
    return Outputs(current, versions)


def read_outputs(deployment: Deployment) -> Outputs:
    """What the topic says now; without the topic there is version 1.

    Raises
    ------
    UnreadableTopic : no broker answers.
    """
    try:
        return fold(deployment, ((m.key(), m.value()) for m in read_topic(deployment, deployment.outputs.topic)))
    except UnreadableTopic as error:
        if error.is_missing:
            return fold(deployment, [])
        raise


def current_outputs(deployment: Deployment) -> Deployment:
    """The deployment with the topics of its current version.

    Raises
    ------
    UnreadableTopic : no broker answers.
    """
    return with_topics(deployment, read_outputs(deployment).current.topics)


def register(deployment: Deployment, version: Version) -> None:
    """Make a version known.

    Raises
    ------
    UndeliveredRecords : Kafka did not take the record.
    """
    _write(deployment, f"{deployment.name}/v{version.version}", msgspec.json.encode(version))


def forget(deployment: Deployment, number: int) -> None:
    """Take a version off the list.

    Raises
    ------
    UndeliveredRecords : Kafka did not take the record.
    """
    _write(deployment, f"{deployment.name}/v{number}", None)


def point_to(deployment: Deployment, version: Version, previous: int) -> Pointer:
    """Make a version the current one: from here on a reader of the pointer sees all of its topics.

    Raises
    ------
    UndeliveredRecords : Kafka did not take the record; the pointer is then as it was, or as wanted.
    """
    pointer = Pointer(version.version, version.topics, previous, _now_ms())
    _write(deployment, deployment.name, msgspec.json.encode(pointer))
    return pointer


def _write(deployment: Deployment, key: str, value: bytes | None) -> None:
    topic = deployment.outputs.topic
    replication = deployment.topics.aligned.replication
    # One partition: records of one deployment are read in the order in which they were written.
    create_topics(deployment, specs=[TopicSpec("outputs", topic, 1, replication, {"cleanup.policy": "compact"})])
    producer = make_producer(deployment)
    failures: list[str] = []

    def delivered(error: Any, _message: Any) -> None:
        if error is not None:
            failures.append(error.str())

    producer.produce(topic, value, key.encode(), on_delivery=delivered)
    left = producer.flush(_FLUSH_S)
    if left or failures:
        raise UndeliveredRecords(f"{topic}: {failures[0] if failures else 'not acknowledged'}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
