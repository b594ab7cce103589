"""Checks of machines: clocks, memory, disks, and whether client and workers run the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jobs.doctor.facts import Snapshot
from jobs.doctor.finding import Finding, Rank
from jobs.planning.figures import show_bytes, show_ms

_CLOCK_MS: Final = 1_000
_LEAST_FREE: Final = 0.1
_LEAST_MEMORY: Final = 0.05


def clocks(facts: Snapshot) -> Iterator[Finding]:
    ahead_ms = facts.cluster.clock_ahead_ms
    if ahead_ms is not None and abs(ahead_ms) > _CLOCK_MS:
        side = "ahead of" if ahead_ms > 0 else "behind"
        yield Finding(
            Rank.CLOCK, "clock_of_cluster", f"the JobManager's clock is {show_ms(abs(ahead_ms))} {side} this machine's",
            "synchronise both by NTP (chrony, systemd-timesyncd)",
        )  # fmt: skip
    brokers = [p.newest_append_ms for p in facts.broker.partitions if p.newest_append_ms is not None]
    if brokers and max(brokers) - facts.now_ms > _CLOCK_MS:
        yield Finding(
            Rank.CLOCK,
            "clock_of_broker",
            f"the broker's stamps are {show_ms(max(brokers) - facts.now_ms)} ahead of this machine's clock",
            "synchronise both by NTP: the event-time guard measures against the broker's clock",
        )
    if facts.settings.is_production and facts.machine.clock_synchronised is False:
        error_ms = facts.machine.clock_error_ms
        unsure = f", its error may be {show_ms(error_ms)}" if error_ms is not None else ""
        yield Finding(
            Rank.RISK,
            "clock_not_synchronised",
            f"this machine's clock is not synchronised{unsure}",
            "switch NTP on: `timedatectl set-ntp true`, or chrony",
        )


def memory(facts: Snapshot) -> Iterator[Finding]:
    machine = facts.machine
    if machine.memory_total and machine.memory_available < _LEAST_MEMORY * machine.memory_total:
        yield Finding(
            Rank.RESOURCES,
            "memory",
            f"only {show_bytes(machine.memory_available)} of {show_bytes(machine.memory_total)} memory are available",
            "fewer slots or processes on this machine; `meridian plan` says what the job needs",
        )


def disks(facts: Snapshot) -> Iterator[Finding]:
    for folder in facts.machine.folders:
        if folder.waiting:
            yield Finding(
                Rank.WAITING,
                "spool",
                f"{folder.waiting:,} records wait on disk in {folder.path}: a bridge cannot deliver, or is not running",
                "look at the way from the bridge to Kafka; they are sent when it is back",
            )
        if folder.free_bytes < _LEAST_FREE * folder.total_bytes:
            yield Finding(
                Rank.RESOURCES,
                "disk",
                f"{folder.path}: {show_bytes(folder.free_bytes)} of {show_bytes(folder.total_bytes)} are free",
                "shorten retention, move it to a larger disk, or remove old savepoints",
            )


def same_jars(facts: Snapshot) -> Iterator[Finding]:
    if not facts.cluster.jars:
        return
    absent = sorted(facts.settings.wanted_jars - facts.cluster.jars)
    if absent:
        other = sorted(jar for jar in facts.cluster.jars if any(_product(jar) == _product(name) for name in absent))
        has = f"; it has {', '.join(other)}" if other else ""
        yield Finding(
            Rank.MISMATCH,
            "jar_mismatch",
            f"the cluster's classpath lacks {', '.join(absent)}{has}",
            "put the jars of flink-conf/jars.lock into the cluster's lib (`meridian jars` fetches them), restart it",
        )


def same_python(facts: Snapshot) -> Iterator[Finding]:
    client, worker, version = facts.pythons.client, facts.pythons.worker, facts.cluster.flink_version
    if version and client.get("apache-flink") not in (None, version):
        yield Finding(
            Rank.MISMATCH,
            "flink_mismatch",
            f"the cluster runs Flink {version}, the client apache-flink {client['apache-flink']}",
            "use the same version on both sides",
        )
    if facts.pythons.problem:
        yield Finding(
            Rank.MISMATCH,
            "worker_python",
            f"the workers' interpreter {facts.pythons.worker_path} cannot be used: {facts.pythons.problem}",
            "set python.executable to an environment made from requirements.lock",
        )
    differing = [name for name in client if worker and worker.get(name) != client[name]]
    if differing:
        pairs = ", ".join(f"{name} {client[name]} here, {worker.get(name, 'absent')} there" for name in differing)
        yield Finding(
            Rank.MISMATCH,
            "python_mismatch",
            f"client and workers differ: {pairs}",
            f"make {facts.pythons.worker_path or 'the workers environment'} from the same requirements.lock",
        )


def _product(jar: str) -> str:
    """A jar's name without its version."""
    return "-".join(part for part in jar.removesuffix(".jar").split("-") if not part[:1].isdigit())
