"""All checks, and the order in which their findings are told."""

from __future__ import annotations

from typing import Final

from jobs.doctor import checkpoints, job, source, surroundings, topics
from jobs.doctor.facts import Snapshot
from jobs.doctor.finding import Check, Finding

CHECKS: Final[tuple[Check, ...]] = (
    job.cluster_away,
    topics.broker_away,
    topics.unfit_topics,
    checkpoints.transaction_timeouts,
    checkpoints.no_checkpoints,
    job.too_few_slots,
    surroundings.same_jars,
    surroundings.same_python,
    checkpoints.failing_checkpoints,
    job.job_absent,
    job.job_failing,
    surroundings.clocks,
    source.producer_clocks,
    surroundings.memory,
    job.garbage_collection,
    surroundings.disks,
    job.refused_readings,
    job.skewed_keys,
    source.holds_watermark,
    source.idle_partitions,
    job.back_pressure,
    checkpoints.long_checkpoints,
    source.backlog,
    source.missing_grids,
    topics.replication,
)


def diagnose(facts: Snapshot) -> list[Finding]:
    """What is wrong, the likeliest cause first."""
    found = [finding for check in CHECKS for finding in check(facts)]
    return sorted(found, key=lambda finding: -finding.rank)
