"""Aligned readings folded into windows by sorts and reductions over arrays: no code of the job's windows is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.audit.intake import Intake
from udfs.rules import WindowDefinition


@dataclass(frozen=True)
class Fold:
    """Windows as columns, sorted by `code`."""

    code: NDArray[Any]
    count: NDArray[Any]
    mean: NDArray[Any]
    min: NDArray[Any]
    max: NDArray[Any]
    first_ms: NDArray[Any]
    last_ms: NDArray[Any]
    first: NDArray[Any]
    last: NDArray[Any]
    estimated_count: NDArray[Any]  # of all readings, where some stand for others
    estimated_mean: NDArray[Any]
    from_group: NDArray[Any]  # how many of its readings have it as their earliest window


class Coder(NamedTuple):
    """(window number, key, metric) as one number and back."""

    names: int
    least: int
    definition: WindowDefinition

    def encode(self, start_ms: NDArray[Any], key: NDArray[Any], metric: NDArray[Any]) -> NDArray[Any]:
        number = (start_ms - self.definition.offset_ms) // self.definition.slide_ms - self.least
        code: NDArray[Any] = (number * self.names + key) * self.names + metric
        return code

    def start_ms(self, code: NDArray[Any]) -> NDArray[Any]:
        return (code // self.names**2 + self.least) * self.definition.slide_ms + self.definition.offset_ms


def assign(event_ms: NDArray[Any], window: WindowDefinition) -> tuple[NDArray[Any], NDArray[Any]]:
    """(row, window start) of every window that holds a reading."""
    last = event_ms - (event_ms - window.offset_ms) % window.slide_ms
    rows, starts = [], []
    for back in range(-(-window.size_ms // window.slide_ms)):
        start = last - back * window.slide_ms
        holds = np.flatnonzero(start + window.size_ms > event_ms)
        rows.append(holds)
        starts.append(start[holds])
    return np.concatenate(rows), np.concatenate(starts)


def codes_of(
    intake: Intake, mine: NDArray[Any], row: NDArray[Any], start_ms: NDArray[Any], coder: Coder
) -> NDArray[Any]:
    """The code of the window of each pair of a reading and a start."""
    key = intake.aligned[coder.definition.key][mine][row].astype(np.int64)
    metric = intake.aligned["metric"][mine][row].astype(np.int64)
    return coder.encode(start_ms, key, metric)


def fold(
    intake: Intake,
    mine: NDArray[Any],
    row: NDArray[Any],
    start_ms: NDArray[Any],
    in_time: NDArray[Any],
    coder: Coder,
) -> Fold:
    """Fold pairs of a reading and a window; those that were not in time are counted for no `from_group`."""
    event_ms, value = intake.aligned["event_ms"][mine][row], intake.aligned["value"][mine][row]
    earliest = np.full(len(mine), np.iinfo(np.int64).max)
    np.minimum.at(earliest, row[in_time], start_ms[in_time])
    is_earliest = in_time & (earliest[row] == start_ms)
    codes = codes_of(intake, mine, row, start_ms, coder)
    order = np.lexsort((event_ms, codes))
    codes, event_ms, value, row = codes[order], event_ms[order], value[order], row[order]
    weight = 1.0 / intake.aligned["fraction"][mine][row]
    begin = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1]))) if len(codes) else np.zeros(0, np.int64)
    end = np.append(begin[1:], len(codes))
    if not len(codes):
        empty = np.zeros(0)
        return Fold(codes, begin, empty, empty, empty, begin, begin, empty, empty, empty, empty, begin)
    count = end - begin
    estimated_count = np.add.reduceat(weight, begin)
    first, last = begin.copy(), end - 1
    _settle_ties(intake, mine, row, event_ms, begin, end, first, last)
    return Fold(
        code=codes[begin],
        count=count,
        mean=np.add.reduceat(value, begin) / count,
        min=np.minimum.reduceat(value, begin),
        max=np.maximum.reduceat(value, begin),
        first_ms=event_ms[first],
        last_ms=event_ms[last],
        first=value[first],
        last=value[last],
        estimated_count=estimated_count,
        estimated_mean=np.add.reduceat(value * weight, begin) / estimated_count,
        from_group=np.add.reduceat(is_earliest[order].astype(np.int64), begin),
    )


def _settle_ties(
    intake: Intake,
    mine: NDArray[Any],
    row: NDArray[Any],
    event_ms: NDArray[Any],
    begin: NDArray[Any],
    end: NDArray[Any],
    first: NDArray[Any],
    last: NDArray[Any],
) -> None:
    """Among readings of one time the event id decides; few windows have such."""
    several = end - begin > 1
    for group in np.flatnonzero(several & (event_ms[np.minimum(begin + 1, len(row) - 1)] == event_ms[begin])):
        stop = begin[group] + np.searchsorted(event_ms[begin[group] : end[group]], event_ms[begin[group]], side="right")
        first[group] = min(range(begin[group], stop), key=lambda i: intake.event_id(int(mine[row[i]])))
    for group in np.flatnonzero(several & (event_ms[end - 2] == event_ms[end - 1])):
        start = begin[group] + np.searchsorted(event_ms[begin[group] : end[group]], event_ms[end[group] - 1])
        last[group] = max(range(start, end[group]), key=lambda i: intake.event_id(int(mine[row[i]])))
