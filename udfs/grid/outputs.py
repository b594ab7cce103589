"""The records that the grid job publishes, gathered by topic and key; see `udfs.outputs` for why."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum

import orjson

from udfs.dead_letter import Source, dead_letter
from udfs.grid.clock import ClockEstimate
from udfs.grid.fate import PARTLY_LATE, Row
from udfs.grid.frame import GridReadings
from udfs.grid.rules import GridRule, GridRules
from udfs.reasons import Reason


class Kind(StrEnum):
    """The sinks; each value is also the sink's operator name and its key under `topics` in a grid file."""

    GRID = "grid"
    LATE = "late_grid"
    ACCOUNTING = "grid_accounting"
    CLOCKS = "clocks"


class Outputs:
    """Collects the records of one frame or timer."""

    def __init__(self, rules: GridRules) -> None:
        self._rules = rules
        self._topics = {source.name: source.topic for source in rules.sources}
        self._records: dict[tuple[str, bytes], list[bytes]] = {}

    def take(self) -> list[tuple[str, bytes, list[bytes]]]:
        """Hand over `(sink name, key, records)` of all that was collected, and start anew."""
        records, self._records = self._records, {}
        return [(sink, key, values) for (sink, key), values in records.items()]

    def row(self, grid: GridRule, row: Row) -> None:
        content = row.content
        record = {
            "grid": grid.name,
            "place_kind": grid.place,
            "place": row.place,
            "instant_ms": row.instant_ms,
            "period_ms": grid.period_ms,
            "values": orjson.Fragment(content.values),
            "complete": content.is_complete,
            "settled": content.settles_ms <= row.watermark_ms,
            "timing": row.timing,
            "revision": row.revision,
            "watermark_ms": row.watermark_ms,
            "emitted_at_ms": time.time_ns() // 1_000_000,
        }
        # A JSON list, because names of places may hold any separator; compaction keeps one record per key.
        self._add(Kind.GRID, orjson.dumps([grid.name, row.place, row.instant_ms]), orjson.dumps(record))

    def late(self, grid: GridRule, readings: GridReadings, index: int, watermark_ms: int) -> None:
        """The dead letter of a reading whose instants are all closed, with the aligned record as its payload."""
        lane = readings.lanes[readings.lane[index]]
        time_ms = readings.time_ms[index]
        allowed_ms, lateness_ms = grid.allowed_lateness_ms, watermark_ms - time_ms
        influence_ms = max(grid.influence_ms(m) for m in grid.metrics if m.name in lane.metrics)
        details = {
            "stage": "grid",
            "stream": lane.stream,
            "definition": grid.name,
            "place": lane.place,
            "last_instant_ms": grid.last_instant(time_ms + influence_ms),
            "watermark_ms": watermark_ms,
            "event_time_ms": time_ms,
            "clock_correction_ms": readings.correction_ms[index],
            "lateness_ms": lateness_ms,
            "allowed_lateness_ms": allowed_ms,
            "sensor_id": lane.sensor_id,
            "metric": lane.metric,
        }
        letter = dead_letter(
            Reason.LATE,
            f"{lateness_ms} ms behind the watermark; {grid.name} allows {allowed_ms} ms after a row",
            Source(
                self._topics[lane.source], readings.partition[index], readings.offset[index], readings.append_ms[index]
            ),
            readings.raw[index],
            payload_limit=self._rules.dlq_payload_bytes,
            job_version=self._rules.job_version,
            details=details,
        )
        self._add(Kind.LATE, lane.place.encode(), letter)

    def partly_late(
        self, grid: GridRule, readings: GridReadings, index: int, open_from_ms: int, watermark_ms: int
    ) -> None:
        """Note a reading that has changed rows, but came too late for those before an instant."""
        lane = readings.lanes[readings.lane[index]]
        record = {
            "grid": grid.name,
            "source": lane.source,
            "topic": self._topics[lane.source],
            "counts": {},
            "class": PARTLY_LATE,
            "partition": readings.partition[index],
            "offset": readings.offset[index],
            "event_time_ms": readings.time_ms[index],
            "open_from_ms": open_from_ms,
            "watermark_ms": watermark_ms,
        }
        self._add(Kind.ACCOUNTING, grid.name.encode(), orjson.dumps(record))

    def counted(self, grid: str, source: str, counts: Mapping[str, int]) -> None:
        """How many readings of a source went which way in a grid, as a difference to what was said before."""
        record = {"grid": grid, "source": source, "topic": self._topics[source], "counts": counts}
        self._add(Kind.ACCOUNTING, grid.encode(), orjson.dumps(record))

    def clock(self, sensor_id: str, source: str, found: ClockEstimate, correction_ms: int) -> None:
        record = {
            "sensor_id": sensor_id,
            "source": source,
            "against": self._rules.clock.against,
            **found._asdict(),
            "correction_ms": correction_ms,
        }
        self._add(Kind.CLOCKS, sensor_id.encode(), orjson.dumps(record))

    def _add(self, sink: Kind, key: bytes, value: bytes) -> None:
        self._records.setdefault((sink.value, key), []).append(value)
