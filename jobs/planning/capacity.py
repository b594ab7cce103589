"""Parallelism, partitions, shards, memory, retention, and how long a backlog takes.

The job must read faster than readings come, or an outage is never made up: a backlog of B readings that has to be gone
within R needs the mean rate and B / R besides. Beyond two cores nothing was measured; capacity is taken as linear.
"""

from __future__ import annotations

from math import ceil, inf

from jobs.pipeline.durations import format_duration
from jobs.planning.constants import (
    CPU_S_PER_MILLION,
    JOBMANAGER_BYTES,
    SHARDS_PER_SUBTASK,
    SLOTS,
    SUBTASK_READINGS_PER_S,
    TASKMANAGER_BYTES,
    WORKER_BYTES,
)
from jobs.planning.figures import show, show_bytes
from jobs.planning.inputs import Inputs
from jobs.planning.sheet import Sheet
from udfs.rules import DAY_MS


def power_of_two(value: float) -> int:
    """The smallest power of two that is not below."""
    return 1 << max(0, ceil(value) - 1).bit_length()


def recovery_ms(rate: float, capacity: float, down_ms: float) -> float:
    """How long a backlog of so much downtime takes to drain while readings keep coming; inf: it never does."""
    return rate * down_ms / (capacity - rate) if capacity > rate else inf


def memory_bytes(slots: int, taskmanagers: int) -> float:
    """All Flink processes with their Python workers, under a backlog."""
    return JOBMANAGER_BYTES.value + taskmanagers * TASKMANAGER_BYTES.value + slots * WORKER_BYTES.value


def plan_parallelism(inputs: Inputs, sheet: Sheet) -> None:
    rate = sheet.add(
        "rate",
        inputs.rate,
        "readings/s",
        "sensors x metrics / period",
        f"{inputs.sensors:,} x {inputs.metrics} / {format_duration(inputs.period)}",
    )
    goal = inputs.recovery
    for_backlog = rate * (1 + goal.outage / goal.within)
    needed = sheet.add(
        "capacity_needed",
        max(rate * inputs.peak, for_backlog),
        "readings/s",
        "the larger of rate x peak and rate x (1 + outage / within)",
        f"{show(rate, '')} x {inputs.peak:g}, "
        f"{show(rate, '')} x (1 + {format_duration(goal.outage)} / {format_duration(goal.within)})",
    )
    parallelism = sheet.add(
        "parallelism",
        power_of_two(needed / SUBTASK_READINGS_PER_S.value),
        "",
        "capacity / readings/s of a subtask, rounded up to a power of two, so that it divides the partitions",
        f"{show(needed, '')} / {SUBTASK_READINGS_PER_S.value:,.0f}",
        SUBTASK_READINGS_PER_S,
    )
    largest = sheet.add(
        "max_parallelism",
        power_of_two(parallelism * inputs.growth),
        "",
        "parallelism x growth, rounded up to a power of two",
        f"{parallelism:g} x {inputs.growth:g}",
    )
    sheet.add("partitions", largest, "", "max parallelism: each subtask reads as many, at any scale", f"{largest:g}")
    sheet.add(
        "shards",
        SHARDS_PER_SUBTASK.value * largest,
        "",
        "shards per subtask x max parallelism",
        f"{SHARDS_PER_SUBTASK.value:g} x {largest:g}",
        SHARDS_PER_SUBTASK,
    )
    sheet.add(
        "cores",
        ceil(needed * CPU_S_PER_MILLION.value / 1e6),
        "",
        "capacity x CPU-s per reading, without the broker's",
        f"{show(needed, '')} x {CPU_S_PER_MILLION.value:g} / 1,000,000",
        CPU_S_PER_MILLION,
    )


def plan_recovery(inputs: Inputs, sheet: Sheet) -> None:
    """After the checkpoints, since what came after the last one is read again."""
    rate, interval_ms = sheet["rate"], sheet["checkpoint_interval"]
    capacity = sheet["parallelism"] * SUBTASK_READINGS_PER_S.value
    for key, down_ms in (("burst_recovery", inputs.recovery.outage), ("restart_recovery", inputs.recovery.restart)):
        again_ms = down_ms + interval_ms
        took = recovery_ms(rate, capacity, again_ms)
        sheet.add(
            key,
            took,
            "ms",
            "rate x (down + checkpoint interval) / (capacity - rate)",
            f"{show(rate, '')} x {again_ms / 1_000:,g} s / ({capacity:,.0f} - {show(rate, '')})",
            SUBTASK_READINGS_PER_S,
        )
    if sheet["burst_recovery"] > inputs.recovery.within:
        sheet.note(
            f"an outage takes longer than {format_duration(inputs.recovery.within)} to make up: raise parallelism"
        )


def plan_resources(inputs: Inputs, sheet: Sheet) -> None:
    slots = int(sheet["parallelism"])
    taskmanagers = ceil(slots / SLOTS.value)
    sheet.add("taskmanagers", taskmanagers, "", "parallelism / slots of each", f"{slots} / {SLOTS.value:g}", SLOTS)
    sheet.add(
        "memory",
        memory_bytes(slots, taskmanagers),
        "bytes",
        "JobManager + TaskManagers + Python workers under a backlog",
        f"{show_bytes(JOBMANAGER_BYTES.value)} + {taskmanagers} x {show_bytes(TASKMANAGER_BYTES.value)}"
        f" + {slots} x {show_bytes(WORKER_BYTES.value)}",
        JOBMANAGER_BYTES,
        TASKMANAGER_BYTES,
        WORKER_BYTES,
    )
    goal = inputs.recovery
    kept_ms = sheet.add(
        "raw_retention",
        ceil((goal.longest_outage + goal.within) / DAY_MS) * DAY_MS,
        "ms",
        "longest outage + time to make it up, in whole days",
        f"{format_duration(goal.longest_outage)} + {format_duration(goal.within)}",
    )
    sheet.add(
        "raw_topic",
        inputs.rate * inputs.payload * kept_ms / 1_000 * inputs.replication,
        "bytes",
        "rate x payload x retention x replication, before compression",
        f"{show(inputs.rate, '')} x {show_bytes(inputs.payload)} x {kept_ms / 1_000:,.0f} s x {inputs.replication}",
    )
