"""The verdict: the accounting identity of DESIGN §1 in figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jobs.audit.bridges import BridgeReport, audit_bridges
from jobs.audit.claimed_time import NO_TIME
from jobs.audit.classes import classify
from jobs.audit.intake import Intake
from jobs.audit.ledger import Ledger, compare
from jobs.audit.problems import Problems
from jobs.audit.windows import DefinitionReport, audit_definition


@dataclass
class Report:
    """All figures are readings. `windowed`, `late` and `open` are of each stream's first definition, summed."""

    raw: int
    aligned: int
    duplicates: int
    invalid: int
    shed: int
    open: int
    control: int
    windowed: int
    late: int
    lost: int  # raw readings without a class, readings missing from windows, ledger rows missing from raw
    doubled: int  # more than one class, an event id aligned twice, readings twice in a window
    wrong_class: int  # not what the ledger says, or a record that contradicts the raw topic or its readings
    repeats: int  # aligned records repeated by at-least-once or best-effort streams: no fault
    rereads: int  # records read again after a restart and recognised: no fault
    unreadable: int
    watermark_ms: int | None
    ledger_rows: int
    open_transactions: int
    invalid_by_reason: dict[str, int]
    definitions: list[DefinitionReport]
    bridges: list[BridgeReport]  # those that shed load: received = raw + shed
    problems: list[str]

    @property
    def ok(self) -> bool:
        return self.lost == self.doubled == self.wrong_class == 0

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}


def judge(
    intake: Intake, ranges: dict[int, tuple[int, int]], ledger: Ledger | None = None, open_transactions: int = 0
) -> Report:
    """Judge what was read.

    Parameters
    ----------
    ranges : raw partition -> (first offset, offset after the last) of the snapshot; later records do not count.
    """
    problems = Problems()
    classes = classify(intake, ranges, problems)
    definitions: list[DefinitionReport] = []
    first_late = [np.zeros(0, np.int64)]
    for number, stream in enumerate(intake.rules.streams):
        for window in stream.windows:
            report, late = audit_definition(intake, classes, number, stream, window, problems)
            definitions.append(report)
            if report.first:
                first_late.append(late)
    wrong = classes.wrong + sum(d.wrong_windows for d in definitions) + len(intake.unreadable)
    lost = classes.lost + sum(d.lost for d in definitions)
    problems.add("wrong", len(intake.unreadable), lambda i: intake.unreadable[i])
    if ledger is not None:
        other, absent = compare(intake, classes, ledger, np.concatenate(first_late), problems)
        wrong, lost = wrong + other, lost + absent
    is_whole = not open_transactions and not any(first for first, _ in ranges.values())
    bridges = audit_bridges(intake.bridges, is_whole, problems)
    wrong, lost = wrong + sum(b.wrong for b in bridges), lost + sum(b.lost for b in bridges)
    first = [d for d in definitions if d.first]
    watermark_ms = intake.watermark_ms()
    return Report(
        **classes.counts,
        open=sum(d.open for d in first),
        windowed=sum(d.windowed for d in first),
        late=sum(d.late for d in first),
        lost=lost,
        doubled=classes.doubled + sum(d.doubled for d in definitions),
        wrong_class=wrong,
        repeats=classes.notes["repeats"],
        rereads=classes.notes["rereads"],
        unreadable=len(intake.unreadable),
        watermark_ms=None if watermark_ms <= NO_TIME else watermark_ms,
        ledger_rows=0 if ledger is None else len(ledger),
        open_transactions=open_transactions,
        invalid_by_reason=dict(sorted(classes.invalid_by_reason.items())),
        definitions=definitions,
        bridges=bridges,
        problems=problems.lines,
    )
