"""Checks of checkpoints and of the time-outs that hang on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jobs.doctor.facts import Snapshot
from jobs.doctor.finding import Finding, Rank
from jobs.pipeline.durations import format_duration
from jobs.planning.checkpoints import transaction_timeout_ms
from jobs.planning.figures import show_ms

_NEAR_TIMEOUT: Final = 0.5


def failing_checkpoints(facts: Snapshot) -> Iterator[Finding]:
    found = facts.job.checkpoints if facts.job else None
    if found is not None and found.failed_in_a_row:
        yield Finding(
            Rank.CANNOT_COMMIT,
            "failing_checkpoints",
            f"the last {found.failed_in_a_row} checkpoints failed: {found.last_failure or 'no reason recorded'}",
            "exactly-once results are not committed meanwhile: mend the storage of execution.checkpointing.dir, or "
            f"raise execution.checkpointing.timeout ({format_duration(found.timeout_ms)}) if they expire",
        )


def long_checkpoints(facts: Snapshot) -> Iterator[Finding]:
    found = facts.job.checkpoints if facts.job else None
    if found is None:
        return
    longest_ms = max(found.last_duration_ms or 0, found.running_for_ms or 0)
    limit_ms = min(found.timeout_ms * _NEAR_TIMEOUT, max(found.interval_ms, 1_000) * 3)
    if longest_ms > limit_ms:
        yield Finding(
            Rank.SLOW,
            "long_checkpoints",
            f"a checkpoint takes {show_ms(longest_ms)} at an interval of {format_duration(found.interval_ms)}",
            "barriers wait behind back-pressured records: remove that first; else a longer interval, quicker storage, "
            "or execution.checkpointing.incremental: true",
        )


def no_checkpoints(facts: Snapshot) -> Iterator[Finding]:
    found = facts.job.checkpoints if facts.job else None
    if found is not None and not 0 < found.interval_ms < 2**62:
        yield Finding(
            Rank.CANNOT_WORK,
            "no_checkpoints",
            "checkpoints are switched off, so exactly-once results are never committed",
            "set execution.checkpointing.interval",
        )


def transaction_timeouts(facts: Snapshot) -> Iterator[Finding]:
    timeout_ms, longest_ms = facts.settings.transaction_timeout_ms, facts.broker.transaction_max_ms
    shown = format_duration(timeout_ms)
    if longest_ms is not None and timeout_ms > longest_ms:
        yield Finding(
            Rank.CANNOT_WORK,
            "transaction_timeout_above_broker",
            f"kafka.transaction_timeout = {shown} is above the broker's transaction.max.timeout.ms "
            f"({format_duration(longest_ms)}), so the sinks cannot start",
            f"lower it to {format_duration(longest_ms)}, or raise the broker's maximum",
        )
    checkpoints = facts.job.checkpoints if facts.job else None
    if checkpoints is None or not 0 < checkpoints.interval_ms < 2**62:
        return
    # Without what checkpoints take: where they take long, that is the finding.
    needed_ms = transaction_timeout_ms(checkpoints.interval_ms, 0, facts.cluster.restart_ms)
    if timeout_ms < needed_ms:
        interval, restart = format_duration(checkpoints.interval_ms), format_duration(facts.cluster.restart_ms)
        yield Finding(
            Rank.CANNOT_COMMIT,
            "transaction_timeout_too_short",
            f"kafka.transaction_timeout = {shown} does not outlast a checkpoint interval of {interval} and a "
            f"restart of up to {restart}: the broker may abort what a checkpoint counts as written, which is loss",
            f"set it to at least {format_duration(needed_ms)}",
        )
