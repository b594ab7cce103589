"""The aligned record: what a reading looks like once it is aligned in time and in space."""

from __future__ import annotations

import orjson
import xxhash

from udfs.dead_letter import Source
from udfs.frame import Accepted
from udfs.reading import Headers, Position, Reading

_NUL = "\0"


def derive_event_id(reading: Reading, event_time_ns: int) -> str:
    """Name a reading that came without an id by what it measured, its time at full precision.

    Python's `hash()` differs between processes, so ids and digests use XXH3 (https://xxhash.com).
    """
    text = f"{reading.sensor_id}{_NUL}{reading.metric}{_NUL}{event_time_ns}{_NUL}{reading.value_original!r}"
    return "d-" + xxhash.xxh3_128_hexdigest(text.encode())


def accept(
    reading: Reading,
    headers: Headers,
    event_time_ns: int,
    position: Position,
    source: Source,
    key: bytes,
    raw: bytes,
    target_crs: str,
    stale_after_ms: int,
) -> Accepted:
    """Make the frame's entry of a reading; its `aligned` JSON lacks the closing brace (see `close_aligned`).

    Parameters
    ----------
    event_time_ns : epoch nanoseconds UTC; the record keeps milliseconds.
    stale_after_ms : older than this at ingest is marked `stale`, not rejected.
    """
    event_time_ms = event_time_ns // 1_000_000
    event_id = reading.event_id
    derived = event_id is None
    if event_id is None:
        event_id = derive_event_id(reading, event_time_ns)
    ingest_time_ms = headers.ingest_timestamp_ms
    if ingest_time_ms is None:
        ingest_time_ms = source.append_time_ms
    record = {
        "event_id": event_id,
        "event_id_derived": derived,
        "sensor_id": reading.sensor_id,
        "region": reading.region,
        "stream": reading.stream.name,
        "metric": reading.metric,
        "value": reading.value,
        "unit": reading.unit,
        "value_original": reading.value_original,
        "unit_original": reading.unit_original,
        "quality": reading.quality,
        "event_time_ms": event_time_ms,
        "ingest_time_ms": ingest_time_ms,
        "append_time_ms": source.append_time_ms,
        "stale": source.append_time_ms - event_time_ms > stale_after_ms,
        "lon_deg": position.lon_deg,
        "lat_deg": position.lat_deg,
        "x": position.x,
        "y": position.y,
        "z": reading.z,
        "crs_source": reading.crs,
        "crs_target": target_crs,
        "transform": position.transform,
        "accuracy_m": position.accuracy_m,
        "ballpark": position.ballpark,
        "best_available": position.best_available,
        "cell": position.cell,
        "payload_version": headers.payload_version,
        "topic": source.topic,
        "partition": source.partition,
        "offset": source.offset,
    }
    if reading.attributes:
        record["attributes"] = reading.attributes
    content = (
        f"{reading.sensor_id}{_NUL}{reading.metric}{_NUL}{event_time_ns}{_NUL}{reading.value_original!r}{_NUL}"
        f"{reading.unit_original}{_NUL}{reading.x!r}{_NUL}{reading.y!r}{_NUL}{reading.crs}"
    )
    return Accepted(
        reading.stream.name,
        reading.sensor_id,
        reading.metric,
        reading.region,
        position.cell,
        event_id,
        event_time_ms,
        reading.value,
        position.lon_deg,
        position.lat_deg,
        position.x,
        position.y,
        xxhash.xxh3_64_intdigest(f"{reading.sensor_id}{_NUL}{event_id}".encode()),
        xxhash.xxh3_64_intdigest(content.encode()),
        source.partition,
        source.offset,
        source.append_time_ms,
        key or position.cell.encode(),
        raw,
        orjson.dumps(record)[:-1],
    )


def close_aligned(reading: Accepted, beyond_dedup_horizon: bool) -> bytes:
    """Finish the aligned JSON with what only the deduplicate stage knows."""
    return reading.aligned + (b',"beyond_dedup_horizon":true}' if beyond_dedup_horizon else b"}")
