"""The records that the keyed operators publish, gathered by topic and key.

One element that holds all records of a kind and key crosses to the JVM for the price of one, and is unnested there
(ARCHITECTURE.md, "Frames"); that is why the kinds are a column and not Python output tags.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import orjson

from udfs.aggregate import Aggregate
from udfs.aligned import close_aligned
from udfs.dead_letter import Source, dead_letter
from udfs.deduplicate import Deduplicated, Duplicate
from udfs.frame import Letter, Readings, Row
from udfs.pane import Window
from udfs.probe import ACCOUNTING_KEY, end_account
from udfs.reasons import Reason
from udfs.rules import Delivery, LimitRule, Rules, StreamRule
from udfs.sampling import estimate
from udfs.window import Firing, LateReading, Windowed


class Kind(StrEnum):
    """The sinks; each value is also the sink's operator name and its key under `topics` in a deployment file."""

    ALIGNED = "aligned"
    WINDOWS = "windows"
    LATE = "late_events"
    INVALID = "invalid_events"
    ACCOUNTING = "accounting"


class Sink(NamedTuple):
    """One Kafka sink; its name is its operator name, its uid and the first column of an output element."""

    kind: Kind
    delivery: Delivery

    @property
    def name(self) -> str:
        return self.kind.value if self.delivery == "exactly-once" else f"{self.kind.value}-{self.delivery}"


def sinks_of(streams: Iterable[StreamRule]) -> list[Sink]:
    """The sinks a deployment needs: aligned readings and windows as each stream asks, the rest exactly once."""
    deliveries = sorted({s.delivery for s in streams})
    return [Sink(k, d) for k in (Kind.ALIGNED, Kind.WINDOWS) for d in deliveries] + [
        Sink(k, "exactly-once") for k in (Kind.LATE, Kind.INVALID, Kind.ACCOUNTING)
    ]


class Outputs:
    """Collects the records of one frame or timer."""

    def __init__(self, rules: Rules, topic: str) -> None:
        self._topic = topic
        self._limits: LimitRule = rules.limits
        self._job_version = rules.job_version
        self._streams: dict[str, StreamRule] = {s.name: s for s in rules.streams}
        self._window_keys = {(s.name, w.name): w.key for s in rules.streams for w in s.windows}
        self._sink_names = {
            (kind, s.name): Sink(kind, s.delivery).name for s in rules.streams for kind in (Kind.ALIGNED, Kind.WINDOWS)
        }
        self._records: dict[tuple[str, bytes], list[bytes]] = {}

    def take(self) -> list[tuple[str, bytes, list[bytes]]]:
        """Hand over `(sink name, key, records)` of all that was collected, and start anew."""
        records, self._records = self._records, {}
        return [(sink, key, values) for (sink, key), values in records.items() if values]

    def invalid(self, letters: Iterable[Letter]) -> None:
        for _, key, letter in letters:
            self._add(Kind.INVALID.value, key, letter)

    def probes(self, starts: Iterable[bytes]) -> None:
        for start in starts:
            self._add(Kind.ACCOUNTING.value, ACCOUNTING_KEY, end_account(start))

    def deduplicated(self, readings: Readings, fate: Deduplicated) -> None:
        """The aligned records of a frame, its duplicates and its id conflicts."""
        targets = [
            (self._records.setdefault((self._sink_names[Kind.ALIGNED, s.stream], s.key), []).append, s.aligned)
            for s in readings.stations
        ]
        heads, station, beyond_horizon = readings.aligned, readings.station, fate.beyond_horizon
        for row in fate.unique:
            append, tail = targets[station[row]]
            append(close_aligned(heads[row], tail, row in beyond_horizon))
        for duplicate in fate.duplicates:
            self._duplicate(readings.row(duplicate.row), duplicate)
        for conflict in fate.conflicts:
            self._conflict(readings.row(conflict.row), conflict)

    def windowed(self, windowed: Windowed, readings: Readings | None = None) -> None:
        """All that a frame (of `readings`) or a timer did to the windows of a shard."""
        for firing in windowed.firings:
            self._window(firing)
        if readings is not None:
            for late in windowed.late:
                self._late(readings.row(late.row), late)
            for late in windowed.partly_late:
                self._partly_late(readings.row(late.row), late)

    def _duplicate(self, reading: Row, duplicate: Duplicate) -> None:
        record = {
            "class": "duplicate",
            "topic": self._topic,
            "partition": reading.partition,
            "offset": reading.offset,
            "sensor_id": reading.station.sensor_id,
            "event_id": reading.event_id,
            "repeats_partition": duplicate.first_partition,
            "repeats_offset": duplicate.first_offset,
        }
        self._add(Kind.ACCOUNTING.value, reading.station.key, orjson.dumps(record))

    def _conflict(self, reading: Row, conflict: Duplicate) -> None:
        message = (
            f"event id {reading.event_id!r} was first seen with other content "
            f"at partition {conflict.first_partition}, offset {conflict.first_offset}"
        )
        self._add(Kind.INVALID.value, reading.station.key, self._letter(Reason.ID_CONFLICT, message, reading, {}))

    def _late(self, reading: Row, late: LateReading) -> None:
        station, last = reading.station, late.missed[0]
        allowed_ms = self._streams[station.stream].allowed_lateness_ms
        lateness_ms = late.watermark_ms - reading.event_time_ms
        details = {
            "stream": station.stream,
            "definition": late.definition,
            "window_start_ms": last.start_ms,
            "window_end_ms": last.end_ms,
            "missed_windows": [w.start_ms for w in late.missed],
            "watermark_ms": late.watermark_ms,
            "event_time_ms": reading.event_time_ms,
            "lateness_ms": lateness_ms,
            "allowed_lateness_ms": allowed_ms,
            "sensor_id": station.sensor_id,
            "metric": station.metric,
            "event_id": reading.event_id,
        }
        message = f"{lateness_ms} ms behind the watermark; {late.definition} allows {allowed_ms} ms after the window"
        self._add(Kind.LATE.value, station.key, self._letter(Reason.LATE, message, reading, details))

    def _partly_late(self, reading: Row, late: LateReading) -> None:
        station = reading.station
        record = {
            "class": "partly_late",
            "topic": self._topic,
            "partition": reading.partition,
            "offset": reading.offset,
            "stream": station.stream,
            "definition": late.definition,
            "missed_windows": [w.start_ms for w in late.missed],
            "watermark_ms": late.watermark_ms,
        }
        self._add(Kind.ACCOUNTING.value, station.key, orjson.dumps(record))

    def _window(self, firing: Firing) -> None:
        window, aggregate = firing.window, firing.aggregate
        stream = self._streams.get(window.stream)
        record = {
            "stream": window.stream,
            "definition": window.definition,
            "key_kind": self._window_keys.get((window.stream, window.definition)),
            "key": aggregate.key,
            "metric": aggregate.metric,
            "unit": stream.unit if stream else None,
            "window_start_ms": window.start_ms,
            "window_end_ms": window.end_ms,
            "count": aggregate.count,
            "mean": aggregate.mean,
            "min": aggregate.min,
            "max": aggregate.max,
            "std": aggregate.std,
            "first": aggregate.first,
            "first_event_time_ms": aggregate.first_ms,
            "last": aggregate.last,
            "last_event_time_ms": aggregate.last_ms,
            **_completeness(stream, window, aggregate, max(1, len(aggregate.sensors))),
            "sensors": len(aggregate.sensors) or 1,
            "lon_deg": aggregate.lon_deg,
            "lat_deg": aggregate.lat_deg,
            "x": aggregate.x,
            "y": aggregate.y,
            "timing": firing.timing,
            "revision": firing.revision,
            "max_event_time_ms": aggregate.last_ms,
            "emitted_at_ms": time.time_ns() // 1_000_000,
            **_estimates(aggregate),
        }
        if firing.late_readings:
            record["late_readings"] = firing.late_readings
        # A JSON list, because sensor ids and metrics may hold any separator; compaction keeps one record per key.
        key = orjson.dumps([*window, aggregate.key, aggregate.metric])
        sink = self._sink_names.get((Kind.WINDOWS, window.stream), Kind.WINDOWS.value)
        self._add(sink, key, orjson.dumps(record))

    def _letter(self, reason: Reason, message: str, reading: Row, details: dict[str, object]) -> bytes:
        return dead_letter(
            reason,
            message,
            Source(self._topic, reading.partition, reading.offset, reading.append_time_ms),
            reading.raw,
            payload_limit=self._limits.dlq_payload_bytes,
            job_version=self._job_version,
            key=reading.station.key,
            details=details,
        )

    def _add(self, sink: str, key: bytes, value: bytes) -> None:
        values = self._records.get((sink, key))
        if values is None:
            self._records[sink, key] = [value]
        else:
            values.append(value)


def _completeness(
    stream: StreamRule | None, window: Window, aggregate: Aggregate, sensors: int
) -> dict[str, float | None]:
    """Expected readings of the sensors seen, and the share of them that came (above 1 when a sensor sends more)."""
    if stream is None or stream.period_ms is None:
        return {"expected_count": None, "completeness": None}
    expected = sensors * (window.end_ms - window.start_ms) / stream.period_ms
    count = aggregate.count if aggregate.sample is None else aggregate.sample.weight
    return {"expected_count": expected, "completeness": count / expected}


def _estimates(aggregate: Aggregate) -> dict[str, float | None]:
    """What the sampled readings of a window say of all; nothing where none is sampled."""
    if aggregate.sample is None:
        return {}
    of_all = estimate(aggregate.count, aggregate.sample)
    return {
        "sampling_fraction": of_all.fraction,
        "estimated_count": of_all.readings,
        "estimated_count_low": of_all.readings_low,
        "estimated_count_high": of_all.readings_high,
        "estimated_mean": of_all.mean,
        "estimated_mean_low": of_all.mean_low,
        "estimated_mean_high": of_all.mean_high,
    }
