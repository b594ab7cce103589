"""What checkpoints cost, how often to take them, and how long Kafka's transactions must last.

A full checkpoint of S bytes takes S / write rate seconds, so at an interval I it takes that share of the time. An
incremental one writes what has come since the last: where an entry lives for T, a share I / T of the state. Now and
then RocksDB merges its files and an incremental checkpoint writes much more; so intervals below a minute have to bear
full ones. State so large that its full checkpoints fit no interval gets a minute, and savepoints last.

Example: 322 MB written in 1.2 s cost 12, 4, 2 and 0.4 % at 10 s, 30 s, 60 s and 5 min. 30 s is the shortest within a
budget of 5 %. Where entries live for 10 minutes, 30 s of them are 16.1 MB, in 0.06 s: 0.2 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

from jobs.pipeline.durations import format_duration
from jobs.planning.constants import BROKER_TRANSACTION_MAX_MS, WRITE_BYTES_PER_S
from jobs.planning.figures import show, show_bytes, show_ms
from jobs.planning.inputs import Inputs
from jobs.planning.sheet import Sheet
from jobs.planning.state import Part

INTERVALS_MS: Final = (10_000, 30_000, 60_000, 300_000)
_MINUTE_MS: Final = 60_000
_RESERVE: Final = 1.25  # a restart on a busy machine


def checkpoint_ms(size_bytes: float, write_bytes_per_s: float) -> float:
    return size_bytes / write_bytes_per_s * 1_000


def cost(size_bytes: float, interval_ms: float, write_bytes_per_s: float) -> float:
    """Share of the time in which a checkpoint is being written, 0 to 1."""
    return min(1.0, checkpoint_ms(size_bytes, write_bytes_per_s) / interval_ms)


def changed_bytes(parts: Sequence[Part], interval_ms: float) -> float:
    """What an incremental checkpoint writes."""
    return sum(part.size_bytes * min(1.0, interval_ms / part.lifetime_ms) for part in parts)


def choose_interval_ms(parts: Sequence[Part], budget: float, write_bytes_per_s: float) -> int:
    """The shortest interval whose full checkpoints are within the budget; one minute if incremental ones are there."""
    size = sum(part.size_bytes for part in parts)
    for interval_ms in INTERVALS_MS:
        written = size if interval_ms < _MINUTE_MS else min(size, changed_bytes(parts, interval_ms))
        if cost(written, interval_ms, write_bytes_per_s) <= budget:
            return interval_ms
    return INTERVALS_MS[-1]


def transaction_timeout_ms(interval_ms: float, checkpoint_duration_ms: float, restart_ms: float) -> int:
    """Whole minutes that outlast an interval, its checkpoint and a restart, with a quarter in reserve."""
    return ceil((interval_ms + checkpoint_duration_ms + restart_ms) * _RESERVE / _MINUTE_MS) * _MINUTE_MS


def plan_checkpoints(inputs: Inputs, parts: Sequence[Part], sheet: Sheet) -> None:
    size, rate = sheet["state_size"], inputs.write_rate
    took = sheet.add(
        "full_checkpoint",
        checkpoint_ms(size, rate),
        "ms",
        "state size / write rate",
        f"{show_bytes(size)} / {show_bytes(rate)}/s",
        WRITE_BYTES_PER_S,
    )
    for interval_ms in INTERVALS_MS:
        shown = format_duration(interval_ms)
        sheet.add(
            f"cost_at_{shown.replace(' ', '_')}",
            100 * cost(size, interval_ms, rate),
            "percent",
            "full checkpoint / interval",
            f"{show_ms(took)} / {shown}",
        )
    interval_ms = choose_interval_ms(parts, inputs.checkpoint_budget, rate)
    sheet.add(
        "checkpoint_interval",
        interval_ms,
        "ms",
        "shortest interval whose full checkpoints are within the budget; from 1 min on, incremental ones suffice",
        f"{show(100 * cost(size, interval_ms, rate), 'percent')}, budget {100 * inputs.checkpoint_budget:g} %",
    )
    changed = sheet.add(
        "incremental_checkpoint",
        changed_bytes(parts, interval_ms),
        "bytes",
        "sum of state x interval / lifetime of its entries",
        " + ".join(
            f"{show_bytes(p.size_bytes)} x {interval_ms / 1_000:g} s / {p.lifetime_ms / 1_000:,g} s" for p in parts
        ),
    )
    sheet.add(
        "incremental_cost",
        100 * cost(changed, interval_ms, rate),
        "percent",
        "incremental checkpoint / write rate / interval",
        f"{show_bytes(changed)} / {show_bytes(rate)}/s / {interval_ms / 1_000:g} s",
    )
    restart_ms = inputs.recovery.restart
    needed = transaction_timeout_ms(interval_ms, took, restart_ms)
    sheet.add(
        "transaction_timeout",
        min(needed, BROKER_TRANSACTION_MAX_MS.value),
        "ms",
        "(interval + full checkpoint + longest restart) x 1.25, in whole minutes, up to the broker's maximum",
        f"({interval_ms / 1_000:g} s + {show_ms(took)} + {restart_ms / 1_000:g} s) x {_RESERVE}",
        BROKER_TRANSACTION_MAX_MS,
    )
    if needed > BROKER_TRANSACTION_MAX_MS.value:
        sheet.note("transaction timeout: raise the broker's transaction.max.timeout.ms, or make restarts shorter")
