"""Checks of the broker and its topics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jobs.doctor.facts import Snapshot
from jobs.doctor.finding import Finding, Rank

REPLICAS: Final = 3


def broker_away(facts: Snapshot) -> Iterator[Finding]:
    if facts.broker.problem:
        yield Finding(
            Rank.UNREACHABLE,
            "broker_away",
            f"no answer from Kafka at {facts.broker.servers}: {facts.broker.problem}",
            "start it (`meridian up`), or correct kafka.bootstrap_servers and kafka.properties",
        )


def unfit_topics(facts: Snapshot) -> Iterator[Finding]:
    lines = [line for topic in facts.broker.topics for line in topic.unfit]
    if lines:
        yield Finding(Rank.CANNOT_WORK, "unfit_topics", lines[0], _also(lines[1:]))


def replication(facts: Snapshot) -> Iterator[Finding]:
    if not facts.settings.is_production:
        return
    few = [t for t in facts.broker.topics if t.replication is not None and t.replication < REPLICAS]
    if few:
        names = ", ".join(f"{t.name} ({t.replication})" for t in few)
        yield Finding(
            Rank.RISK,
            "replication",
            f"topics with fewer than {REPLICAS} replicas: {names}; one broken broker loses or stops them",
            f"`replication: {REPLICAS}` in the deployment, and reassign the partitions (kafka-reassign-partitions)",
        )
    weak = [t for t in facts.broker.topics if t not in few and t.min_insync is not None and t.min_insync < 2]
    if weak:
        yield Finding(
            Rank.RISK,
            "min_insync",
            f"min.insync.replicas is 1 for {', '.join(t.name for t in weak)}: a write may exist once only",
            "set min.insync.replicas=2 for these topics",
        )


def _also(lines: list[str]) -> str:
    return "as said, then ask again" + (f"; besides: {' | '.join(lines)}" if lines else "")
