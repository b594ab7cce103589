"""What the policy decides on: one look at a running job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Final, NamedTuple

import orjson

from jobs.broker.topic_records import TopicRecord

FRESH_MS: Final = 60_000
LEAST_READINGS: Final = 20
"""A median of fewer says nothing."""


class Figures(NamedTuple):
    """One look; what is None could not be had.

    Attributes
    ----------
    at_ms : when it was, epoch ms.
    up_ms : since the job was started, by hand, by an upgrade or by scaling.
    is_settled : all tasks run, and none has failed lately.
    slots : that are free or the job's own.
    pending : records of the raw topic that wait.
    arriving_per_s : records that the raw topic gets.
    busy_ms_per_s : at work, of the busiest subtask, 0 to 1,000.
    p50_ms : by stream, from raw to aligned topic, of what was written in the last minute; none of streams with too few.
    """

    at_ms: int
    up_ms: int
    is_settled: bool
    parallelism: int
    slots: int
    pending: int | None = None
    arriving_per_s: float | None = None
    busy_ms_per_s: float | None = None
    p50_ms: Mapping[str, float] = {}


def medians_ms(aligned: Iterable[TopicRecord], now_ms: int) -> dict[str, float]:
    """The median time from a raw record's append to the writing of its aligned one, by stream.

    It lacks the wait for the commit, up to a checkpoint interval, which no parallelism shortens. The stamps are of the
    broker and of the TaskManagers: their clocks have to agree (`meridian doctor`).

    Parameters
    ----------
    aligned : records of the aligned topic; what was written over a minute before `now_ms` is left out.
    """
    found: dict[str, list[int]] = {}
    for record in aligned:
        if record.timestamp_ms >= now_ms - FRESH_MS:
            reading = orjson.loads(record.value)
            found.setdefault(reading["stream"], []).append(record.timestamp_ms - reading["append_time_ms"])
    return {stream: float(median(times)) for stream, times in found.items() if len(times) >= LEAST_READINGS}
