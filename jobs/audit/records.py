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
    sampling_fraction: float = 1.0


class ShedCount(msgspec.Struct):
    stream: str
    reason: str
    count: int


class Accounting(msgspec.Struct):
    kind: str = msgspec.field(name="class")
    partition: int = -1
    offset: int = -1
    sensor_id: str = ""
    event_id: str = ""
    repeats_partition: int = -1
    repeats_offset: int = -1
    stream: str = ""
    definition: str = ""
    missed_windows: list[int] = []
    # of a bridge
    bridge: str = ""
    run: str = ""
    first_number: int = 0
    end_number: int = 0
    shed: list[ShedCount] = []
    cold: list[tuple[int, int]] = []
    is_last: bool = False


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
    estimated_count: float | None = None
    estimated_mean: float | None = None
    late_readings: int = 0


class Time(msgspec.Struct, gc=False):
    event_time: int | float | str | None = None


decode_aligned = msgspec.json.Decoder(Aligned).decode
decode_accounting = msgspec.json.Decoder(Accounting).decode
decode_letter = msgspec.json.Decoder(Letter).decode
decode_window = msgspec.json.Decoder(Window).decode
decode_time = msgspec.json.Decoder(Time).decode
