"""The grid file: one YAML document that says which topics of aligned readings go onto which grids, and how.

Validated before anything is submitted, like a deployment file; `meridian join schema` prints the JSON Schema.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from jobs import __version__
from jobs.pipeline.config import Kafka, Name, Offsets, Topic, TopicName
from jobs.pipeline.durations import DurationMs, format_duration
from jobs.pipeline.section import Section
from udfs import units
from udfs.grid import rules
from udfs.grid.clock import ClockRule, Correction
from udfs.layer_file import LayerError, default_layer, parse_layer

Positive = Annotated[DurationMs, Field(gt=0)]


_REACH = {  # which key says how far a method looks
    "as_of": "tolerance",
    "last": "max_age",
    "linear": "max_gap",
    "circular_linear": "max_gap",
    "mean": "window",
    "circular_mean": "window",
}


class Source(Section):
    """A topic of aligned readings, with the disorder of its partitions and when a silent one holds nothing up."""

    name: Name
    topic: TopicName
    out_of_orderness: DurationMs = 30_000
    idle_after: DurationMs = 30_000
    start: Offsets | None = Field(default=None, description="offsets to begin at, by partition; none: kafka.start")
    stop: Offsets | None = Field(default=None, description="offsets to end at, for all sources or none")


class Alignment(Section):
    """Watermark alignment: a source that is further ahead of the slowest one than this stops reading."""

    max_drift: Positive = 600_000
    interval: Positive = 1_000


class SameReading(Section):
    """Readings of different feeds that differ by no more than this are one measurement."""

    time: DurationMs
    value: float = Field(ge=0, allow_inf_nan=False)


class Metric(Section):
    """One column of values. Each method has a key of its own for how far it looks."""

    metric: str
    name: Name | None = None
    unit: str
    method: rules.Method
    tolerance: Positive | None = Field(default=None, description="as_of: how far away the reading may be")
    direction: rules.Direction | None = Field(default=None, description="as_of: backward (default), forward, nearest")
    max_age: Positive | None = Field(default=None, description="last: how long a reading holds")
    max_gap: Positive | None = Field(default=None, description="linear, circular_linear: between the neighbours")
    window: Positive | None = Field(default=None, description="mean, circular_mean; the grid's period by default")
    position: rules.WindowPlace | None = Field(
        default=None, description="of the window: before (default), centre, after"
    )
    streams: tuple[Name, ...] = ()
    sources: tuple[Name, ...] = ()
    same_reading: SameReading | None = None

    @field_validator("unit")
    @classmethod
    def _unit_known(cls, value: str) -> str:
        if not units.is_unit(value):
            raise ValueError("a unit such as degC, ug/m3, m, m3/s, hPa, percent or 1")
        return value

    @model_validator(mode="after")
    def _keys_fit_method(self) -> Metric:
        wanted = _REACH[self.method]
        for key in dict.fromkeys(_REACH.values()):
            if key != wanted and getattr(self, key) is not None:
                raise ValueError(f"{key}: not for {self.method}, which takes {wanted}")
        if wanted != "window" and getattr(self, wanted) is None:
            raise ValueError(f"{wanted}: needed by {self.method}")
        if self.direction is not None and self.method != "as_of":
            raise ValueError(f"direction: not for {self.method}, only for as_of")
        if self.position is not None and wanted != "window":
            raise ValueError(f"position: not for {self.method}, only for mean and circular_mean")
        return self

    @property
    def column(self) -> str:
        return self.name or self.metric

    def rule(self, period_ms: int) -> rules.MetricRule:
        same = self.same_reading
        return rules.MetricRule(
            self.column,
            self.metric,
            self.unit,
            self.method,
            getattr(self, _REACH[self.method]) or period_ms,
            self.direction or "backward",
            self.position or "before",
            self.streams,
            self.sources,
            None if same is None else rules.SameReading(same.time, same.value),
        )


class Feed(Section):
    """Readings of one collector, by source, by sensor ids (fnmatch patterns), or both."""

    name: Name
    sources: tuple[Name, ...] = ()
    sensors: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _not_everything(self) -> Feed:
        if not self.sources and not self.sensors:
            raise ValueError("sources or sensors: at least one of them, or the feed has every reading")
        return self


class Grid(Section):
    """One grid. A row waits `max_wait` after its instant, and can change for `allowed_lateness` after it is settled."""

    name: Name
    place: rules.PlaceKind = "station"
    period: Annotated[DurationMs, Field(ge=1_000)]
    offset: DurationMs = 0
    max_wait: DurationMs = 900_000
    allowed_lateness: DurationMs = 3_600_000
    keep: DurationMs = Field(default=3_600_000, description="how long a silent place still gets rows (of gaps)")
    stalled_after: Positive | None = Field(
        default=None, description="wall-clock time of a standing watermark after which rows come unsettled"
    )
    pairs: dict[str, list[str]] = Field(default={}, description="place: [sensor ids of one box]")
    feeds: list[Feed] = Field(default=[], description="in the order of priority, for same_reading")
    layer: Path | None = Field(default=None, description="GeoJSON of the watersheds; a small made-up one by default")
    metrics: Annotated[list[Metric], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Grid:
        _once("metrics: each name", [m.column for m in self.metrics])
        _once("feeds: each name", [f.name for f in self.feeds])
        _once("pairs: each sensor", [sensor for sensors in self.pairs.values() for sensor in sensors])
        if self.pairs and self.place != "station":
            raise ValueError(f"pairs: for places of the kind station, not {self.place}")
        if self.layer and self.place != "watershed":
            raise ValueError(f"layer: for places of the kind watershed, not {self.place}")
        if self.offset >= self.period:
            raise ValueError(f"offset: below {format_duration(self.period)}, the period")
        for metric in self.metrics:
            if metric.same_reading and len(self.feeds) < 2:
                raise ValueError(f"metrics: {metric.column}: same_reading needs two feeds at least")
        return self

    def rule(self, base: Path) -> rules.GridRule:
        return rules.GridRule(
            self.name,
            self.place,
            self.period,
            self.offset,
            tuple(m.rule(self.period) for m in self.metrics),
            self.max_wait,
            self.allowed_lateness,
            self.keep,
            self.stalled_after,
            tuple((sensor, place) for place, sensors in self.pairs.items() for sensor in sensors),
            tuple(rules.FeedRule(f.name, f.sources, f.sensors) for f in self.feeds),
            _layer_text(self.layer and base / self.layer) if self.place == "watershed" else None,
        )


class ClockCorrection(Section):
    """A clock as `meridian join clocks` found it; what is corrected says so (`clock_corrections_ms`)."""

    sensor: str
    ahead_ms: float = Field(allow_inf_nan=False, ge=-864e5, le=864e5)
    drift_ppm: float = Field(default=0.0, allow_inf_nan=False, ge=-1e4, le=1e4)
    at_ms: int = 0


class Clock(Section):
    """How clocks are judged; nothing is corrected that is not listed."""

    against: Literal["append", "ingest"] = "append"
    span: Positive = 600_000
    spans: int = Field(default=36, ge=3, le=1_000)
    transport: DurationMs = 0
    corrections: tuple[ClockCorrection, ...] = ()

    @field_validator("corrections")
    @classmethod
    def _once(cls, value: tuple[ClockCorrection, ...]) -> tuple[ClockCorrection, ...]:
        _once("each sensor", [c.sensor for c in value])
        return value


def _topic(name: str) -> Any:
    return Field(default_factory=lambda: Topic.model_validate({"name": name, "retention": "30 d"}))


class GridTopics(Section):
    grid: Topic = _topic("telemetry.grid")
    late_grid: Topic = _topic("dlq.late_grid")
    grid_accounting: Topic = _topic("telemetry.grid_accounting")
    clocks: Topic = _topic("telemetry.clocks")


class GridDeployment(Section):
    """A whole grid file."""

    name: Name
    parallelism: int = Field(default=2, ge=1, le=1_024)
    shards: int = Field(default=32, ge=1, le=4_096, description="keyed-state shards; STATE-BREAKING to change")
    kafka: Kafka = Kafka()
    topics: GridTopics = GridTopics()
    sources: Annotated[list[Source], Field(min_length=1)]
    alignment: Alignment | None = Alignment()
    clock: Clock = Clock()
    grids: Annotated[list[Grid], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> GridDeployment:
        names = [s.name for s in self.sources]
        _once("sources: each name", names)
        _once("sources: each topic", [s.topic for s in self.sources])
        _once("grids: each name", [g.name for g in self.grids])
        own = [getattr(self.topics, f).name for f in GridTopics.model_fields]
        _once("topics: each stream of records needs a topic of its own, each", own)
        for grid in self.grids:
            for where, given in [(f"metrics: {m.column}", m.sources) for m in grid.metrics] + [
                (f"feeds: {f.name}", f.sources) for f in grid.feeds
            ]:
                for source in set(given) - set(names):
                    raise ValueError(f"grids: {grid.name}: {where}: sources: {source!r}: known are {', '.join(names)}")
        if self.kafka.stop is not None or not isinstance(self.kafka.start, str):
            raise ValueError("kafka: start and stop: offsets are those of one topic; give them with each source")
        if len({source.stop is None for source in self.sources}) > 1:
            raise ValueError("sources: stop: for all of them or for none, or the job waits for the others for ever")
        if self.parallelism > self.shards:
            raise ValueError(f"parallelism: up to the number of shards ({self.shards}), or workers stay idle")
        return self

    def rules(self, base: Path = Path()) -> rules.GridRules:
        """The rules for the workers; layers are read relative to `base`."""
        clock = self.clock
        return rules.GridRules(
            tuple(g.rule(base) for g in self.grids),
            tuple(rules.SourceRule(s.name, s.topic) for s in self.sources),
            ClockRule(
                clock.against,
                clock.span,
                clock.spans,
                clock.transport,
                tuple(Correction(c.sensor, c.ahead_ms, c.drift_ppm, c.at_ms) for c in clock.corrections),
            ),
            self.shards,
            job_version=__version__,
        )


def _once(what: str, names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"{what} once, not twice {twice!r}")


def _layer_text(path: Path | None) -> str:
    """The layer as text, once it has been found to be one.

    Raises
    ------
    LayerError : it is none, or cannot be read.
    """
    if path is None:
        return default_layer("watersheds").decode()
    try:
        text = path.read_bytes()
    except OSError as error:
        raise LayerError(f"{path}: {error.strerror}") from None
    parse_layer(text)
    return text.decode()
