"""Fold the aligned readings into windows anew and compare with what the job published.

Written apart from the job's windows on purpose, as sorts and reductions over arrays. Per window definition every
aligned reading is windowed, late, open (its windows are not due yet) or lost.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from jobs.audit.classes import Classes
from jobs.audit.intake import Intake
from jobs.audit.problems import Problems
from udfs.rules import StreamRule, WindowDefinition

_RELATIVE = 1e-9


@dataclass
class DefinitionReport:
    """One window definition; all counts are readings but `windows` and those that say otherwise."""

    stream: str
    definition: str
    first: bool  # the stream's first definition, whose figures stand for the stream
    aligned: int
    windowed: int = 0
    late: int = 0
    open: int = 0
    lost: int = 0
    doubled: int = 0
    windows: int = 0
    wrong_windows: int = 0
    partly_late_pairs: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class _Fold(NamedTuple):
    """Windows as columns, sorted by `code`."""

    code: np.ndarray
    count: np.ndarray
    mean: np.ndarray
    min: np.ndarray
    max: np.ndarray
    first_ms: np.ndarray
    last_ms: np.ndarray
    first: np.ndarray
    last: np.ndarray
    from_group: np.ndarray  # how many of its readings have it as their earliest window


class _Published(NamedTuple):
    code: np.ndarray
    row: np.ndarray  # index of the final row in the intake
    again: np.ndarray  # code of each row whose revision was published before


class Coder(NamedTuple):
    """(window number, key, metric) as one number and back."""

    names: int
    least: int
    definition: WindowDefinition

    def encode(self, start_ms: np.ndarray, key: np.ndarray, metric: np.ndarray) -> np.ndarray:
        number = (start_ms - self.definition.offset_ms) // self.definition.slide_ms - self.least
        return (number * self.names + key) * self.names + metric

    def start_ms(self, code: np.ndarray) -> np.ndarray:
        return (code // self.names**2 + self.least) * self.definition.slide_ms + self.definition.offset_ms


def audit_definition(
    intake: Intake, classes: Classes, number: int, stream: StreamRule, window: WindowDefinition, problems: Problems
) -> tuple[DefinitionReport, np.ndarray]:
    """Judge one definition of stream `number`. Also returns the slots of its late readings."""
    name = f"{stream.name}/{window.name}"
    code_of_definition = intake.definitions.find(name)
    mine = np.flatnonzero((intake.aligned["stream"] == number) & (classes.aligned_slot >= 0))
    slot = classes.aligned_slot[mine]
    # A reading that is aligned twice is counted as doubled once, and its windows hold it once.
    slot, first = np.unique(slot, return_index=True)
    mine = mine[first]
    report = DefinitionReport(stream.name, window.name, window is stream.windows[0], len(mine))
    late_slots = _late(intake, classes, code_of_definition, slot, report, name, problems)
    names = len(intake.names.all()) + 1
    event_ms = intake.aligned["event_ms"][mine]
    earliest_ms = int(event_ms.min()) if len(event_ms) else 0
    least = (earliest_ms - window.size_ms - window.offset_ms) // window.slide_ms - 1
    coder = Coder(names, least, window)

    row, start_ms = _assign(event_ms, window)
    is_late = np.isin(slot, late_slots)
    keep = ~is_late[row] & ~_partly_late(intake, classes, code_of_definition, slot[row], start_ms, report)
    row, start_ms = row[keep], start_ms[keep]
    missed_all = len(mine) - int(is_late.sum()) - len(np.unique(row))
    if missed_all:
        problems.add("wrong", missed_all, lambda _: f"{name}: a reading missed all windows but is partly late only")
        report.wrong_windows += missed_all
    fold = _fold(intake, mine, row, start_ms, window, coder)
    published = _published(intake, code_of_definition, coder, window)
    if stream.delivery == "exactly-once":
        report.wrong_windows += len(published.again)
        problems.add("wrong", len(published.again), lambda _: f"{name}: a revision of a window was published twice")
    _compare(intake, fold, published, coder, window, report, name, problems)
    return report, late_slots


def _late(
    intake: Intake,
    classes: Classes,
    definition: int,
    aligned: np.ndarray,
    report: DefinitionReport,
    name: str,
    problems: Problems,
) -> np.ndarray:
    slot = classes.slots.of_columns(intake.late)
    slot = slot[(slot >= 0) & (intake.late["definition"] == definition)]
    unique, counts = np.unique(slot, return_counts=True)
    report.late = int(np.isin(unique, aligned).sum())
    again = unique[counts > 1]
    report.doubled += int((counts - 1).sum())
    problems.add(
        "doubled", len(again), lambda i: f"{classes.slots.name(int(again[i]))}: late for {name} more than once"
    )
    stray = unique[~np.isin(unique, aligned)]
    report.wrong_windows += len(stray)
    problems.add(
        "wrong", len(stray), lambda i: f"{classes.slots.name(int(stray[i]))}: late for {name}, but not aligned there"
    )
    return unique


def _partly_late(
    intake: Intake,
    classes: Classes,
    definition: int,
    slot: np.ndarray,
    start_ms: np.ndarray,
    report: DefinitionReport,
) -> np.ndarray:
    """Which (reading, window) pairs were dropped although other windows took the reading."""
    at = classes.slots.of_columns(intake.partly_late)
    index = np.flatnonzero((at >= 0) & (intake.partly_late["definition"] == definition))
    report.partly_late_pairs = len(index)
    if not len(index):
        return np.zeros(len(slot), np.bool_)
    dropped = np.empty(len(index), [("slot", np.int64), ("start", np.int64)])
    dropped["slot"], dropped["start"] = at[index], intake.partly_late["start_ms"][index]
    candidates = np.flatnonzero(np.isin(slot, at[index]))
    pairs = np.empty(len(candidates), dropped.dtype)
    pairs["slot"], pairs["start"] = slot[candidates], start_ms[candidates]
    result = np.zeros(len(slot), np.bool_)
    result[candidates] = np.isin(pairs, dropped)
    return result


def _assign(event_ms: np.ndarray, window: WindowDefinition) -> tuple[np.ndarray, np.ndarray]:
    """(row, window start) of every window that holds a reading."""
    last = event_ms - (event_ms - window.offset_ms) % window.slide_ms
    rows, starts = [], []
    for back in range(-(-window.size_ms // window.slide_ms)):
        start = last - back * window.slide_ms
        holds = np.flatnonzero(start + window.size_ms > event_ms)
        rows.append(holds)
        starts.append(start[holds])
    return np.concatenate(rows), np.concatenate(starts)


def _fold(
    intake: Intake, mine: np.ndarray, row: np.ndarray, start_ms: np.ndarray, window: WindowDefinition, coder: Coder
) -> _Fold:
    key = intake.aligned[window.key][mine][row].astype(np.int64)
    metric = intake.aligned["metric"][mine][row].astype(np.int64)
    event_ms, value = intake.aligned["event_ms"][mine][row], intake.aligned["value"][mine][row]
    earliest = np.full(len(mine), np.iinfo(np.int64).max)
    np.minimum.at(earliest, row, start_ms)
    is_earliest = earliest[row] == start_ms
    codes = coder.encode(start_ms, key, metric)
    order = np.lexsort((event_ms, codes))
    codes, event_ms, value, row = codes[order], event_ms[order], value[order], row[order]
    begin = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1]))) if len(codes) else np.zeros(0, np.int64)
    end = np.append(begin[1:], len(codes))
    if not len(codes):
        empty = np.zeros(0)
        return _Fold(codes, begin, empty, empty, empty, begin, begin, empty, empty, begin)
    count = end - begin
    first, last = begin.copy(), end - 1
    _settle_ties(intake, mine, row, event_ms, begin, end, first, last)
    return _Fold(
        code=codes[begin],
        count=count,
        mean=np.add.reduceat(value, begin) / count,
        min=np.minimum.reduceat(value, begin),
        max=np.maximum.reduceat(value, begin),
        first_ms=event_ms[first],
        last_ms=event_ms[last],
        first=value[first],
        last=value[last],
        from_group=np.add.reduceat(is_earliest[order].astype(np.int64), begin),
    )


def _settle_ties(
    intake: Intake,
    mine: np.ndarray,
    row: np.ndarray,
    event_ms: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
) -> None:
    """Among readings of one time the event id decides; few windows have such."""
    several = end - begin > 1
    for group in np.flatnonzero(several & (event_ms[np.minimum(begin + 1, len(row) - 1)] == event_ms[begin])):
        stop = begin[group] + np.searchsorted(event_ms[begin[group] : end[group]], event_ms[begin[group]], side="right")
        first[group] = min(range(begin[group], stop), key=lambda i: intake.event_id(int(mine[row[i]])))
    for group in np.flatnonzero(several & (event_ms[end - 2] == event_ms[end - 1])):
        start = begin[group] + np.searchsorted(event_ms[begin[group] : end[group]], event_ms[end[group] - 1])
        last[group] = max(range(start, end[group]), key=lambda i: intake.event_id(int(mine[row[i]])))


def _published(intake: Intake, definition: int, coder: Coder, window: WindowDefinition) -> _Published:
    """The final row of each published window; provisional (early) ones are none."""
    columns = intake.windows
    start_ms = columns["start_ms"]
    # Windows of another size belong to an earlier version of the definition and are not judged by this one.
    index = np.flatnonzero(
        (columns["definition"] == definition)
        & (columns["end_ms"] - start_ms == window.size_ms)
        & ((start_ms - window.offset_ms) % window.slide_ms == 0)
    )
    key, metric = columns["key"][index].astype(np.int64), columns["metric"][index].astype(np.int64)
    code = coder.encode(start_ms[index], key, metric)
    order = np.lexsort((columns["revision"][index], code))
    code, index = code[order], index[order]
    if not len(code):
        return _Published(code, index, code)
    same = code[1:] == code[:-1]
    is_last = np.append(~same, True) & (columns["early"][index] == 0)
    again = same & (np.diff(columns["revision"][index]) == 0)
    return _Published(code[is_last], index[is_last], code[1:][again])


def _compare(
    intake: Intake,
    fold: _Fold,
    published: _Published,
    coder: Coder,
    window: WindowDefinition,
    report: DefinitionReport,
    name: str,
    problems: Problems,
) -> None:
    texts = intake.names.all()

    def words(code: int) -> str:
        start_ms = int(coder.start_ms(np.array([code]))[0])
        key, metric = code // coder.names % coder.names, code % coder.names
        return f"{name} window {start_ms} of {texts[key]}, {texts[metric]}"

    columns = intake.windows
    at = np.searchsorted(published.code, fold.code)
    at_known = np.minimum(at, max(len(published.code) - 1, 0))
    has = published.code[at_known] == fold.code if len(published.code) else np.zeros(len(fold.code), np.bool_)
    report.windows = int(has.sum())

    due = coder.start_ms(fold.code) + window.size_ms - 1 <= intake.watermark_ms()
    report.open = int(fold.from_group[~has & ~due].sum())
    absent = np.flatnonzero(~has & due)
    report.lost += int(fold.from_group[absent].sum())
    # A window whose readings all have earlier windows loses no reading, but is wrong all the same.
    report.wrong_windows += int((fold.from_group[absent] == 0).sum())
    problems.add("lost", len(absent), lambda i: f"{words(int(fold.code[absent[i]]))}: due, but never published")

    found = np.flatnonzero(has)
    row = published.row[at_known[found]] if len(found) else np.zeros(0, np.int64)
    actual = columns["count"][row]
    short = np.maximum(fold.count[found] - actual, 0)
    lost = np.minimum(short, fold.from_group[found])
    report.windowed = int((fold.from_group[found] - lost).sum())
    report.lost += int(lost.sum())
    report.doubled += int(np.maximum(actual - fold.count[found], 0).sum())
    other_count = np.flatnonzero(actual != fold.count[found])
    report.wrong_windows += len(other_count)
    problems.add(
        "wrong",
        len(other_count),
        lambda i: (
            f"{words(int(fold.code[found[other_count[i]]]))}: count {actual[other_count[i]]}, "
            f"{fold.count[found[other_count[i]]]} readings belong there"
        ),
    )
    mean, scale = fold.mean[found], np.maximum(np.abs(fold.min[found]), np.abs(fold.max[found]))
    differs = np.abs(columns["mean"][row] - mean) > _RELATIVE * np.maximum(scale, np.abs(mean))
    for field in ("min", "max", "first", "last", "first_ms", "last_ms"):
        differs |= columns[field][row] != getattr(fold, field)[found]
    other_value = np.flatnonzero(differs & (actual == fold.count[found]))
    report.wrong_windows += len(other_value)
    problems.add(
        "wrong",
        len(other_value),
        lambda i: (
            f"{words(int(fold.code[found[other_value[i]]]))}: another mean, min, max, first or last than its readings"
        ),
    )
    stray = np.flatnonzero(~np.isin(published.code, fold.code))
    report.doubled += int(columns["count"][published.row[stray]].sum())
    problems.add(
        "doubled",
        len(stray),
        lambda i: f"{words(int(published.code[stray[i]]))}: published, but no reading belongs there",
    )
