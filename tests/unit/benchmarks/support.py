"""A topic and a broker in memory, so that generator, baseline and oracle meet without Kafka."""

from __future__ import annotations

from argparse import Namespace
from collections import defaultdict
from typing import Any

from benchmarks.plain_loop import Loop, WholeLoop, WindowsLoop
from benchmarks.settings import WINDOWS, Topics, Work
from benchmarks.truth import Folder, Raw, Truth
from benchmarks.verdict import Judge, Verdict
from benchmarks.windows import Windows
from benchmarks.workload import Record, Renderer, Workload, blocks

TOPICS = Topics("out")
APPEND_DELAY_MS = 50

Outputs = dict[str, list[bytes]]


class FakeMessage:
    """What the baselines use of a confluent_kafka.Message."""

    def __init__(self, record: Record, offset: int, append_ms: int) -> None:
        self._record = record
        self._offset = offset
        self._append_ms = append_ms

    def value(self) -> bytes:
        return self._record.value

    def key(self) -> bytes:
        return self._record.key

    def headers(self) -> list[Any]:
        return list(self._record.headers)

    def partition(self) -> int:
        return self._record.partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 2, self._append_ms


class FakeProducer:
    """Collects what is published, by topic."""

    def __init__(self) -> None:
        self.published: Outputs = defaultdict(list)

    def produce(self, topic: str, value: bytes, key: bytes | None = None) -> None:
        self.published[topic].append(value)


def topic_of(workload: Workload) -> list[FakeMessage]:
    """The raw topic that a run makes, in the order of arrival."""
    renderer, offsets, messages = Renderer(workload), defaultdict(int), []  # type: ignore[var-annotated]
    for block in blocks(workload):
        for record in renderer.render(block):
            messages.append(FakeMessage(record, offsets[record.partition], workload.end_ms + APPEND_DELAY_MS))
            offsets[record.partition] += 1
    return messages


def truth_of(messages: list[FakeMessage]) -> Truth:
    folder = Folder()
    folder.add(Raw(m.partition(), m.offset(), m.timestamp()[1], m.value()) for m in messages)
    return folder.truth()


def plain_loop_of(messages: list[FakeMessage], work: Work, batch: int = 100) -> Outputs:
    """What the plain loop publishes."""
    producer: Any = FakeProducer()
    given = Namespace(raw="raw", out_prefix=TOPICS.prefix)
    windows, partitions = Windows(WINDOWS[work]), sorted({m.partition() for m in messages})
    loop: Loop = (WholeLoop if work == "whole" else WindowsLoop)(given, producer, partitions, windows)
    for first in range(0, len(messages), batch):
        loop.take(messages[first : first + batch])  # type: ignore[arg-type]
    loop.close()
    return dict(producer.published)


def verdict_of(truth: Truth, outputs: Outputs, work: Work, grace: int = 200, late_topic: bool = True) -> Verdict:
    judge = Judge(truth, work, grace, late_topic)
    judge.add_late(outputs.get(TOPICS.late, []))
    judge.add_windows(outputs.get(TOPICS.windows, []))
    judge.add_aligned(outputs.get(TOPICS.aligned, []))
    judge.add_invalid(outputs.get(TOPICS.invalid, []))
    judge.add_accounting(outputs.get(TOPICS.accounting, []))
    return judge.verdict()
