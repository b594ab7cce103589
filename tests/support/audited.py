"""The audit over records in memory, and what puts faults into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from jobs.audit.intake import Intake
from jobs.audit.ledger import read_ledgers
from jobs.audit.report import Report, judge
from tests.support.generated import PARTITIONS, RULES, GeneratedRun
from udfs.rules import Rules

Records = dict[str, list[tuple[bytes, bytes]]]
Published = Mapping[str, Sequence[tuple[bytes, bytes]]]


def audit(
    run: GeneratedRun,
    published: Published,
    rules: Rules = RULES,
    partitions: int = PARTITIONS,
    *,
    with_ledger: bool = True,
    ends: Mapping[int, int] | None = None,
) -> Report:
    """Judge a run by what was published; `ends` cuts the raw snapshot short."""
    intake = Intake(rules)
    intake.add_raw((m.partition, m.offset, m.value, m.headers, m.append_time_ms) for m in run.messages)
    for sink, add in (
        ("aligned", intake.add_aligned),
        ("accounting", intake.add_accounting),
        ("invalid_events", intake.add_invalid),
        ("late_events", intake.add_late),
        ("windows", intake.add_windows),
    ):
        for name, records in published.items():
            if name == sink or name.startswith(f"{sink}-"):
                add((0, offset, value) for offset, (_, value) in enumerate(records))
    sizes = {p: sum(m.partition == p for m in run.messages) for p in range(partitions)}
    ranges = {p: (0, (ends or sizes)[p]) for p in range(partitions)}
    ledger = read_ledgers([run.ledger_file], intake) if with_ledger else None
    return judge(intake, ranges, ledger)


def change(rows: list[tuple[bytes, bytes]], index: int, **fields: Any) -> None:
    key, value = rows[index]
    rows[index] = key, orjson.dumps({**orjson.loads(value), **fields})


def find(rows: list[tuple[bytes, bytes]], matches: Callable[[dict[str, Any]], bool]) -> int:
    return next(i for i, (_, value) in enumerate(rows) if matches(orjson.loads(value)))


def of_class(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda record: record["class"] == name


def final_rows(rows: list[tuple[bytes, bytes]]) -> dict[bytes, int]:
    """The index of each window's last row: revisions of one window are published in order."""
    return {key: index for index, (key, _) in enumerate(rows)}


def figures(report: Report) -> tuple[int, int, int]:
    return report.lost, report.doubled, report.wrong_class
