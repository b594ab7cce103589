"""Final rows of a topic, by key: of any topic whose rows are revised, as its rule says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jobs.export.select import Record

Key = tuple[Any, ...]


@dataclass(frozen=True)
class RowRule:
    """How rows are identified, revised and compared.

    `scale` names the fields whose size says how exact the others are: sums of numbers in another order differ in their
    last digits.
    """

    key: tuple[str, ...]
    values: tuple[str, ...]
    time: str
    revision: str = "revision"
    provisional: tuple[str, str | bool] | None = None  # (field, value) of rows that are no last word
    scale: tuple[str, ...] = ()


WINDOW_ROWS = RowRule(
    key=("stream", "definition", "window_start_ms", "window_end_ms", "key", "metric"),
    values=(
        "unit", "count", "mean", "min", "max", "std", "first", "first_event_time_ms", "last", "last_event_time_ms",
        "expected_count", "completeness", "sensors", "lon_deg", "lat_deg", "x", "y", "max_event_time_ms",
    ),
    time="window_start_ms",
    provisional=("timing", "early"),
    scale=("min", "max"),
)  # fmt: skip


@dataclass
class Row:
    """The final row of one key, and how it came about."""

    values: tuple[Any, ...]
    revision: int
    is_provisional: bool
    first_word: tuple[Any, ...] | None  # the values of its first revision that was not provisional
    first_revision: int
    repeats: int = 0  # records beyond one for the final revision
    late_readings: int = 0  # that were recomputed into it

    @property
    def is_revised(self) -> bool:
        return self.first_word is not None and self.first_word != self.values


def final_rows(records: Iterable[Record], rule: RowRule, from_ms: int, to_ms: int) -> dict[Key, Row]:
    """The rows whose time is in [from_ms, to_ms), the highest revision of each."""
    rows: dict[Key, Row] = {}
    for record in records:
        if from_ms <= record[rule.time] < to_ms:
            _put(rows, record, rule)
    return rows


def _put(rows: dict[Key, Row], record: Record, rule: RowRule) -> None:
    key = tuple(record[name] for name in rule.key)
    values = tuple(record.get(name) for name in rule.values)
    revision = int(record[rule.revision])
    is_provisional = rule.provisional is not None and record.get(rule.provisional[0]) == rule.provisional[1]
    late_readings = record.get("late_readings", 0)
    row = rows.get(key)
    if row is None:
        first_word = None if is_provisional else values
        rows[key] = Row(values, revision, is_provisional, first_word, revision, late_readings=late_readings)
        return
    if not is_provisional and (row.first_word is None or revision < row.first_revision):
        row.first_word, row.first_revision = values, revision
    if revision == row.revision:
        row.repeats += 1
    elif revision > row.revision:
        row.values, row.revision, row.is_provisional, row.repeats = values, revision, is_provisional, 0
        row.late_readings = late_readings
