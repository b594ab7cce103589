"""Sends the files of a cold store to the raw topic, so that whatever is killed, no reading is lost or aligned twice.

A file is marked as done after Kafka has acknowledged all of it. One whose sending was cut short is sent again as a
whole: the job's dedup drops the repeats. What is older than dedup remembers is looked for in the raw topic first.
"""

from __future__ import annotations

import fcntl
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaError

from jobs.bridge.envelope import shortened
from jobs.bridge.producer import BridgeProducer, is_refusal
from jobs.broker.snapshot import read_topic
from jobs.cold.fate import Fate, FateTeller
from jobs.cold.layout import ColdFile, Done, cold_files, recover
from jobs.cold.record import ColdRecord, Damaged, identity_of
from jobs.pipeline.config import Deployment
from udfs.rules import Rules

_BEFORE_MS: Final = 3_600_000  # how long before its diversion a record may have come to Kafka by another way
_IN_FLIGHT: Final = 50_000
_GIVE_UP_AFTER_S: Final = 60.0
_LOCK: Final = "_reingest.lock"


class ReingestFailed(Exception):  # noqa: N818
    """Kafka has not taken a file, or another process is at work; one line for a person."""


@dataclass
class Outcome:
    """What became of the files, or would; `had_before` are records that the raw topic held already."""

    files: int = 0
    sent: int = 0
    had_before: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    """For a person: one line for each file that is left, or has lost something."""


@dataclass
class Plan:
    """The files that can be sent, and which of their records dedup cannot tell from repeats."""

    files: list[ColdFile] = field(default_factory=list)
    beyond_horizon: set[bytes] = field(default_factory=set)
    outcome: Outcome = field(default_factory=Outcome)


def make_plan(store: Path, deployment: Deployment, rules: Rules, sends_refused: bool) -> Plan:
    """Look through all files that are not done, the oldest first, without Kafka.

    Parameters
    ----------
    sends_refused
        Also files that hold readings which the job would refuse by now: they become dead letters.
    """
    plan, teller = Plan(), FateTeller(rules, time.time_ns() // 1_000_000)
    topics = {deployment.topics.raw.name, deployment.topics.accounting.name}
    for file in cold_files(store):
        fates: Counter[Fate] = Counter()
        try:
            for record in file.records():
                if record.topic not in topics:
                    raise Damaged(f"{file.data}: of topic {record.topic}, which is none of this deployment")
                fate = teller.of(record)
                fates[fate] += 1
                if fate is Fate.BEYOND_HORIZON:
                    plan.beyond_horizon.add(record.identity)
        except Damaged as damaged:
            plan.outcome.problems.append(str(damaged))
            continue
        refused = ", ".join(f"{fates[fate]:,} {fate}" for fate in (Fate.TOO_OLD, Fate.MISPLACED) if fates[fate])
        if refused and not sends_refused:
            plan.outcome.problems.append(f"{file.data}: the job would refuse {refused} of {fates.total():,}")
            continue
        if file.manifest.damaged:
            plan.outcome.problems.append(f"{file.data}: {file.manifest.damaged:,} records had rotted and are lost")
        plan.files.append(file)
        plan.outcome.files += 1
        plan.outcome.fates.update(fates)
    return plan


def reingest(store: Path, deployment: Deployment, rules: Rules, sends_refused: bool, deletes: bool) -> Outcome:
    """Send all files that are not done, the oldest first.

    Parameters
    ----------
    sends_refused
        See `make_plan`.
    deletes
        Remove files that are done, now or before.

    Raises
    ------
    ReingestFailed, UnreadableTopic, ProducerFailed
    """
    with _alone(store):
        recover(store)
        plan = make_plan(store, deployment, rules, sends_refused)
        outcome = plan.outcome
        had = _in_raw(deployment, plan) if plan.beyond_horizon else set()
        producer = BridgeProducer(deployment.kafka, "meridian-cold", give_up_after_s=_GIVE_UP_AFTER_S)
        for file in plan.files:
            sent = _deliver(producer, (record for record in file.records() if record.identity not in had))
            had_before = file.manifest.records - sent
            file.mark_done(Done(time.time_ns() // 1_000_000, sent, had_before))
            outcome.sent += sent
            outcome.had_before += had_before
        if deletes:
            for file in cold_files(store, with_done=True):
                if file.done is not None:
                    file.delete()
    return outcome


def _in_raw(deployment: Deployment, plan: Plan) -> set[bytes]:
    """Which records the raw topic holds, of a reingest that was killed, or by another way."""
    since_ms = min(file.manifest.first_diverted_at_ms for file in plan.files) - _BEFORE_MS
    found = set()
    for message in read_topic(deployment, deployment.topics.raw.name, since_ms):
        headers: Any = message.headers() or []
        identity = identity_of({name: value or b"" for name, value in headers}, message.value() or b"")
        if identity in plan.beyond_horizon:
            found.add(identity)
    return found


def _deliver(producer: BridgeProducer, records: Iterator[ColdRecord]) -> int:
    """Send records and wait until Kafka has all of them; how many there were.

    Raises
    ------
    ReingestFailed, ProducerFailed
    """
    failures: list[str] = []

    def acknowledged(record: ColdRecord, error: KafkaError | None, _message: Any) -> None:
        if error is None:
            return
        if is_refusal(error) and "bridge_original_bytes" not in record.message.headers:
            send(record._replace(message=shortened(record.message, error.str())))
        else:
            failures.append(error.str())

    def send(record: ColdRecord) -> None:
        producer.send(record.topic, record.message, partial(acknowledged, record))

    count = 0
    for record in records:
        count += 1
        send(record)
        producer.poll()
        while producer.in_flight >= _IN_FLIGHT and not failures:
            producer.poll(0.1)
        if failures:
            break
    while producer.in_flight:
        producer.poll(0.1)
    if failures:
        raise ReingestFailed(f"Kafka has not taken all of it: {failures[0]}")
    return count


@contextmanager
def _alone(store: Path) -> Iterator[None]:
    """Two at once would send the same files."""
    with (store / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ReingestFailed(f"{store}: another reingest is at work") from None
        yield
