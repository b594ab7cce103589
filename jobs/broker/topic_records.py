"""Records as plain values, for tools whose logic is tested without Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from jobs.broker.snapshot import read_topic
from jobs.pipeline.config import Deployment


class TopicRecord(NamedTuple):
    """A committed record."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """Append time in the raw topic, elsewhere when it was produced."""
    value: bytes
    headers: dict[str, bytes]

    @property
    def place(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


def topic_records(
    deployment: Deployment, topic: str, since_ms: int | None = None, newest: int | None = None
) -> Iterator[TopicRecord]:
    """Give what `read_topic` reads; it raises as that does."""
    for message in read_topic(deployment, topic, since_ms, newest):
        found: Any = message  # its stubs know neither that headers are pairs nor that a record has an offset
        headers = {name: value or b"" for name, value in found.headers() or ()}
        yield TopicRecord(topic, found.partition(), found.offset(), found.timestamp()[1], found.value() or b"", headers)
