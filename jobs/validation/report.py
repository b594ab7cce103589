"""What a day's validation found, in figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from jobs.validation.compare import Pair
from jobs.validation.explain import DEFECTS, Reason, Verdict
from jobs.validation.rows import WINDOW_ROWS, Row

_SHOWN = 50
_COUNT = WINDOW_ROWS.values.index("count")


@dataclass
class DefinitionReport:
    """One window definition; `…_readings` count a reading once for each of its windows of the day."""

    stream: str
    definition: str
    rows: dict[str, int] = field(default_factory=lambda: {reason.value: 0 for reason in Reason})
    batch_readings: int = 0
    live_readings: int = 0
    late_readings: int = 0
    unexplained: int = 0  # batch - live - late, where rows are neither open nor beyond the horizon: 0 unless a defect


@dataclass
class DayReport:
    """The verdict on one day."""

    day: str
    definitions: list[DefinitionReport] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)  # the first ones, defects before the others

    def rows(self, *reasons: Reason) -> int:
        return sum(d.rows[reason.value] for d in self.definitions for reason in reasons or Reason)

    @property
    def ok(self) -> bool:
        """Whether every difference is explained, and none by a defect."""
        return not self.rows(*DEFECTS) and not any(d.unexplained for d in self.definitions)

    def to_dict(self) -> dict[str, Any]:
        totals = {reason.value: self.rows(reason) for reason in Reason}
        return {"ok": self.ok, "rows": totals, **asdict(self)}


def report_day(day: str, judged: Iterable[tuple[Pair, Verdict]]) -> DayReport:
    """Add up the verdicts of a day."""
    found: dict[tuple[str, str], DefinitionReport] = {}
    differences: list[tuple[bool, dict[str, Any]]] = []
    for pair, verdict in judged:
        stream, definition, *_ = pair.key
        report = found.setdefault((stream, definition), DefinitionReport(stream, definition))
        _add(report, pair, verdict)
        if verdict.reason is not Reason.SAME:
            differences.append((verdict.reason not in DEFECTS, _difference(pair, verdict)))
            if len(differences) > 20 * _SHOWN:
                differences = sorted(differences, key=lambda d: d[0])[:_SHOWN]
    shown = [d for _, d in sorted(differences, key=lambda d: d[0])[:_SHOWN]]
    return DayReport(day, [found[name] for name in sorted(found)], shown)


def _add(report: DefinitionReport, pair: Pair, verdict: Verdict) -> None:
    report.rows[verdict.reason.value] += 1
    batch, live = _count(pair.batch), _count(pair.live)
    report.batch_readings += batch
    report.live_readings += live
    report.late_readings += verdict.late
    if verdict.reason not in (Reason.OPEN, Reason.HORIZON):
        report.unexplained += abs(batch - live - verdict.late)


def _count(row: Row | None) -> int:
    return 0 if row is None else int(row.values[_COUNT])


def _difference(pair: Pair, verdict: Verdict) -> dict[str, Any]:
    def values(row: Row | None) -> Mapping[str, Any] | None:
        return (
            None
            if row is None
            else {"revision": row.revision, **dict(zip(WINDOW_ROWS.values, row.values, strict=True))}
        )

    key = dict(zip(WINDOW_ROWS.key, pair.key, strict=True))
    row = {"reason": verdict.reason.value, "detail": verdict.detail, **key, "fields": list(pair.differs)}
    return {**row, "live": values(pair.live), "batch": values(pair.batch)}
