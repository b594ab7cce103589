"""Records that pass between the stages of the job."""

from __future__ import annotations

from typing import Any

import msgspec

from udfs.rules import StreamRule

MAX_TEXT_LENGTH = 256  # characters of an id or a name, in a header as in the value


class Headers(msgspec.Struct, gc=False):
    """The raw envelope's headers, decoded; None where a (foreign) producer left one out."""

    sensor_id: str | None = None
    ingest_timestamp_ms: int | None = None
    event_timestamp_ms: int | None = None
    crs_source: str | None = None
    payload_version: str | None = None
    content_type: str | None = None
    sampling_fraction: float | None = None  # None for 1, too


class Reading(msgspec.Struct):
    """A validated reading, before its time and position are normalised."""

    sensor_id: str
    region: str
    metric: str
    stream: StreamRule
    value: float  # canonical unit of the stream
    unit: str
    value_original: float
    unit_original: str
    event_time: object  # as sent: number or text
    x: float
    y: float
    crs: str
    event_id: str | None = None
    z: float | None = None
    quality: str | int | float | None = None
    attributes: dict[str, Any] | None = None


class Position(msgspec.Struct, gc=False):
    """Where a reading was taken; `x`, `y` are in the target CRS, (x, y) order as everywhere."""

    lon_deg: float
    lat_deg: float
    x: float
    y: float
    cell: str
    transform: str  # PROJ's name of the operation
    accuracy_m: float | None  # None: unknown to PROJ
    ballpark: bool
    best_available: bool  # False: a more accurate operation exists but its grid is not installed
