"""What comes to a grid's shard, and what becomes of it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from udfs.grid.row import Content
from udfs.grid.series import Origin

GRIDDED, MERGED, LATE = "gridded", "merged", "late"  # classes of readings that have a place and a metric


class Arrival(NamedTuple):
    """A reading on its way to the place; the names of the metrics that take it, the first of which counts it."""

    place: str
    metrics: tuple[str, ...]
    time_ms: int
    origin: Origin
    tie: int
    value: float
    correction_ms: int = 0


class Row(NamedTuple):
    """A row to be published."""

    place: str
    instant_ms: int
    revision: int
    timing: str  # `on_time`, `unsettled` (a straggler may still come in time) or `late` (changed by one that was late)
    content: Content
    watermark_ms: int


class Gridded(NamedTuple):
    """What a frame or a timer did."""

    rows: list[Row]
    late: list[tuple[int, int]]  # (index of the arrival, watermark)
    counts: Counter[tuple[str, str]]  # by source and class; a reading that is merged afterwards takes its count along
    timers_ms: list[int]
