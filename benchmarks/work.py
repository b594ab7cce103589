"""What the work *whole* does to one reading: functions shared by the baselines."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec
import orjson

from benchmarks.positions import Position, Positions, UnusablePosition
from benchmarks.settings import (
    CONTROL_CONTENT_TYPE,
    DEDUP_TTL_MS,
    DLQ_PAYLOAD_BYTES,
    MAX_FUTURE_MS,
    METRICS,
    STALE_AFTER_MS,
    TARGET_CRS,
    WindowDefinition,
)

_VERSION = "baseline"
_BUCKET_MS = 300_000
_CONTROL = CONTROL_CONTENT_TYPE.encode()

Headers = dict[str, Any]


class Refused(Exception):  # noqa: N818
    """A reading that becomes a dead letter; the arguments are reason and message."""


class Raw(msgspec.Struct, gc=False):
    """A reading as sent; decoding checks presence and types."""

    event_id: str
    sensor_id: str
    region: str
    metric: str
    value: float
    unit: str
    event_time: int
    x: float
    y: float
    crs: str
    z: float | None = None
    quality: str | int | float | None = None


class Reading(msgspec.Struct, gc=False):
    """A validated reading, its value in the canonical unit."""

    raw: Raw
    stream: str
    value: float
    unit: str
    position: Position


class Aligned(msgspec.Struct, gc=False):
    """The aligned record."""

    event_id: str
    event_id_derived: bool
    sensor_id: str
    region: str
    stream: str
    metric: str
    value: float
    unit: str
    value_original: float
    unit_original: str
    quality: str | int | float | None
    event_time_ms: int
    ingest_time_ms: int
    append_time_ms: int
    stale: bool
    lon_deg: float
    lat_deg: float
    x: float
    y: float
    z: float | None
    crs_source: str
    crs_target: str
    transform: str
    accuracy_m: float | None
    ballpark: bool
    best_available: bool
    cell: str
    payload_version: str
    topic: str
    partition: int
    offset: int
    beyond_dedup_horizon: bool


_decode = msgspec.json.Decoder(Raw).decode
_encode = msgspec.json.Encoder().encode
_conversions = {(name, unit): (m, *line) for name, m in METRICS.items() for unit, line in m.units.items()}


def is_control(headers: Headers) -> bool:
    return headers.get("content-type") == _CONTROL


def read(body: bytes, headers: Headers, append_ms: int, positions: Positions) -> Reading:
    """Decode, validate, convert and locate one reading.

    Raises
    ------
    Refused : it cannot be believed.
    """
    try:
        raw = _decode(body)
    except msgspec.ValidationError as error:
        raise Refused("missing_field" if "missing" in str(error) else "wrong_type", str(error)) from None
    except msgspec.DecodeError as error:
        raise Refused("malformed_json", str(error)) from None
    time_ms = raw.event_time
    if time_ms > append_ms + MAX_FUTURE_MS:
        raise Refused("in_future", f"{time_ms - append_ms} ms ahead")
    try:
        same = headers["sensor_id"] == raw.sensor_id.encode() and headers["crs_source"] == raw.crs.encode()
        same = same and int(headers["event_timestamp"]) == time_ms
    except (KeyError, ValueError) as problem:
        raise Refused("broken_header", repr(problem)) from None
    if not same:
        raise Refused("header_mismatch", "headers and value differ")
    conversion = _conversions.get((raw.metric, raw.unit))
    if conversion is None:
        reason = "unknown_unit" if raw.metric in METRICS else "unknown_metric"
        raise Refused(reason, f"{raw.metric} in {raw.unit}")
    metric, scale, shift = conversion
    value = raw.value * scale + shift
    if not metric.lowest <= value <= metric.highest:
        raise Refused("value_out_of_range", f"{value} {metric.unit}")
    try:
        position = positions.locate(raw.crs, raw.x, raw.y)
    except UnusablePosition as problem:
        raise Refused(*problem.args) from None
    return Reading(raw, metric.stream, value, metric.unit, position)


def aligned_record(
    reading: Reading, headers: Headers, topic: str, partition: int, offset: int, append_ms: int
) -> bytes:
    """The aligned record with the fields of the job's contract."""
    raw, position = reading.raw, reading.position
    # Positional: keywords cost msgspec more than the values do.
    return _encode(
        Aligned(
            raw.event_id,
            False,
            raw.sensor_id,
            raw.region,
            reading.stream,
            raw.metric,
            reading.value,
            reading.unit,
            raw.value,
            raw.unit,
            raw.quality,
            raw.event_time,
            int(headers["ingest_timestamp"]),
            append_ms,
            append_ms - raw.event_time > STALE_AFTER_MS,
            position.lon_deg,
            position.lat_deg,
            position.x,
            position.y,
            raw.z,
            raw.crs,
            TARGET_CRS,
            position.transform,
            position.accuracy_m,
            position.ballpark,
            position.best_available,
            position.cell,
            headers["payload_version"].decode(),
            topic,
            partition,
            offset,
            False,
        )
    )


def dead_letter(
    reason: str,
    stage: str,
    message: str,
    source: tuple[str, int, int, int],
    key: bytes | None,
    body: bytes,
    headers: Headers | None = None,
    **details: Any,
) -> bytes:
    """A DLQ record with the fields of the job's contract; `source` is topic, partition, offset and append time."""
    topic, partition, offset, append_ms = source
    return orjson.dumps(
        {
            "reason": reason,
            "stage": stage,
            "message": message,
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "append_time_ms": append_ms,
            "key_base64": None if key is None else base64.b64encode(key).decode(),
            "headers": None if headers is None else {n: base64.b64encode(v).decode() for n, v in headers.items()},
            "payload_base64": base64.b64encode(body[:DLQ_PAYLOAD_BYTES]).decode(),
            "payload_bytes": len(body),
            "payload_sha256": hashlib.sha256(body).hexdigest(),
            "truncated": len(body) > DLQ_PAYLOAD_BYTES,
            "replayable": True,
            "job_version": _VERSION,
            **details,
        }
    )


def late_letter(
    definition: WindowDefinition,
    reading: Reading,
    watermark_ms: int,
    source: tuple[str, int, int, int],
    key: bytes | None,
    body: bytes,
) -> bytes:
    """The dead letter of a reading that missed all windows of a definition."""
    time_ms = reading.raw.event_time
    slide_ms, size_ms = definition.slide_ms, definition.size_ms
    missed = list(range(time_ms - time_ms % slide_ms, time_ms - size_ms, -slide_ms))
    lateness_ms = watermark_ms - time_ms
    return dead_letter(
        "late",
        "window",
        f"{lateness_ms} ms behind the watermark",
        source,
        key,
        body,
        stream=reading.stream,
        definition=definition.name,
        window_start_ms=missed[0],
        window_end_ms=missed[0] + size_ms,
        missed_windows=missed,
        watermark_ms=watermark_ms,
        event_time_ms=time_ms,
        lateness_ms=lateness_ms,
        allowed_lateness_ms=definition.allowed_lateness_ms,
        sensor_id=reading.raw.sensor_id,
        metric=reading.raw.metric,
        event_id=reading.raw.event_id,
    )


class Seen:
    """Ids of the last day of event time, forgotten by buckets of five minutes.

    Kept as 64-bit hashes: a day of ids would not fit into memory, and a set of integers is kinder to the cache.
    """

    def __init__(self, ttl_ms: int = DEDUP_TTL_MS) -> None:
        self._ttl_ms = ttl_ms
        self._buckets: dict[int, set[int]] = {}

    def add(self, sensor: str, event_id: str, time_ms: int) -> bool:
        """Remember an id; False when it was known."""
        ids = self._buckets.get(time_ms // _BUCKET_MS)
        if ids is None:
            ids = self._buckets[time_ms // _BUCKET_MS] = set()
        before = len(ids)
        ids.add(hash((sensor, event_id)))
        return len(ids) > before

    def expire(self, watermark_ms: int) -> None:
        oldest = (watermark_ms - self._ttl_ms) // _BUCKET_MS
        for bucket in [b for b in self._buckets if b < oldest]:
            del self._buckets[bucket]
