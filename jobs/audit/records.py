"""The fields of published records that the audit reads; msgspec skips the rest without making objects of it."""

from __future__ import annotations

import msgspec


class Aligned(msgspec.Struct, gc=False):
    partition: int
    offset: int
    stream: str
    metric: str
    sensor_id: str
    cell: str
    region: str
    event_id: str
    event_time_ms: int
    value: float
    beyond_dedup_horizon: bool = False


class Accounting(msgspec.Struct, gc=False):
    partition: int
    offset: int
    kind: str = msgspec.field(name="class")
    sensor_id: str = ""
    event_id: str = ""
    repeats_partition: int = -1
    repeats_offset: int = -1
    stream: str = ""
    definition: str = ""
    missed_windows: list[int] = []


class Letter(msgspec.Struct, gc=False):
    partition: int
    offset: int
    reason: str
    payload_sha256: str | None = None
    stream: str = ""
    definition: str = ""
    missed_windows: list[int] = []
    event_time_ms: int = 0
    watermark_ms: int = 0
    lateness_ms: int = 0


class Window(msgspec.Struct, gc=False):
    stream: str
    definition: str
    key: str
    metric: str
    window_start_ms: int
    window_end_ms: int
    revision: int
    timing: str
    count: int
    mean: float
    min: float
    max: float
    first: float
    last: float
    first_event_time_ms: int
    last_event_time_ms: int


class Time(msgspec.Struct, gc=False):
    event_time: int | float | str | None = None


decode_aligned = msgspec.json.Decoder(Aligned).decode
decode_accounting = msgspec.json.Decoder(Accounting).decode
decode_letter = msgspec.json.Decoder(Letter).decode
decode_window = msgspec.json.Decoder(Window).decode
decode_time = msgspec.json.Decoder(Time).decode
