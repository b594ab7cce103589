"""What a page needs of the published records, as columns: 40 bytes an aligned reading."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from jobs.broker.topic_records import TopicRecord


class _Aligned(msgspec.Struct, gc=False):
    sensor_id: str
    stream: str
    metric: str
    unit: str
    value: float
    event_time_ms: int
    append_time_ms: int
    lon_deg: float
    lat_deg: float
    cell: str


class _Window(msgspec.Struct, gc=False):
    stream: str
    definition: str
    key: str
    metric: str
    window_start_ms: int
    revision: int
    timing: str
    emitted_at_ms: int


class _Letter(msgspec.Struct, gc=False):
    reason: str
    append_time_ms: int | None = None
    event_time_ms: int = 0
    lateness_ms: int = 0
    stream: str = ""
    definition: str = ""


_aligned = msgspec.json.Decoder(_Aligned).decode
_window = msgspec.json.Decoder(_Window).decode
_letter = msgspec.json.Decoder(_Letter).decode


class SeriesName(NamedTuple):
    stream: str
    metric: str
    unit: str
    sensor: str


@dataclass
class Station:
    """Where a sensor was last, and how much came from it."""

    lon_deg: float
    lat_deg: float
    cell: str
    stream: str
    readings: int = 0


@dataclass
class Series:
    times_ms: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))


@dataclass
class WindowRows:
    """Of one definition: rows by timing, and the highest revision of each window."""

    by_timing: Counter[str] = field(default_factory=Counter)
    revisions: dict[tuple[str, str, int], int] = field(default_factory=dict)


class Period(NamedTuple):
    """[from_ms, to_ms); None: without that limit."""

    from_ms: int | None = None
    to_ms: int | None = None

    def holds(self, time_ms: int) -> bool:
        return (self.from_ms is None or time_ms >= self.from_ms) and (self.to_ms is None or time_ms < self.to_ms)


class Gathered:
    """Of the readings and windows whose event time lies in the period, and of what was refused in it."""

    def __init__(self, period: Period) -> None:
        self.period = period
        self.stations: dict[str, Station] = {}
        self.cells: Counter[str] = Counter()
        self.series: defaultdict[SeriesName, Series] = defaultdict(Series)
        self.delay_ms = array("q")  # of arrival: append time of the raw record - event time
        self.lateness_ms = array("q")
        self.windows: defaultdict[tuple[str, str], WindowRows] = defaultdict(WindowRows)
        self.refused: Counter[str] = Counter()
        self.late: Counter[tuple[str, str]] = Counter()
        self.unreadable = 0

    def add_aligned(self, records: Iterable[TopicRecord]) -> None:
        for record in records:
            try:
                reading = _aligned(record.value)
            except msgspec.DecodeError:
                self.unreadable += 1
                continue
            if not self.period.holds(reading.event_time_ms):
                continue
            place = (reading.lon_deg, reading.lat_deg, reading.cell)
            station = self.stations.setdefault(reading.sensor_id, Station(*place, reading.stream))
            station.lon_deg, station.lat_deg, station.cell = place
            station.readings += 1
            self.cells[reading.cell] += 1
            name = SeriesName(reading.stream, reading.metric, reading.unit, reading.sensor_id)
            series = self.series[name]
            series.times_ms.append(reading.event_time_ms)
            series.values.append(reading.value)
            self.delay_ms.append(reading.append_time_ms - reading.event_time_ms)

    def add_windows(self, records: Iterable[TopicRecord]) -> None:
        for record in records:
            if not record.value:
                continue
            try:
                row = _window(record.value)
            except msgspec.DecodeError:
                self.unreadable += 1
                continue
            if self.period.holds(row.window_start_ms):
                rows = self.windows[row.stream, row.definition]
                rows.by_timing[row.timing] += 1
                key = (row.key, row.metric, row.window_start_ms)
                rows.revisions[key] = max(row.revision, rows.revisions.get(key, 0))

    def add_invalid(self, records: Iterable[TopicRecord]) -> None:
        for letter in self._letters(records):
            if letter.append_time_ms is None or self.period.holds(letter.append_time_ms):
                self.refused[letter.reason] += 1

    def add_late(self, records: Iterable[TopicRecord]) -> None:
        for letter in self._letters(records):
            if self.period.holds(letter.event_time_ms):
                self.lateness_ms.append(letter.lateness_ms)
                self.late[letter.stream, letter.definition] += 1

    def _letters(self, records: Iterable[TopicRecord]) -> Iterable[_Letter]:
        for record in records:
            try:
                yield _letter(record.value)
            except msgspec.DecodeError:
                self.unreadable += 1
