"""Recomputes the windows that late readings missed: from the topics, into the windows topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

import msgspec

from jobs.broker.snapshot import CLOCKS_MS, read_topic
from jobs.broker.transactions import RECOMPUTE, Outgoing, TransactionalWriter, wait_until_decided
from jobs.export.select import Record, read_records
from jobs.pipeline.config import Deployment
from jobs.replay.late import Choice, Missed, decode_aligned, decode_miss
from jobs.replay.recompute import Plan, plan_rows
from jobs.validation.rows import WINDOW_ROWS, final_rows
from udfs.rules import Rules

_BATCH = 1_000  # rows in a transaction
_END_MS = 2**62

T = TypeVar("T")


def recompute_late(deployment: Deployment, rules: Rules, choice: Choice, wait_s: float, *, dry_run: bool) -> Plan:
    """Recompute, and publish but for a dry run.

    Only one process does so at a time: it takes the writer first and looks at the topics afterwards, so that a run that
    was killed, or that goes on elsewhere, publishes nothing twice.

    Parameters
    ----------
    wait_s : how long a transaction of the job may stay open that may hold what the letters speak of.

    Raises
    ------
    UnreadableTopic, UndeliveredRecords : a topic or the broker is away, a transaction stays open, or another run has
        taken over.
    UnreadableRecord : a row is no JSON object.
    """
    topics = deployment.topics
    writer = None if dry_run else TransactionalWriter(deployment, RECOMPUTE)
    missed = Missed(choice)
    for topic in (topics.late_events.name, topics.accounting.name):
        missed.add(_decoded(deployment, topic, decode_miss))
    if not missed.places:
        return Plan()
    # A letter can be visible before the aligned reading that it is about, and before the job's last word on a window.
    wait_until_decided(deployment, (topics.aligned.name, topics.windows.name), wait_s)
    # A record is written after its event time, but for what clocks may be ahead and behind.
    since_ms = max(0, missed.earliest_ms - deployment.time.max_future - CLOCKS_MS)
    wanted = missed.by_key(_decoded(deployment, topics.aligned.name, decode_aligned, since_ms), rules)
    published = final_rows(_rows(deployment, since_ms, set(wanted)), WINDOW_ROWS, -_END_MS, _END_MS)
    aligned = _decoded(deployment, topics.aligned.name, decode_aligned, since_ms)
    plan = plan_rows(wanted, aligned, published, rules, topics.raw.name, missed.watermark_ms)
    plan.not_aligned = missed.readings - len(set().union(*wanted.values()))
    if writer is not None:
        rest = iter(plan.records)
        while batch := [Outgoing(value, key) for key, value in islice(rest, _BATCH)]:
            writer.write(topics.windows.name, batch)
    return plan


def _rows(deployment: Deployment, since_ms: int, wanted: set[tuple[object, ...]]) -> Iterator[Record]:
    topic = deployment.topics.windows.name
    for row in read_records(message.value() for message in read_topic(deployment, topic, since_ms)):
        if tuple(row[name] for name in WINDOW_ROWS.key) in wanted:
            yield row


def _decoded(
    deployment: Deployment, topic: str, decode: Callable[[bytes], T], since_ms: int | None = None
) -> Iterator[T]:
    for message in read_topic(deployment, topic, since_ms):
        try:
            yield decode(message.value() or b"")
        except msgspec.DecodeError:  # the audit names it
            continue
