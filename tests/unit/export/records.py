"""Records as the job publishes them, for exports."""

from __future__ import annotations

from typing import Any

import orjson

MINUTE = 60_000
DAY_MS = 1_553_731_200_000  # 2019-03-28T00:00:00Z


def aligned(sensor: str = "s1", time_ms: int = DAY_MS, value: float = 1.5, **fields: Any) -> bytes:
    record = {
        "event_id": f"{sensor}-{time_ms}", "event_id_derived": False, "sensor_id": sensor, "region": "grampian",
        "stream": "air", "metric": "pm2_5", "value": value, "unit": "ug/m3", "value_original": value,
        "unit_original": "µg/m³", "quality": None, "event_time_ms": time_ms, "ingest_time_ms": time_ms + 500,
        "append_time_ms": time_ms + 700, "stale": False, "lon_deg": -2.1, "lat_deg": 57.15, "x": 1.0, "y": 2.0,
        "crs_source": "EPSG:4326", "crs_target": "EPSG:3035", "transform": "…", "accuracy_m": 1.0, "ballpark": False,
        "best_available": True, "z": None, "cell": "c1", "payload_version": "1",
        "topic": "raw", "partition": 0, "offset": 7,
    }  # fmt: skip
    return orjson.dumps(record | fields)


def window(key: str = "s1", start_ms: int = DAY_MS, revision: int = 1, mean: float = 1.5, **fields: Any) -> bytes:
    record = {
        "stream": "air", "definition": "5min", "key_kind": "sensor", "key": key, "metric": "pm2_5", "unit": "ug/m3",
        "window_start_ms": start_ms, "window_end_ms": start_ms + 5 * MINUTE, "count": 3, "mean": mean, "min": 1.0,
        "max": 2.0, "std": 0.1, "first": 1.0, "first_event_time_ms": start_ms, "last": 2.0,
        "last_event_time_ms": start_ms + MINUTE, "expected_count": 30.0, "completeness": 0.1, "sensors": 1,
        "lon_deg": -2.1, "lat_deg": 57.15, "x": 1.0, "y": 2.0, "timing": "on_time", "revision": revision,
        "max_event_time_ms": start_ms + MINUTE, "emitted_at_ms": start_ms + 6 * MINUTE,
    }  # fmt: skip
    return orjson.dumps(record | fields)
