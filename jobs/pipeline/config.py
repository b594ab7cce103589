"""The deployment file: one YAML document, validated before anything is submitted.

Unknown keys are refused; `${NAME}` takes a value from the environment (secrets are never written here). Engine
settings (memory, checkpoints, restarts) stay in `flink-conf/config.yaml`. `meridian config schema` prints the JSON
Schema.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from jobs import __version__
from jobs.pipeline.durations import DurationMs, format_duration
from jobs.pipeline.kafka_security import KafkaSecurity, secret_properties
from jobs.pipeline.schema_config import Schemas
from jobs.pipeline.section import Section
from jobs.pipeline.zone import ZoneName
from udfs import crs_text, rules, units
from udfs.dead_letter import REPLAY_OF
from udfs.reasons import Rejected

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
TopicName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
Offsets = dict[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]  # by partition


class Kafka(Section):
    """Where the topics are; `properties` go to every Kafka client of the job unchanged, and hold no secrets."""

    bootstrap_servers: str = "127.0.0.1:9092"
    security: KafkaSecurity | None = None
    properties: dict[str, str] = {}
    start: Literal["earliest", "latest"] | Offsets = "earliest"
    stop: Offsets | None = Field(default=None, description="offsets at which the job ends; none: it does not end")
    transaction_timeout: Annotated[DurationMs, Field(ge=60_000, le=900_000)] = 600_000  # the broker's default maximum

    @field_validator("properties")
    @classmethod
    def _no_secret_travels(cls, value: dict[str, str]) -> dict[str, str]:
        if names := secret_properties(value):
            raise ValueError(f"{', '.join(names)}: a secret would travel with the job; kafka.security names files")
        return value

    @model_validator(mode="after")
    def _said_once(self) -> Kafka:
        if self.security is not None and (twice := self.security.java_properties().keys() & self.properties.keys()):
            raise ValueError(f"properties: {', '.join(sorted(twice))}: kafka.security says it")
        return self


class Topic(Section):
    name: TopicName
    partitions: int = Field(default=4, ge=1, le=10_000)
    replication: int = Field(default=1, ge=1, le=10)
    retention: DurationMs = 7 * rules.DAY_MS


def _topic(name: str, retention_days: int = 7) -> Any:
    return Field(default_factory=lambda: Topic.model_validate({"name": name, "retention": f"{retention_days} d"}))


class Topics(Section):
    """The raw topic is stamped by the broker (LogAppendTime), so retention never deletes old event times early."""

    raw: Topic = _topic("telemetry.raw")
    aligned: Topic = _topic("telemetry.aligned", 30)
    windows: Topic = _topic("telemetry.windows", 30)
    late_events: Topic = _topic("dlq.late_events", 30)
    invalid_events: Topic = _topic("dlq.invalid_events", 30)
    accounting: Topic = _topic("telemetry.accounting")


def _date_ms(value: Any) -> Any:
    if isinstance(value, dt.date):
        moment = value if isinstance(value, dt.datetime) else dt.datetime(value.year, value.month, value.day)
    elif isinstance(value, str):
        moment = dt.datetime.fromisoformat(value)
    else:
        raise ValueError("a UTC date such as 2020-01-01")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return int(moment.timestamp() * 1000)


class Time(Section):
    """Plausibility and disorder of event times. One out-of-orderness for the job: the largest any stream needs."""

    floor: Annotated[int, BeforeValidator(_date_ms)] = 1_577_836_800_000
    max_future: DurationMs = 60_000
    stale_after: DurationMs = 3_600_000
    out_of_orderness: DurationMs = 30_000
    idle_after: DurationMs = 30_000
    watermarks: Literal["periodic", "on-event"] = "periodic"


_Box = tuple[float, float, float, float]


class Position(Section):
    target_crs: str = "EPSG:3857"
    ballpark: Literal["mark", "reject"] = "mark"
    regions: dict[str, _Box] = Field(
        default={}, description="region: [west, south, east, north] in EPSG:4326 degrees; outside is refused"
    )
    area_tolerance_deg: float = Field(
        default=0.1, ge=0, le=10, allow_inf_nan=False, description="how far outside a CRS's area of use is believed"
    )

    @field_validator("target_crs")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            crs_text.read_crs(value)
        except Rejected as rejected:
            raise ValueError(rejected.message) from None
        return value

    @property
    def rule(self) -> rules.PositionRule:
        boxes = tuple((name, rules.BoundingBox(*box)) for name, box in self.regions.items())
        return rules.PositionRule(self.target_crs, self.ballpark, boxes, self.area_tolerance_deg)

    @field_validator("regions")
    @classmethod
    def _boxes(cls, value: dict[str, _Box]) -> dict[str, _Box]:
        for name, (west, south, east, north) in value.items():
            if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
                raise ValueError(f"{name}: [west, south, east, north] in degrees, south below north")
        return value


class Cell(Section):
    scheme: Literal["region", "grid", "h3"] = "grid"
    grid_m: float = Field(default=1_000.0, gt=0, allow_inf_nan=False)
    h3_resolution: int = Field(default=7, ge=0, le=15)


class Dedup(Section):
    ttl: DurationMs = rules.DAY_MS
    bucket: DurationMs = 300_000

    @model_validator(mode="after")
    def _bucket_fits(self) -> Dedup:
        if not 1_000 <= self.bucket <= max(self.ttl, 1_000):
            raise ValueError("bucket: from '1 s' up to the ttl")
        return self


class Limits(Section):
    max_body_bytes: int = Field(default=1_048_576, ge=1_024, le=16_777_216)
    dlq_payload_bytes: int = Field(default=65_536, ge=0, le=4_194_304)


class WindowDefinition(Section):
    name: Name
    size: Annotated[DurationMs, Field(gt=0)]
    slide: DurationMs | None = None
    offset: DurationMs = 0
    key: rules.WindowKey = "sensor"

    @model_validator(mode="after")
    def _slide_fits(self) -> WindowDefinition:
        slide = self.size if self.slide is None else self.slide
        if not 0 < slide <= self.size:
            raise ValueError(f"slide: above 0 and up to {format_duration(self.size)}, the size, or readings fall out")
        if self.size // slide > 1_000:
            raise ValueError("slide: a reading would be in more than 1,000 windows")
        return self


class Stream(Section):
    name: Name
    metrics: Annotated[list[str], Field(min_length=1)]
    unit: str
    valid: tuple[float, float] = (float("-inf"), float("inf"))
    period: Annotated[DurationMs, Field(gt=0)] | None = None
    time_zone: ZoneName | None = None
    max_age: DurationMs = 30 * rules.DAY_MS
    allowed_lateness: DurationMs = 0
    early_every: Annotated[DurationMs, Field(gt=0)] | None = None
    delivery: rules.Delivery = "exactly-once"
    sla: Annotated[DurationMs, Field(gt=0)] | None = Field(
        default=None,
        description="from the raw to the aligned topic, for half of the readings; for `meridian autoscale`",
    )
    sampled: bool = Field(default=False, description="bridges may sample it; windows then carry estimates")
    windows: list[WindowDefinition] = []

    @field_validator("unit")
    @classmethod
    def _unit_known(cls, value: str) -> str:
        if not units.is_unit(value):
            raise ValueError("a unit such as degC, ug/m3, m, m3/s, hPa, percent or 1")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Stream:
        if not self.valid[0] < self.valid[1]:
            raise ValueError("valid: [lowest, highest], lowest below highest")
        names = [w.name for w in self.windows]
        if len(set(names)) < len(names):
            raise ValueError("windows: each name once per stream")
        return self


class Outputs(Section):
    """Versions of what the job publishes (docs/reprocess.md)."""

    topic: TopicName = Field(default="meridian.outputs", description="compacted; says which version is the current one")
    suffix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]*\{version\}[a-zA-Z0-9._-]*$")] = Field(
        default=".v{version}", description="of the topics of a further version"
    )


class Summaries(Section):
    """The SQL side (`sql/`); its topics are `<prefix>summaries.*`, `…reference.*` and `…dlq.late_summaries`."""

    topic_prefix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{0,200}$")] = ""
    allowed_lateness: DurationMs = 3_600_000


class Deployment(Section):
    """A whole deployment; `rules()` is the part that travels to the workers."""

    name: Name
    parallelism: int = Field(default=2, ge=1, le=1_024)
    shards: int = Field(default=32, ge=1, le=4_096, description="keyed-state shards; STATE-BREAKING to change")
    execution_mode: Literal["process", "thread"] = Field(
        default="process",
        description="of deduplication and windows: beside the TaskManager, or within it (docs/execution-mode.md)",
    )
    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    time: Time = Time()
    position: Position = Position()
    cell: Cell = Cell()
    dedup: Dedup = Dedup()
    limits: Limits = Limits()
    schemas: Schemas = Schemas()
    summaries: Summaries = Summaries()
    outputs: Outputs = Outputs()
    attribute_headers: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]] = []
    streams: Annotated[list[Stream], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _as_in_0_1(cls, document: Any) -> Any:
        """`avro.schemas` is now `schemas.files`; a package that a roll-back returns to may still say so."""
        if isinstance(document, dict) and isinstance(document.get("avro"), dict) and "schemas" not in document:
            document = dict(document)
            document["schemas"] = {"files": document.pop("avro").get("schemas", [])}
        return document

    @model_validator(mode="after")
    def _consistent(self) -> Deployment:
        names = [s.name for s in self.streams]
        if len(set(names)) < len(names):
            raise ValueError("streams: each name once")
        for i, stream in enumerate(self.streams):
            for pattern in stream.metrics:
                earlier = [s.name for s in self.streams[:i] for p in s.metrics if fnmatch.fnmatchcase(pattern, p)]
                if earlier:
                    raise ValueError(f"streams: {stream.name} never gets {pattern!r}, {earlier[0]} takes it first")
        topics = [t.name for t in (getattr(self.topics, f) for f in Topics.model_fields)]
        if len(set(topics)) < len(topics):
            raise ValueError("topics: each stream of records needs a topic of its own")
        if len(set(self.attribute_headers)) < len(self.attribute_headers):
            raise ValueError("attribute_headers: each name once")
        if self.parallelism > self.shards:
            raise ValueError(f"parallelism: up to the number of shards ({self.shards}), or workers stay idle")
        return self

    @property
    def stream_rules(self) -> tuple[rules.StreamRule, ...]:
        return tuple(_stream_rule(s) for s in self.streams)

    def rules(self, base: Path = Path()) -> rules.Rules:
        """The rules for the workers; schema files are read relative to `base`."""
        return rules.Rules(
            streams=self.stream_rules,
            time=rules.TimeRule(
                self.time.floor, self.time.max_future, self.time.stale_after, self.time.out_of_orderness
            ),
            position=self.position.rule,
            cell=rules.CellRule(self.cell.scheme, self.cell.grid_m, self.cell.h3_resolution),
            dedup=rules.DedupRule(self.dedup.ttl, self.dedup.bucket),
            limits=rules.LimitRule(self.limits.max_body_bytes, self.limits.dlq_payload_bytes),
            schemas=self.schemas.rule(base),
            attribute_headers=tuple(dict.fromkeys((*self.attribute_headers, REPLAY_OF))),
            shards=self.shards,
            job_version=__version__,
        )


def _stream_rule(stream: Stream) -> rules.StreamRule:
    return rules.StreamRule(
        name=stream.name,
        metrics=tuple(stream.metrics),
        unit=stream.unit,
        valid_min=stream.valid[0],
        valid_max=stream.valid[1],
        period_ms=stream.period,
        time_zone=stream.time_zone,
        max_age_ms=stream.max_age,
        allowed_lateness_ms=stream.allowed_lateness,
        windows=tuple(
            rules.WindowDefinition(w.name, w.key, w.size, w.slide or w.size, w.offset, stream.early_every)
            for w in stream.windows
        ),
        delivery=stream.delivery,
        sampled=stream.sampled,
    )
