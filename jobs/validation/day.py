"""Reads the two sides of a day and the evidence; only rows, and readings of rows that differ, are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jobs.export.select import Record
from jobs.validation.compare import Pair, compare
from jobs.validation.explain import Evidence, Place, Reading, explain, needs_readings, row_keys
from jobs.validation.report import DayReport, report_day
from jobs.validation.rows import WINDOW_ROWS, Key, final_rows
from udfs.rules import StreamRule

DAY_MS = 86_400_000
_NO_TIME = -(2**62)

Reader = Callable[[str], Iterator[Record]]


def validate(live: Reader, batch: Reader, streams: tuple[StreamRule, ...], day: str, from_ms: int) -> DayReport:
    """Compare the final window rows of the day that begins at `from_ms`.

    Parameters
    ----------
    live, batch : what streaming and the batch run published, by the role of the topic.
    """
    to_ms = from_ms + DAY_MS
    watermark = _Watermark()
    said = final_rows(watermark.watch(live("windows")), WINDOW_ROWS, from_ms, to_ms)
    computed = final_rows(batch("windows"), WINDOW_ROWS, from_ms, to_ms)
    pairs = list(compare(said, computed, WINDOW_ROWS))
    differing = {pair.key for pair in pairs if needs_readings(pair)}
    late, partly_late = set(), set()
    if differing:
        for letter in live("late_events"):
            watermark.see(letter["watermark_ms"])
            late.add((_place(letter), letter["stream"], letter["definition"]))
        for note in live("accounting"):
            if note["class"] == "partly_late":
                watermark.see(note["watermark_ms"])
                partly_late |= {(_place(note), note["stream"], note["definition"], s) for s in note["missed_windows"]}
    readings = _by_row(batch("aligned") if differing else (), streams, differing)
    known = {reading.place for of_row in readings.values() for reading in of_row}
    repeats = (r for r in (live("aligned") if differing else ()) if r.get("beyond_dedup_horizon"))
    forgotten = _by_row((r for r in repeats if _place(r) not in known), streams, differing)
    evidence = Evidence(readings, forgotten, late, partly_late, watermark.ms)
    return report_day(day, _judged(pairs, evidence))


def _judged(pairs: Iterable[Pair], evidence: Evidence) -> Iterator[tuple[Pair, Any]]:
    for pair in pairs:
        yield pair, explain(pair, evidence)


class _Watermark:
    """The latest watermark that streaming is known to have passed: it closed a window, or called a reading late."""

    def __init__(self) -> None:
        self.ms = _NO_TIME

    def see(self, watermark_ms: int) -> None:
        self.ms = max(self.ms, watermark_ms)

    def watch(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            if record["timing"] != "early":
                self.see(record["window_end_ms"] - 1)
            yield record


def _by_row(records: Iterable[Record], streams: tuple[StreamRule, ...], wanted: set[Key]) -> dict[Key, list[Reading]]:
    by_name = {stream.name: stream for stream in streams}
    found: dict[Key, list[Reading]] = {}
    for record in records:
        stream = by_name.get(record["stream"])
        if stream is None:
            continue
        for key in row_keys(record, stream):
            if key in wanted:
                reading = Reading(_place(record), record["event_time_ms"], record["event_id"], record["value"])
                found.setdefault(key, []).append(reading)
    return found


def _place(record: Record) -> Place:
    return record["partition"], record["offset"]
