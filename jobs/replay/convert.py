"""From rows to readings: times, numbers, constants, one reading per metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from jobs.replay.mapping import Column, Mapping, Metric
from jobs.replay.source import BadRow, Row, find_cell
from udfs.event_time import normalise_event_time
from udfs.reasons import Rejected

_SHOWN = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Tally:
    """What became of the rows; a missing value is no error, it is what the feed says."""

    rows: int = 0
    readings: int = 0
    missing_values: int = 0
    bad_rows: int = 0
    problems: list[str] = field(default_factory=list)  # the first few, with line numbers

    def refuse(self, line: int, problem: str) -> None:
        self.bad_rows += 1
        if len(self.problems) < _SHOWN:
            self.problems.append(f"line {line}: {problem}")


class Converter:
    """Converts rows one by one; `tally` counts."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._missing = set(mapping.missing)
        self._zone = ZoneInfo(mapping.time.zone) if mapping.time.zone else None
        self.tally = Tally()

    def readings(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        """Readings as JSON-ready dicts, `event_time` in epoch ms; sorted by it where the mapping says so."""
        found = self._readings(rows)
        return iter(sorted(found, key=lambda r: r["event_time"])) if self._mapping.sort else found

    def _readings(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        for row in rows:
            self.tally.rows += 1
            try:
                if row.cells is None:
                    raise BadRow(row.problem)
                readings = self._convert(row.cells)
            except BadRow as problem:
                self.tally.refuse(row.line, str(problem))
                continue
            self.tally.readings += len(readings)
            yield from readings

    def _convert(self, cells: dict[str, Any]) -> list[dict[str, Any]]:
        mapping = self._mapping
        values = [(m, self._value(cells, m)) for m in mapping.metrics]
        present = [(m, v) for m, v in values if v is not None]
        self.tally.missing_values += len(values) - len(present)
        if not present:
            return []
        common: dict[str, Any] = {
            "sensor_id": self._text(cells, mapping.sensor_id, "sensor_id"),
            "event_time": self._event_time_ms(cells),
            "x": self._number(cells, mapping.x, "x"),
            "y": self._number(cells, mapping.y, "y"),
            "crs": self._text(cells, mapping.crs, "crs"),
        }
        if mapping.region is not None:
            common["region"] = self._text(cells, mapping.region, "region")
        if mapping.z is not None and self._cell(cells, mapping.z) is not None:
            common["z"] = self._number(cells, mapping.z, "z")
        if mapping.quality is not None and self._cell(cells, mapping.quality) is not None:
            common["quality"] = self._text(cells, mapping.quality, "quality")
        for name, source in mapping.attributes.items():
            value = self._cell(cells, source)
            if value is not None:
                common[name] = value
        readings = []
        for metric, value in present:
            reading = {
                "metric": self._text(cells, metric.metric, "metric"),
                "value": value,
                "unit": self._text(cells, metric.unit, "unit"),
                **common,
            }
            if mapping.event_id is not None:
                # Ids are per sensor, and a wide row has one for several metrics.
                event_id = self._text(cells, mapping.event_id, "event_id")
                reading["event_id"] = event_id if len(mapping.metrics) == 1 else f"{event_id}/{reading['metric']}"
            readings.append(reading)
        return readings

    def _cell(self, cells: dict[str, Any], source: str | float | Column | None) -> Any:
        """A constant, or the cell; None for what stands for no value."""
        if not isinstance(source, Column):
            return source
        value = find_cell(cells, source.column)
        if value is None or (isinstance(value, str) and value in self._missing):
            return None
        text = value if isinstance(value, str) else _plain(value)
        if source.values:
            text = source.values.get(text, text)
        return f"{source.prefix}{text}" if source.prefix or source.values or isinstance(value, str) else value

    def _text(self, cells: dict[str, Any], source: str | float | Column, name: str) -> str:
        value = self._cell(cells, source)
        if value is None:
            raise BadRow(f"{name} is missing")
        return value if isinstance(value, str) else _plain(value)

    def _number(self, cells: dict[str, Any], source: str | float | Column, name: str) -> float:
        value = self._cell(cells, source)
        if value is None:
            raise BadRow(f"{name} is missing")
        return _to_number(value, name)

    def _value(self, cells: dict[str, Any], metric: Metric) -> float | None:
        value = self._cell(cells, Column(column=metric.column))
        if value is None:
            return None
        number = _to_number(value, metric.column)
        return number if metric.scale == 1.0 and metric.offset == 0.0 else number * metric.scale + metric.offset

    def _event_time_ms(self, cells: dict[str, Any]) -> int:
        rule = self._mapping.time
        parts = []
        for column in rule.columns:
            value = find_cell(cells, column)
            if value is None or value == "":
                raise BadRow(f"time column {column!r} is missing")
            parts.append(value)
        try:
            if rule.format == "epoch":
                ns = normalise_event_time(_epoch(parts[0]), None)
            elif rule.format == "iso":
                ns = normalise_event_time("T".join(str(p) for p in parts), self._zone)
            else:
                ns = self._parse(" ".join(str(p) for p in parts), rule.format)
        except Rejected as rejected:
            raise BadRow(rejected.message) from None
        # Stamps at the end of their interval are moved to its start, as the contract wants of the producer.
        shift_ms = rule.period if rule.interval_label == "ending" and rule.period else 0
        return ns // 1_000_000 - shift_ms

    def _parse(self, text: str, layout: str) -> int:
        try:
            moment = datetime.strptime(text, layout)
        except ValueError:
            raise BadRow(f"time {text!r} is not in the format {layout!r}") from None
        if moment.tzinfo is None:
            if self._zone is None:
                raise BadRow(f"time {text!r} has no offset and the mapping no zone")
            moment = moment.replace(tzinfo=self._zone)
        since = moment - _EPOCH
        return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _epoch(value: Any) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return int(value)
    except ValueError:
        return _to_number(value, "time")


def _to_number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BadRow(f"{name} is {str(value)[:40]!r}, not a number") from None
    if not math.isfinite(number):
        raise BadRow(f"{name} is {number}; list the token under `missing` if it stands for no value")
    return number
