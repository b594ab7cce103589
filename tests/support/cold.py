"""Cold records and files as a bridge leaves them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from jobs.bridge.breakers.config import ColdRule
from jobs.bridge.envelope import Enveloper
from jobs.bridge.spatial_key import KeyRule
from jobs.cold.record import ColdRecord
from jobs.cold.store import ColdStore

NOW_MS = 1_796_052_600_000
HOUR_MS = 3_600_000
wrap = Enveloper("test", "meridian", KeyRule().key()).message


def cold(age_ms: int, cause: str = "gone", **fields: Any) -> ColdRecord:
    """A reading that was diverted at its event time, so long before `NOW_MS`."""
    reading = {
        "event_id": f"e-{age_ms}",
        "sensor_id": "s1",
        "metric": "air_temperature",
        "value": 12.5,
        "unit": "degC",
        "event_time": NOW_MS - age_ms,
        "x": -2.1,
        "y": 57.1,
        "crs": "EPSG:4326",
        "region": "north",
        **fields,
    }
    return ColdRecord("telemetry.raw", wrap(reading, NOW_MS - age_ms), cause, NOW_MS - age_ms)


def kept(folder: Path, *files: list[ColdRecord]) -> Path:
    """A store with these files, each of a bridge of its own: b0, b1, …"""
    for number, records in enumerate(files):
        store = ColdStore(folder, f"b{number}", ColdRule.model_validate({"folder": "cold"}))
        store.append(records)
        store.finish()
    return folder


def ages(*ages_ms: int) -> list[ColdRecord]:
    """Records that are so old by the wall clock."""
    behind_ms = time.time_ns() // 1_000_000 - NOW_MS
    return [cold(age_ms - behind_ms) for age_ms in ages_ms]
