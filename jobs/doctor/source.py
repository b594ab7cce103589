"""Checks of what comes in: the partition that holds the watermark, silent ones, backlog, clocks of producers, grids."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Final

from jobs.doctor.facts import Partition, Snapshot
from jobs.doctor.finding import Finding, Rank
from jobs.pipeline.durations import format_duration
from jobs.planning.figures import show_ms

_BEHIND_MS: Final = 60_000  # besides the out-of-orderness
_CLOCK_MS: Final = 2_000
_BACKLOG_RECORDS: Final = 10_000
_SHOWN: Final = 4


def holds_watermark(facts: Snapshot) -> Iterator[Finding]:
    """A partition that still gets data, with times far behind those of the others."""
    flowing = [p for p in facts.broker.partitions if not _is_silent(p, facts) and p.newest_event_ms is not None]
    if len(flowing) < 2:
        return
    slowest = min(flowing, key=_event_ms)
    behind_ms = median(_event_ms(p) for p in flowing if p is not slowest) - _event_ms(slowest)
    if behind_ms > facts.settings.out_of_orderness_ms + _BEHIND_MS:
        yield Finding(
            Rank.STALLED,
            "holds_watermark",
            f"raw partition {slowest.number} holds the watermark: its newest event time is {show_ms(behind_ms)} "
            "behind the other partitions', and it still gets data",
            "look at who writes to it (a wrong clock, a replay into a live topic): the windows of all others wait",
        )


def idle_partitions(facts: Snapshot) -> Iterator[Finding]:
    filled = [p for p in facts.broker.partitions if p.newest_append_ms is not None]
    silent = [p for p in facts.broker.partitions if _is_silent(p, facts)]
    if not silent:
        return
    shown = format_duration(facts.settings.idle_after_ms)
    if not filled or len(silent) == len(facts.broker.partitions):
        since = max((p.newest_append_ms or 0 for p in filled), default=0)
        when = f"for {show_ms(facts.now_ms - since)}" if since else "yet"
        yield Finding(
            Rank.STALLED, "idle_source", f"nothing has come into the raw topic {when}",
            "look at bridges and producers; windows stay open until something comes, or `meridian audit --close`",
        )  # fmt: skip
        return
    yield Finding(
        Rank.WAITING,
        "idle_partition",
        f"raw partitions without data for more than {shown}: {', '.join(str(p.number) for p in silent)}; "
        "they are left out of the watermark",
        "raise `time.idle_after` if they are only slow, or spread the keys: what comes there later may be late",
    )


def backlog(facts: Snapshot) -> Iterator[Finding]:
    pending = facts.job.pending_records if facts.job else None
    if pending is not None and pending > _BACKLOG_RECORDS:
        yield Finding(
            Rank.WAITING,
            "backlog",
            f"{pending:,} records wait in the raw topic",
            "it drains by itself if readings come slower than the job reads; `meridian plan` says how long it takes",
        )


def producer_clocks(facts: Snapshot) -> Iterator[Finding]:
    """A stamp of a bridge that is later than the broker's, which came after it: one of both clocks is wrong."""
    ahead = [p for p in facts.broker.partitions if p.ingest_ahead_ms is not None and p.ingest_ahead_ms > _CLOCK_MS]
    if ahead:
        worst = max(ahead, key=lambda p: p.ingest_ahead_ms or 0)
        yield Finding(
            Rank.CLOCK,
            "clock_of_producer",
            f"readings in raw partition {worst.number} were stamped {show_ms(worst.ingest_ahead_ms or 0)} later than "
            "the broker took them: the clocks of bridge and broker differ by at least that",
            "synchronise both by NTP; `time.max_future` refuses readings that are too far ahead",
        )


def missing_grids(facts: Snapshot) -> Iterator[Finding]:
    missing = facts.broker.without_grid
    if missing:
        crs, grids = next(iter(missing.items()))
        more = f" and {len(missing) - 1} more CRSs" if len(missing) > 1 else ""
        yield Finding(
            Rank.ACCURACY,
            "missing_grids",
            f"readings in {crs}{more} are transformed without the best grid ({', '.join(grids[:_SHOWN])})",
            "put the grids into the workers' PROJ_DATA (`projsync --file NAME`), or set PROJ_NETWORK=ON; accuracy_m "
            "says what it costs",
        )


def _is_silent(partition: Partition, facts: Snapshot) -> bool:
    newest = partition.newest_append_ms
    return newest is None or facts.now_ms - newest > facts.settings.idle_after_ms


def _event_ms(partition: Partition) -> int:
    return partition.newest_event_ms or 0
