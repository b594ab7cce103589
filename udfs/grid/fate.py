"""What comes to a grid's shard, and what becomes of it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from udfs.grid.row import Content
from udfs.grid.series import Point

GRIDDED, MERGED, LATE = "gridded", "merged", "late"  # classes of readings that have a place and a metric

PARTLY_LATE = "partly_late"  # no class, but a note beside it


class Run(NamedTuple):
    """Readings of one sensor and metric on their way to a place, in order; the first of the metrics counts them."""

    place: str
    metrics: tuple[str, ...]
    points: list[Point]
    indices: list[int]  # of each one in its frame


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
    late: list[int]  # indices of readings all of whose rows are closed
    partly_late: list[tuple[int, int]]  # (index, time before which its rows are closed)
    counts: Counter[tuple[str, str]]  # by source and class; a reading that is merged afterwards takes its count along
    timers_ms: list[int]
    watermark_ms: int  # by which readings were judged
