"""Checks of the job and its cluster: does it run, and what holds it up?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jobs.doctor.facts import Operator, Snapshot
from jobs.doctor.finding import Finding, Rank

BACKPRESSURE_MS_PER_S: Final = 100.0
_BUSY_MS_PER_S: Final = 800.0
_SKEW: Final = 1.6  # of the mean; two subtasks: 80 % and 20 %
_SKEW_BYTES: Final = 100_000  # less than that says nothing
_REFUSED_SHARE: Final = 0.1
_REFUSED_LEAST: Final = 100  # fewer say nothing
_GC_MS_PER_S: Final = 100.0
_FULL: Final = 0.9


def cluster_away(facts: Snapshot) -> Iterator[Finding]:
    if facts.cluster.problem:
        yield Finding(
            Rank.UNREACHABLE, "cluster_away", facts.cluster.problem, "start it (`meridian up`), or give --rest-url"
        )


def job_absent(facts: Snapshot) -> Iterator[Finding]:
    if facts.cluster.problem or facts.job is not None:
        return
    yield Finding(
        Rank.FAILING,
        "job_absent",
        f"no job meridian-{facts.settings.name} is running",
        "`meridian submit`; with --from-savepoint when it had run before",
    )


def too_few_slots(facts: Snapshot) -> Iterator[Finding]:
    cluster, wanted = facts.cluster, facts.settings.parallelism
    waits = facts.job is not None and facts.job.state in {"CREATED", "RESTARTING"}
    if cluster.problem or (facts.job is not None and not waits):
        return
    if cluster.slots_free < wanted:
        yield Finding(
            Rank.CANNOT_WORK,
            "too_few_slots",
            f"the job needs {wanted} slots, and {cluster.slots_free} of {cluster.slots} are free",
            "start more TaskManagers, end other jobs, or lower `parallelism`",
        )


def job_failing(facts: Snapshot) -> Iterator[Finding]:
    job = facts.job
    if job is not None and job.is_failing:
        yield Finding(
            Rank.FAILING, "job_failing", f"the job keeps failing ({job.state}): {job.root_cause}",
            "mend that, then `meridian upgrade`, which goes on from the newest checkpoint",
        )  # fmt: skip


def back_pressure(facts: Snapshot) -> Iterator[Finding]:
    """The operator to blame is the first one behind a back-pressured one that is not held up itself."""
    operators = {o.name: o for o in facts.job.operators} if facts.job else {}
    blamed: dict[str, Operator] = {}
    for operator in operators.values():
        if operator.backpressured > BACKPRESSURE_MS_PER_S:
            blamed.setdefault(_slowest(operator, operators).name, operator)
    for name, waiting in blamed.items():
        culprit = operators[name]
        if culprit.name == waiting.name:
            continue
        is_busy = culprit.busy > _BUSY_MS_PER_S
        yield Finding(
            Rank.SLOW,
            "back_pressure",
            f"{waiting.name} waits {waiting.backpressured:.0f} ms of each second for {culprit.name}, "
            f"which is busy for {culprit.busy:.0f} ms",
            "raise `parallelism` (up to the partitions), or give the workers more CPU"
            if is_busy
            else "look at what it waits for: Kafka's answers if it is a sink, checkpoints, the machine's CPU",
        )


def skewed_keys(facts: Snapshot) -> Iterator[Finding]:
    for operator in facts.job.operators if facts.job else ():
        share, subtasks = _largest_share(operator.read_bytes), len(operator.read_bytes)
        if operator.is_keyed and share is not None and share * subtasks > _SKEW:
            yield Finding(
                Rank.UNEVEN,
                "skewed_keys",
                f"one of {subtasks} subtasks of {operator.name} gets {share:.0%} of its input",
                "few sensors send most readings, or there are few shards: look at who sends most; more `shards` "
                "(STATE-BREAKING), or a limit for that sensor in the bridge's `shedding`",
            )


def refused_readings(facts: Snapshot) -> Iterator[Finding]:
    job = facts.job
    if job is None or sum(job.refused.values()) <= max(_REFUSED_SHARE * job.accounted, _REFUSED_LEAST):
        return
    reason, count = max(job.refused.items(), key=lambda item: item[1])
    share = sum(job.refused.values()) / job.accounted
    yield Finding(
        Rank.REFUSED,
        "refused_readings",
        f"{share:.0%} of what has come since the job began is refused, most of it as {reason} ({count:,})",
        f"mend what `meridian replay-dlq list` shows, upgrade, then `meridian replay-dlq send --reason {reason}`",
    )


def garbage_collection(facts: Snapshot) -> Iterator[Finding]:
    for worker in facts.cluster.workers:
        if worker.gc_ms_per_s > _GC_MS_PER_S:
            yield Finding(
                Rank.RESOURCES,
                "garbage_collection",
                f"{worker.name} collects garbage for {worker.gc_ms_per_s:.0f} ms of each second",
                "raise taskmanager.memory.process.size, or have fewer slots in a TaskManager",
            )
        if worker.metaspace_max and worker.metaspace_used > _FULL * worker.metaspace_max:
            yield Finding(
                Rank.RESOURCES,
                "metaspace",
                f"{worker.name} has used {worker.metaspace_used / worker.metaspace_max:.0%} of its metaspace",
                "restart the TaskManager after many submissions, or raise taskmanager.memory.jvm-metaspace.size",
            )


def _slowest(operator: Operator, operators: dict[str, Operator]) -> Operator:
    """Downstream of a held-up operator, as far as the holding up goes."""
    behind = [operators[name] for name in operator.feeds if name in operators]
    held_up = [o for o in behind if o.backpressured > BACKPRESSURE_MS_PER_S]
    if held_up:
        return _slowest(max(held_up, key=lambda o: o.backpressured), operators)
    return max(behind, key=lambda o: o.busy, default=operator)


def _largest_share(amounts: tuple[int, ...]) -> float | None:
    total = sum(amounts)
    return max(amounts) / total if len(amounts) > 1 and total > _SKEW_BYTES else None
