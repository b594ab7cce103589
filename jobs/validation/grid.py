"""A day of grid rows, computed again in batch and compared with what streaming said, row by row.

A difference is explained by a finding and not by a guess: the row is made once more from exactly the readings that
streaming says it had in time, and only what then agrees with streaming's row is `late`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from jobs.export.select import Record
from jobs.validation.compare import Pair, compare
from jobs.validation.explain import DEFECTS, Reason, Verdict
from jobs.validation.rows import Key, RowRule, final_rows
from udfs.grid.fate import PARTLY_LATE
from udfs.grid.row import Content, content_at
from udfs.grid.rules import GridRule, GridRules
from udfs.grid.series import Point, Series

DAY_MS = 86_400_000
GRID_ROWS = RowRule(
    key=("grid", "place", "instant_ms"),
    values=("place_kind", "period_ms", "values"),
    time="instant_ms",
    provisional=("settled", False),
)
REASONS = (Reason.SAME, Reason.REVISED, Reason.LATE, Reason.OPEN, Reason.LOST, Reason.DOUBLED, Reason.OTHER)
_SHOWN = 50
_NO_TIME = -(2**62)
_END = 2**62

Source = tuple[str, int, int]  # topic, partition, offset
Place = tuple[str, str]  # grid, name


class Taken(NamedTuple):
    """An aligned reading as a grid takes it."""

    place: Place
    metrics: tuple[str, ...]
    point: Point
    source: Source


Reader = Callable[[str], Iterator[Record]]  # by the role of the topic
Readings = Callable[[set[Place]], Iterable[Taken]]  # those of some places


@dataclass
class GridDayReport:
    """The verdict on one day; `late_readings` counts the readings that explain differences, once for each grid."""

    day: str
    grids: dict[str, dict[str, int]] = field(default_factory=dict)
    late_readings: dict[str, int] = field(default_factory=dict)
    differences: list[dict[str, Any]] = field(default_factory=list)  # the first ones, defects before the others

    def rows(self, *reasons: Reason) -> int:
        return sum(rows[reason.value] for rows in self.grids.values() for reason in reasons or REASONS)

    @property
    def ok(self) -> bool:
        """Whether every difference is explained, and none by a defect."""
        return not self.rows(*DEFECTS)

    def to_dict(self) -> dict[str, Any]:
        totals = {reason.value: self.rows(reason) for reason in REASONS}
        return {"ok": self.ok, "rows": totals, **self.__dict__}


def validate_grids(
    live: Reader, batch: Reader, rules: GridRules, readings: Readings, day: str, from_ms: int
) -> GridDayReport:
    """Compare the final rows of the day that begins at `from_ms`.

    Parameters
    ----------
    live, batch : what streaming and the batch run published.
    readings : the aligned readings that the batch run had.
    """
    to_ms = from_ms + DAY_MS
    evidence = _Evidence()
    said = final_rows(evidence.watch(live("grid")), GRID_ROWS, from_ms, to_ms)
    computed = final_rows(batch("grid"), GRID_ROWS, from_ms, to_ms)
    pairs = list(compare(said, computed, GRID_ROWS))
    unlike = [pair for pair in pairs if pair.live is None or pair.batch is None or pair.differs]
    by_place: dict[Place, list[Taken]] = {}
    if unlike:
        evidence.read(live("late_grid"), live("grid_accounting"))
        for taken in readings({(grid, place) for grid, place, _ in (pair.key for pair in unlike)}):
            by_place.setdefault(taken.place, []).append(taken)
    grids = {grid.name: grid for grid in rules.grids}
    judged = ((pair, _explain(pair, grids, by_place, evidence)) for pair in pairs)
    return _report(day, grids, judged, evidence)


class _Evidence:
    """What streaming says beside its rows: which readings were late and for which rows, and how far it has come."""

    def __init__(self) -> None:
        self.watermark_ms = _NO_TIME
        self.explaining: set[tuple[str, Source]] = set()
        self._late: set[tuple[str, Source]] = set()
        self._open_from_ms: dict[tuple[str, Source], int] = {}

    def watch(self, rows: Iterable[Record]) -> Iterator[Record]:
        for row in rows:
            self.watermark_ms = max(self.watermark_ms, row["watermark_ms"])
            yield row

    def read(self, letters: Iterable[Record], accounting: Iterable[Record]) -> None:
        for letter in letters:
            self.watermark_ms = max(self.watermark_ms, letter["watermark_ms"])
            self._late.add((letter["definition"], _source(letter)))
        for note in accounting:
            if note.get("class") == PARTLY_LATE:
                self.watermark_ms = max(self.watermark_ms, note["watermark_ms"])
                self._open_from_ms[note["grid"], _source(note)] = note["open_from_ms"]

    def metrics_in_time(self, taken: Taken, rule: GridRule, instant_ms: int) -> tuple[str, ...]:
        """For which metrics a reading came before the row was closed to it."""
        key = rule.name, taken.source
        if key in self._late:
            return ()
        open_from_ms = self._open_from_ms.get(key, _NO_TIME)
        if instant_ms < open_from_ms:
            return ()
        influence_ms = {metric.name: rule.influence_ms(metric) for metric in rule.metrics}
        time_ms = taken.point.time_ms
        return tuple(m for m in taken.metrics if rule.last_instant(time_ms + influence_ms[m]) >= open_from_ms)


def _source(record: Record) -> Source:
    return record["topic"], record["partition"], record["offset"]


def _explain(
    pair: Pair, grids: Mapping[str, GridRule], by_place: Mapping[Place, Sequence[Taken]], evidence: _Evidence
) -> Verdict:
    if pair.live is not None and pair.live.repeats:
        times = pair.live.repeats + 1
        return Verdict(pair.key, Reason.DOUBLED, f"revision {pair.live.revision} was published {times} times")
    if pair.live is not None and pair.batch is not None and not pair.differs:
        return Verdict(pair.key, Reason.REVISED if pair.live.is_revised else Reason.SAME, "")
    grid, place, instant_ms = pair.key
    rule = grids.get(grid)
    if rule is None:
        return Verdict(pair.key, Reason.OTHER, "its grid is not in the grid file")
    found = by_place.get((grid, place), ())
    after_ms = {metric.name: max(metric.after_ms, rule.begins_ms) for metric in rule.metrics}
    near = [t for t in found if -max(after_ms[m] for m in t.metrics) <= instant_ms - t.point.time_ms <= rule.before_ms]
    in_time = [(t, evidence.metrics_in_time(t, rule, instant_ms)) for t in near]
    late = [t for t, metrics in in_time if metrics != t.metrics]
    due = _row_of(rule, instant_ms, in_time)
    if pair.live is None:
        return _absent(pair.key, due, late, evidence)
    said = pair.live.values[GRID_ROWS.values.index("values")]
    if due is None or said != orjson.loads(due.values):
        return Verdict(pair.key, Reason.OTHER, f"another {_metrics_that_differ(said, due)} than by its readings")
    if pair.batch is None or not late:
        return Verdict(pair.key, Reason.OTHER, "as its readings say, but the batch run says otherwise")
    evidence.explaining.update((grid, t.source) for t in late)
    return Verdict(pair.key, Reason.LATE, f"{len(late)} of {len(near)} readings were late", len(late))


def _absent(key: Key, due: Content | None, late: Sequence[Taken], evidence: _Evidence) -> Verdict:
    if due is not None:
        if due.settles_ms > evidence.watermark_ms:
            return Verdict(key, Reason.OPEN, "not settled yet")
        return Verdict(key, Reason.LOST, "no settled row, although its readings were in time")
    if not late:
        return Verdict(key, Reason.OTHER, "a row of the batch run without readings")
    evidence.explaining.update((key[0], t.source) for t in late)
    return Verdict(key, Reason.LATE, f"all {len(late)} readings were late", len(late))


def _row_of(rule: GridRule, instant_ms: int, readings: Iterable[tuple[Taken, tuple[str, ...]]]) -> Content | None:
    series = {metric.name: Series(metric.same_reading) for metric in rule.metrics}
    for taken, metrics in readings:
        for name in metrics:
            series[name].add([taken.point])
    return content_at(instant_ms, series, rule, _END)


def _metrics_that_differ(said: Mapping[str, Any], due: Content | None) -> str:
    values = {} if due is None else orjson.loads(due.values)
    return ", ".join(name for name in said if said[name] != values.get(name)) or "row"


def _report(
    day: str, grids: Iterable[str], judged: Iterable[tuple[Pair, Verdict]], evidence: _Evidence
) -> GridDayReport:
    report = GridDayReport(day, {name: {reason.value: 0 for reason in REASONS} for name in grids})
    differences: list[tuple[bool, dict[str, Any]]] = []
    for pair, verdict in judged:
        grid, place, instant_ms = pair.key
        rows = report.grids.setdefault(grid, {reason.value: 0 for reason in REASONS})
        rows[verdict.reason.value] += 1
        is_shown = verdict.reason in DEFECTS or len(differences) < 20 * _SHOWN
        if verdict.reason is not Reason.SAME and is_shown:
            facts = {"reason": verdict.reason.value, "detail": verdict.detail, "place": place, "instant_ms": instant_ms}
            differences.append((verdict.reason not in DEFECTS, {"grid": grid, **facts}))
    report.differences = [shown for _, shown in sorted(differences, key=lambda d: d[0])[:_SHOWN]]
    report.late_readings = {name: sum(of == name for of, _ in evidence.explaining) for name in report.grids}
    return report
