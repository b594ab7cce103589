"""Reads the topics of a deployment up to a snapshot, and goes on from there when more has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from jobs.audit.classes import unclassified
from jobs.audit.intake import Intake, Record
from jobs.audit.ledger import Ledger, read_ledgers
from jobs.audit.report import Report, judge
from jobs.broker.clients import make_admin, make_consumer
from jobs.pipeline.config import Deployment
from udfs.rules import Rules

_BATCH = 10_000
_STALLED_S = 60.0
_POLL_S = 1.0

Progress = Callable[[str], None]


class AuditImpossible(RuntimeError):  # noqa: N818
    """The topics cannot be read; one line for a person."""


class TopicFeed:
    """One topic, read from its first offset on by explicit assignment."""

    def __init__(self, deployment: Deployment, admin: AdminClient, topic: str) -> None:
        self.topic = topic
        self._admin = admin
        self._consumer: Consumer = make_consumer(deployment)
        found = admin.list_topics(topic, timeout=10).topics[topic]
        if found.error is not None or not found.partitions:
            raise AuditImpossible(f"topic {topic}: {found.error.str() if found.error else 'no partitions'}")
        self._partitions = sorted(found.partitions)
        self.first = self._offsets(OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED)  # type: ignore[no-untyped-call]
        self._stop: dict[int, int] | None = None
        self._position = dict(self.first)
        self._consumer.assign([TopicPartition(topic, p, self.first[p]) for p in self._partitions])

    def keep_to(self, span: dict[int, tuple[int, int]]) -> None:
        """Leave out what lies outside, by partition [first offset, offset after the last)."""
        self._stop = {p: end for p, (_, end) in span.items()}
        self.first = {p: max(self.first[p], span[p][0]) for p in span}
        self._partitions = sorted(span)
        self._position = dict(self.first)
        self._consumer.assign([TopicPartition(self.topic, p, self.first[p]) for p in self._partitions])

    def ends(self) -> tuple[dict[int, int], dict[int, int]]:
        """Last stable offsets and high watermarks, by partition; they differ while a transaction is open."""
        if self._stop is not None:
            return self._stop, self._stop
        stable = self._offsets(OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)  # type: ignore[no-untyped-call]
        return stable, self._offsets(OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)  # type: ignore[no-untyped-call]

    def read_to(self, ends: dict[int, int], add: Callable[[Iterable[Record]], None], *, headers: bool = False) -> None:
        """Hand all records before `ends` over, once each, whatever number of calls it takes."""
        open_partitions = {p for p in self._partitions if self._position[p] < ends[p]}
        last_news = time.monotonic()
        while open_partitions:
            messages = self._consumer.consume(_BATCH, timeout=0.5)
            if messages:
                last_news = time.monotonic()
                add(self._records(messages, headers))
                open_partitions = {p for p in open_partitions if self._position[p] < ends[p]}
            elif time.monotonic() - last_news > _STALLED_S:
                raise AuditImpossible(f"topic {self.topic}: nothing came for {_STALLED_S:.0f} s before its end")

    def close(self) -> None:
        self._consumer.close()

    def _records(self, messages: list, headers: bool) -> Iterator[Record]:  # type: ignore[type-arg]
        position = self._position
        for message in messages:
            error = message.error()
            partition, offset = message.partition(), message.offset()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise AuditImpossible(f"topic {self.topic}: {error.str()}")
                # Transaction markers take offsets but are no records: only the end-of-partition event passes them.
                position[partition] = max(position[partition], offset)
                continue
            position[partition] = offset + 1
            if headers:
                yield (partition, offset, message.value(), message.headers(), message.timestamp()[1])  # type: ignore[misc]
            else:
                yield (partition, offset, message.value())  # type: ignore[misc]

    def _offsets(self, spec: OffsetSpec, isolation: IsolationLevel) -> dict[int, int]:
        asked = {TopicPartition(self.topic, p): spec for p in self._partitions}
        futures = self._admin.list_offsets(asked, isolation_level=isolation, request_timeout=15)
        return {tp.partition: future.result().offset for tp, future in futures.items()}


class Auditor:
    """Reads and judges a deployment's topics.

    Parameters
    ----------
    span : of the raw topic, by partition (first offset, offset after the last); None: all that is there.
    """

    def __init__(
        self,
        deployment: Deployment,
        rules: Rules,
        progress: Progress = lambda _: None,
        span: dict[int, tuple[int, int]] | None = None,
    ) -> None:
        topics = deployment.topics
        self._progress = progress
        self._intake = Intake(rules)
        try:
            admin = make_admin(deployment)
            self._raw = TopicFeed(deployment, admin, topics.raw.name)
            self._outputs = {
                role: TopicFeed(deployment, admin, getattr(topics, role).name)
                for role in ("aligned", "accounting", "invalid_events", "late_events", "windows")
            }
        except KafkaException as error:
            raise AuditImpossible(f"no answer from Kafka: {error.args[0].str()}") from None
        if span is not None:
            self._raw.keep_to(span)
        self._add = {
            "aligned": self._intake.add_aligned,
            "accounting": self._intake.add_accounting,
            "invalid_events": self._intake.add_invalid,
            "late_events": self._intake.add_late,
            "windows": self._intake.add_windows,
        }

    def run(self, ledger_files: tuple[Path, ...] = (), wait_s: float = 0.0) -> Report:
        """Audit what is in the topics now; with `wait_s`, let the job catch up with the raw topic for so long.

        The snapshot of the raw topic is taken first, once: a record that comes later is not part of the question.
        """
        deadline = time.monotonic() + wait_s
        _, self._intake.reports_before = self._outputs["accounting"].ends()
        ends, _ = self._raw.ends()
        self._progress(f"reading {self._raw.topic}")
        self._raw.read_to(ends, self._intake.add_raw, headers=True)
        ranges = {p: (self._raw.first[p], ends[p]) for p in ends}
        ledger = read_ledgers(ledger_files, self._intake) if ledger_files else None
        judged: object = None
        report: Report | None = None
        while True:
            state, open_transactions = self._read_outputs()
            waiting = unclassified(self._intake, ranges) if wait_s else 0
            over = time.monotonic() >= deadline
            if over or (waiting == 0 and open_transactions == 0 and state != judged):
                self._progress("judging")
                report = self._judge(ranges, ledger, open_transactions)
                judged = state
                if report.ok or over:
                    return report
            self._progress(f"waiting: {waiting:,} readings without a class, {open_transactions} open transactions")
            time.sleep(_POLL_S)

    def close(self) -> None:
        for feed in (self._raw, *self._outputs.values()):
            feed.close()

    def _judge(self, ranges: dict[int, tuple[int, int]], ledger: Ledger | None, open_transactions: int) -> Report:
        return judge(self._intake, ranges, ledger, open_transactions)

    def _read_outputs(self) -> tuple[object, int]:
        """Read on to the last stable offsets. Returns where that was, and how many partitions have more to come."""
        state, open_transactions = [], 0
        for role, feed in self._outputs.items():
            stable, high = feed.ends()
            open_transactions += sum(stable[p] < high[p] for p in stable)
            self._progress(f"reading {feed.topic}")
            feed.read_to(stable, self._add[role])
            state.append((role, stable))
        return state, open_transactions
