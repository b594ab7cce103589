"""The rules a reading is judged by: plain frozen values that travel to the workers.

`jobs.pipeline.config` makes them from the deployment file; the stages only read them. All times are integer
milliseconds, all distances metres.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from udfs.writer_schema import WriterSchema

WindowKey = Literal["sensor", "cell", "region"]
Delivery = Literal["exactly-once", "at-least-once", "best-effort"]

DAY_MS = 86_400_000


@dataclass(frozen=True)
class WindowDefinition:
    """A tumbling (`slide_ms == size_ms`) or sliding event-time window `[start, start + size_ms)`."""

    name: str
    key: WindowKey
    size_ms: int
    slide_ms: int
    offset_ms: int = 0
    early_every_ms: int | None = None  # a provisional result each so many ms of event time, before the watermark


@dataclass(frozen=True)
class StreamRule:
    """What holds for the metrics of one stream; the first stream whose pattern matches a metric takes it."""

    name: str
    metrics: tuple[str, ...]  # fnmatch patterns
    unit: str  # canonical unit, by its symbol in `udfs.units`
    valid_min: float = float("-inf")
    valid_max: float = float("inf")
    period_ms: int | None = None  # the expected time between readings of one sensor, for completeness
    time_zone: str | None = None  # tz database name for naive times; None: a naive time is rejected
    max_age_ms: int = 30 * DAY_MS
    allowed_lateness_ms: int = 0
    windows: tuple[WindowDefinition, ...] = ()
    delivery: Delivery = "exactly-once"
    sampled: bool = False  # readings may say in `sampling_fraction` that they stand for others


@dataclass(frozen=True)
class TimeRule:
    """Plausibility of event times, measured against Kafka's append time."""

    floor_ms: int = 1_577_836_800_000  # 2020-01-01T00:00:00Z
    max_future_ms: int = 60_000
    stale_after_ms: int = 3_600_000  # warned and counted, not rejected
    out_of_orderness_ms: int = 30_000


@dataclass(frozen=True)
class BoundingBox:
    """A region's box in EPSG:4326 degrees, x = longitude; `west > east` crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True)
class PositionRule:
    """Where readings are moved to and which positions are believed."""

    target_crs: str = "EPSG:3857"
    ballpark: Literal["mark", "reject"] = "mark"
    regions: tuple[tuple[str, BoundingBox], ...] = ()  # only regions whose box is known
    area_tolerance_deg: float = 0.1  # how far outside the area of use of its CRS a position is still believed


@dataclass(frozen=True)
class CellRule:
    """How a position becomes a cell: the region's name, a square of the target CRS, or an H3 index."""

    scheme: Literal["region", "grid", "h3"] = "grid"
    grid_m: float = 1_000.0
    h3_resolution: int = 7


@dataclass(frozen=True)
class DedupRule:
    """How long an event id is remembered, in event time."""

    ttl_ms: int = DAY_MS
    bucket_ms: int = 300_000


@dataclass(frozen=True)
class LimitRule:
    max_body_bytes: int = 1_048_576
    dlq_payload_bytes: int = 65_536


@dataclass(frozen=True)
class LookupRule:
    """What to do about a schema id that is not known while the registry does not answer."""

    when_unreachable: Literal["wait", "refuse"] = "wait"
    wait_ms: int = 120_000  # the bound of `wait`; then as `refuse`
    ask_again_after_ms: int = 10_000  # a silent registry, or one that did not know an id


@dataclass(frozen=True)
class SchemaRule:
    """What is known of writers' schemas without asking anybody."""

    known: tuple[tuple[int | None, WriterSchema], ...] = ()  # with the registry's id, where it has one
    reader: str = ""  # Avro JSON that writers are resolved to; empty: `udfs/schemas/reading.avsc`
    lookup: LookupRule = field(default_factory=LookupRule)


@dataclass(frozen=True)
class Rules:
    """All that the workers need to know of a deployment."""

    streams: tuple[StreamRule, ...]
    time: TimeRule = field(default_factory=TimeRule)
    position: PositionRule = field(default_factory=PositionRule)
    cell: CellRule = field(default_factory=CellRule)
    dedup: DedupRule = field(default_factory=DedupRule)
    limits: LimitRule = field(default_factory=LimitRule)
    schemas: SchemaRule = field(default_factory=SchemaRule)
    attribute_headers: tuple[str, ...] = ()  # Kafka headers carried into an aligned reading's attributes
    shards: int = 32  # keyed-state shards of sensors; STATE-BREAKING to change
    job_version: str = "0.1.0"


def pack_rules(rules: Rules) -> bytes:
    """Write rules as MessagePack, for where they cannot travel as Python objects (`udfs.flink.embedded`)."""
    return msgspec.msgpack.encode(rules)


def unpack_rules(data: bytes) -> Rules:
    return msgspec.msgpack.decode(data, type=Rules)
