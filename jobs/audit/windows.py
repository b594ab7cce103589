"""Fold the aligned readings into windows anew and compare with what the job published.

Written apart from the job's windows on purpose, as sorts and reductions over arrays. Per window definition every
aligned reading is windowed, late, open (its windows are not due yet) or lost.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.audit.classes import Classes
from jobs.audit.fold import Coder, Fold, assign, codes_of, fold
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
    recomputed: int = 0  # windows into which late readings were put afterwards; these readings stay late
    unaligned: int = 0  # that windows hold, and the aligned topic has lost: they are lost once, and not doubled

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class _Published(NamedTuple):
    code: NDArray[Any]
    row: NDArray[Any]  # index of the final row in the intake
    again: NDArray[Any]  # code of each row whose revision was published before
    late: NDArray[Any]  # readings that had missed the window and were put in afterwards


def audit_definition(
    intake: Intake, classes: Classes, number: int, stream: StreamRule, window: WindowDefinition, problems: Problems
) -> tuple[DefinitionReport, NDArray[Any]]:
    """Judge one definition of stream `number`. Also returns the slots of its late readings."""
    name = f"{stream.name}/{window.name}"
    code_of_definition = intake.definitions.find(name)
    mine = np.flatnonzero((intake.aligned["stream"] == number) & (classes.aligned_slot >= 0))
    slot = classes.aligned_slot[mine]
    # A reading that is aligned twice is counted as doubled once, and its windows hold it once.
    slot, first = np.unique(slot, return_index=True)
    mine = mine[first]
    report = DefinitionReport(stream.name, window.name, window is stream.windows[0], len(mine))
    late_slots = _late(intake, classes, code_of_definition, slot, window, report, name, problems)
    names = len(intake.names.all()) + 1
    event_ms = intake.aligned["event_ms"][mine]
    earliest_ms = int(event_ms.min()) if len(event_ms) else 0
    least = (earliest_ms - window.size_ms - window.offset_ms) // window.slide_ms - 1
    coder = Coder(names, least, window)

    row, start_ms = assign(event_ms, window)
    is_late = np.isin(slot, late_slots)
    in_time = ~is_late[row] & ~_partly_late(intake, classes, code_of_definition, slot[row], start_ms, report)
    missed_all = len(mine) - int(is_late.sum()) - len(np.unique(row[in_time]))
    if missed_all:
        problems.add("wrong", missed_all, lambda _: f"{name}: a reading missed all windows but is partly late only")
        report.wrong_windows += missed_all
    published = _published(intake, code_of_definition, coder, window)
    put_in, to_come = _recomputed(codes_of(intake, mine, row, start_ms, coder), in_time, published)
    report.recomputed = int((published.late > 0).sum())
    keep = in_time | put_in
    folded = fold(intake, mine, row[keep], start_ms[keep], in_time[keep], coder)
    if stream.delivery == "exactly-once":
        report.wrong_windows += len(published.again)
        problems.add("wrong", len(published.again), lambda _: f"{name}: a revision of a window was published twice")
    surplus = _compare(intake, folded, published, to_come, coder, window, report, name, problems)
    report.unaligned = min(surplus, classes.lost * -(-window.size_ms // window.slide_ms))
    report.doubled += surplus - report.unaligned
    return report, late_slots


def _late(
    intake: Intake,
    classes: Classes,
    definition: int,
    aligned: NDArray[Any],
    window: WindowDefinition,
    report: DefinitionReport,
    name: str,
    problems: Problems,
) -> NDArray[Any]:
    slot = classes.slots.of_columns(intake.late)
    slot = slot[(slot >= 0) & (intake.late["definition"] == definition)]
    unique, counts = np.unique(slot, return_counts=True)
    report.late = int(np.isin(unique, aligned).sum())
    again = unique[counts > 1]
    report.doubled += int((counts - 1).sum())
    problems.add(
        "doubled", len(again), lambda i: f"{classes.slots.name(int(again[i]))}: late for {name} more than once"
    )
    index = np.flatnonzero((classes.slots.of_columns(intake.late) >= 0) & (intake.late["definition"] == definition))
    event_ms = intake.late["event_ms"][index]
    windows = np.bincount(assign(event_ms, window)[0], minlength=len(index))
    odd = int(((intake.late["missed"][index] != windows) | (intake.late["gap_ms"][index] != 0)).sum())
    report.wrong_windows += odd
    problems.add("wrong", odd, lambda _: f"{name}: a late record misstates its lateness or the windows it missed")
    stray = unique[~np.isin(unique, aligned)]
    report.wrong_windows += len(stray)
    problems.add(
        "wrong", len(stray), lambda i: f"{classes.slots.name(int(stray[i]))}: late for {name}, but not aligned there"
    )
    late: NDArray[Any] = unique
    return late


def _partly_late(
    intake: Intake,
    classes: Classes,
    definition: int,
    slot: NDArray[Any],
    start_ms: NDArray[Any],
    report: DefinitionReport,
) -> NDArray[Any]:
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
        return _Published(code, index, code, code)
    same = code[1:] == code[:-1]
    is_last = np.append(~same, True) & (columns["early"][index] == 0)
    again = same & (np.diff(columns["revision"][index]) == 0)
    return _Published(code[is_last], index[is_last], code[1:][again], columns["late"][index[is_last]])


def _recomputed(code: NDArray[Any], in_time: NDArray[Any], published: _Published) -> tuple[NDArray[Any], NDArray[Any]]:
    """Which late pairs belong into recomputed rows, and for each published row how many of them it does not hold yet.

    A row says how many late readings were put in, not which. Those that came afterwards are not in it; then its count
    is all that can be checked.
    """
    late_code, late = np.unique(code[~in_time], return_counts=True)
    known = np.zeros(len(published.code), np.int64)
    is_published = np.isin(late_code, published.code)
    known[np.searchsorted(published.code, late_code[is_published])] = late[is_published]
    is_true = (published.late > 0) & (published.late <= known)  # else the comparison will find it
    put_in = ~in_time & np.isin(code, published.code[is_true])
    return put_in, np.where(is_true, known - published.late, 0)


def _compare(
    intake: Intake,
    folded: Fold,
    published: _Published,
    to_come: NDArray[Any],
    coder: Coder,
    window: WindowDefinition,
    report: DefinitionReport,
    name: str,
    problems: Problems,
) -> int:
    """Hold the published windows against those of the aligned readings; how many readings they hold beyond those."""
    texts = intake.names.all()

    def words(code: int) -> str:
        start_ms = int(coder.start_ms(np.array([code]))[0])
        key, metric = code // coder.names % coder.names, code % coder.names
        return f"{name} window {start_ms} of {texts[key]}, {texts[metric]}"

    columns = intake.windows
    at = np.searchsorted(published.code, folded.code)
    at_known = np.minimum(at, max(len(published.code) - 1, 0))
    has = published.code[at_known] == folded.code if len(published.code) else np.zeros(len(folded.code), np.bool_)
    report.windows = int(has.sum())

    due = coder.start_ms(folded.code) + window.size_ms - 1 <= intake.watermark_ms()
    report.open = int(folded.from_group[~has & ~due].sum())
    absent = np.flatnonzero(~has & due)
    report.lost += int(folded.from_group[absent].sum())
    # A window whose readings all have earlier windows loses no reading, but is wrong all the same.
    report.wrong_windows += int((folded.from_group[absent] == 0).sum())
    problems.add("lost", len(absent), lambda i: f"{words(int(folded.code[absent[i]]))}: due, but never published")

    found = np.flatnonzero(has)
    row = published.row[at_known[found]] if len(found) else np.zeros(0, np.int64)
    actual = columns["count"][row]
    to_come = to_come[at_known[found]] if len(found) else np.zeros(0, np.int64)
    expected = folded.count[found] - to_come
    short = np.maximum(expected - actual, 0)
    lost = np.minimum(short, folded.from_group[found])
    report.windowed = int((folded.from_group[found] - lost).sum())
    report.lost += int(lost.sum())
    surplus = int(np.maximum(actual - expected, 0).sum())
    other_count = np.flatnonzero(actual != expected)
    report.wrong_windows += len(other_count)
    problems.add(
        "wrong",
        len(other_count),
        lambda i: (
            f"{words(int(folded.code[found[other_count[i]]]))}: count {actual[other_count[i]]}, "
            f"{expected[other_count[i]]} readings belong there"
        ),
    )
    mean, scale = folded.mean[found], np.maximum(np.abs(folded.min[found]), np.abs(folded.max[found]))
    differs = np.abs(columns["mean"][row] - mean) > _RELATIVE * np.maximum(scale, np.abs(mean))
    for field in ("min", "max", "first", "last", "first_ms", "last_ms"):
        differs |= columns[field][row] != getattr(folded, field)[found]
    differs |= ~np.isclose(columns["estimated_count"][row], folded.estimated_count[found], rtol=_RELATIVE, atol=0.0)
    away = np.abs(columns["estimated_mean"][row] - folded.estimated_mean[found])
    differs |= away > _RELATIVE * np.maximum(scale, np.abs(mean))
    other_value = np.flatnonzero(differs & (actual == expected) & (to_come == 0))
    report.wrong_windows += len(other_value)
    problems.add(
        "wrong",
        len(other_value),
        lambda i: f"{words(int(folded.code[found[other_value[i]]]))}: other figures than its readings",
    )
    stray = np.flatnonzero(~np.isin(published.code, folded.code))
    report.wrong_windows += len(stray)
    problems.add(
        "wrong",
        len(stray),
        lambda i: f"{words(int(published.code[stray[i]]))}: published, but no reading belongs there",
    )
    return surplus + int(columns["count"][published.row[stray]].sum())
