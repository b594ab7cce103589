"""Why a window says something else in the batch run: from its readings and from what streaming called late.

A reason is a finding and not a guess: the window is folded once more from exactly the readings that streaming accounts
for, by code of its own, and only what then agrees with streaming's row is explained.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from jobs.validation.compare import Pair, is_same
from jobs.validation.rows import WINDOW_ROWS, Key, Row
from udfs.rules import StreamRule

Place = tuple[int, int]  # raw partition and offset


class Reason(StrEnum):
    """What became of a row. Everything from LOST on is a defect."""

    SAME = "same"
    REVISED = "revised"  # the same in the end; streaming had said something else before a straggler came
    RECOMPUTED = "recomputed"  # the same, since late readings were recomputed into it
    LATE = "late"  # the readings that are missing are in dlq.late_events, or noted as partly late
    HORIZON = "beyond_dedup_horizon"  # repeated so late that streaming had forgotten their ids, and marked them
    OPEN = "open"  # streaming's watermark has not passed the window yet
    LOST = "lost"
    DOUBLED = "doubled"
    OTHER = "other"


DEFECTS = frozenset({Reason.LOST, Reason.DOUBLED, Reason.OTHER})


class Reading(NamedTuple):
    """An aligned reading, as far as windows fold it."""

    place: Place
    event_time_ms: int
    event_id: str
    value: float


class Verdict(NamedTuple):
    """Why a row is as it is, and how many of its readings were late."""

    key: Key
    reason: Reason
    detail: str
    late: int = 0


@dataclass
class Evidence:
    """What the topics say beside the rows.

    `readings` and `forgotten` (marked repeats that only streaming aligned) are by row key, of rows that differ;
    `late` has (place, stream, definition), `partly_late` (place, stream, definition, window start).
    """

    readings: Mapping[Key, Sequence[Reading]]
    forgotten: Mapping[Key, Sequence[Reading]]
    late: Collection[tuple[Place, str, str]]
    partly_late: Collection[tuple[Place, str, str, int]]
    watermark_ms: int  # that streaming is known to have passed


def needs_readings(pair: Pair) -> bool:
    return pair.live is None or pair.batch is None or bool(pair.differs)


def explain(pair: Pair, evidence: Evidence) -> Verdict:
    """The verdict on one row."""
    if pair.live is not None and pair.live.repeats:
        times = pair.live.repeats + 1
        return Verdict(pair.key, Reason.DOUBLED, f"revision {pair.live.revision} was published {times} times")
    if pair.live is not None and not needs_readings(pair):
        if pair.live.late_readings:
            return Verdict(pair.key, Reason.RECOMPUTED, f"{pair.live.late_readings} late readings were put in")
        return Verdict(pair.key, Reason.REVISED if pair.live.is_revised else Reason.SAME, "")
    stream, definition, start_ms, end_ms, *_ = pair.key

    def in_time(readings: Sequence[Reading]) -> Sequence[Reading]:
        return [
            r
            for r in readings
            if (r.place, stream, definition) not in evidence.late
            and (r.place, stream, definition, start_ms) not in evidence.partly_late
        ]

    readings = evidence.readings.get(pair.key, ())
    held, forgotten = in_time(readings), in_time(evidence.forgotten.get(pair.key, ()))
    late = len(readings) - len(held)
    if pair.live is not None and pair.live.late_readings == late:  # all of them were put in
        held, late = readings, 0
    accounted = _fold([*held, *forgotten])
    if pair.live is None:
        return _absent(pair, accounted, late, end_ms - 1 <= evidence.watermark_ms)
    return _present(pair, pair.live, accounted, late, len(forgotten))


def _absent(pair: Pair, accounted: dict[str, Any], late: int, is_due: bool) -> Verdict:
    if not accounted["count"]:
        return Verdict(pair.key, Reason.LATE, f"all {late} readings were late", late)
    if not is_due:
        return Verdict(pair.key, Reason.OPEN, "not closed yet", late)
    return Verdict(pair.key, Reason.LOST, f"no row, and {accounted['count']} readings were in time", late)


def _present(pair: Pair, live: Row, accounted: dict[str, Any], late: int, forgotten: int) -> Verdict:
    said = dict(zip(WINDOW_ROWS.values, live.values, strict=True))
    count, due = said["count"], accounted["count"]
    if live.late_readings and count == due + live.late_readings and live.late_readings < late:
        rest = late - live.late_readings
        return Verdict(pair.key, Reason.LATE, f"{rest} of {late} late readings came after it was recomputed", rest)
    if count != due:
        reason = Reason.LOST if count < due else Reason.DOUBLED
        return Verdict(pair.key, reason, f"count {count}, and {due} readings were in time", late)
    scale = max(abs(accounted["min"]), abs(accounted["max"]))
    wrong = [name for name, value in accounted.items() if not is_same(said[name], value, scale)]
    if wrong or not (late or forgotten):
        return Verdict(pair.key, Reason.OTHER, f"another {', '.join(wrong or pair.differs)} than its readings", late)
    if late:
        return Verdict(pair.key, Reason.LATE, f"{late} of {late + due - forgotten} readings were late", late)
    return Verdict(pair.key, Reason.HORIZON, f"{forgotten} repeats came after their ids were forgotten")


def _fold(readings: Sequence[Reading]) -> dict[str, Any]:
    if not readings:
        return {"count": 0}
    ordered = sorted(readings, key=lambda r: (r.event_time_ms, r.event_id, r.value))
    values = [r.value for r in ordered]
    return {
        "count": len(values),
        "mean": sum(values) / len(values),
        "min": min(values),
        "max": max(values),
        "first": values[0],
        "first_event_time_ms": ordered[0].event_time_ms,
        "last": values[-1],
        "last_event_time_ms": ordered[-1].event_time_ms,
    }


def row_keys(record: Mapping[str, Any], stream: StreamRule) -> Iterator[Key]:
    """The keys of all windows that hold an aligned reading."""
    time_ms = record["event_time_ms"]
    for window in stream.windows:
        key = record["sensor_id" if window.key == "sensor" else window.key]
        start_ms = time_ms - (time_ms - window.offset_ms) % window.slide_ms
        while start_ms + window.size_ms > time_ms:
            yield (stream.name, window.name, start_ms, start_ms + window.size_ms, key, record["metric"])
            start_ms -= window.slide_ms
