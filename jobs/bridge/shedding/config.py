"""The section `shedding` of a bridge file; without it a bridge sheds nothing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from jobs.bridge.size import Size
from jobs.pipeline.config import Name
from jobs.pipeline.durations import DurationMs
from jobs.pipeline.section import Section
from udfs.rules import StreamRule

SMALLEST_FRACTION = 1e-6

Positive = Annotated[DurationMs, Field(gt=0)]


class Limit(Section):
    """A token bucket for each sensor: `count` readings per time, and `burst` at once after a pause."""

    count: int = Field(ge=1)
    per: Positive
    burst: int | None = Field(default=None, ge=1, description="otherwise `count`")
    alarms: bool = Field(default=False, description="alarms are limited too")

    @property
    def burst_readings(self) -> int:
        return self.count if self.burst is None else self.burst


class StreamShedding(Section):
    """What may be shed of one stream of the deployment."""

    stream: Name
    limit: Limit | None = None
    sample: Annotated[float, Field(ge=SMALLEST_FRACTION, lt=1)] | None = Field(
        default=None, description="fraction of the readings that is kept"
    )
    delivery: Literal["at-least-once", "best-effort"] = Field(
        default="at-least-once", description="best-effort: shed while the backlog is above its mark"
    )

    @model_validator(mode="after")
    def _sheds_something(self) -> StreamShedding:
        if self.limit is None and self.sample is None and self.delivery == "at-least-once":
            raise ValueError("stream: give it a limit, a sample or delivery: best-effort, or leave it out")
        return self


class AlarmRule(Section):
    """A reading is an alarm when all that one rule names holds."""

    stream: Name | None = None
    metric: str | None = Field(default=None, description="fnmatch pattern")
    quality: list[str | int] | None = Field(default=None, description="any of these")
    above: float | None = Field(default=None, allow_inf_nan=False, description="of the value, in the stream's unit")
    below: float | None = Field(default=None, allow_inf_nan=False)
    topic: str | None = Field(default=None, description="fnmatch pattern of the MQTT topic")

    @model_validator(mode="after")
    def _names_something(self) -> AlarmRule:
        if not self.model_fields_set:
            raise ValueError("an alarm rule names at least one of " + ", ".join(type(self).model_fields))
        if (self.above is not None or self.below is not None) and self.stream is None:
            raise ValueError("above, below: need a stream, whose unit they are in")
        return self


class Backlog(Section):
    """Records that Kafka does not have yet, with its client or on the spool; marks for best-effort streams."""

    above: int = Field(default=20_000, ge=1, description="from here on they are shed")
    below: int | None = Field(default=None, ge=0, description="from here on no longer; otherwise half of it")

    @model_validator(mode="after")
    def _in_order(self) -> Backlog:
        if self.low >= self.above:
            raise ValueError(f"below: less than above ({self.above})")
        return self

    @property
    def low(self) -> int:
        return self.above // 2 if self.below is None else self.below


class Shedding(Section):
    """What a bridge may let go, by stream, and what comes first."""

    streams: list[StreamShedding] = Field(default=[], description="what may be shed; of other streams nothing is")
    alarms: list[AlarmRule] = Field(default=[], description="what takes the lane of alarms")
    alarm_spool: Annotated[Size, Field(ge=1_048_576)] = 67_108_864
    backlog: Backlog = Backlog()
    max_sensors: int = Field(
        default=100_000, ge=1, le=10_000_000, description="whose buckets are remembered, of each stream"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Shedding:
        names = [rule.stream for rule in self.streams]
        if len(set(names)) < len(names):
            raise ValueError("streams: each stream once")
        if not self.streams and not self.alarms:
            raise ValueError("streams, alarms: give one of them, or leave shedding out")
        return self


def misfits(shedding: Shedding, streams: tuple[StreamRule, ...]) -> list[str]:
    """What of it does not fit a deployment's streams: one line each, naming key, value and what is allowed."""
    known = {stream.name: stream for stream in streams}
    allowed = f"the deployment's streams are {', '.join(known)}"
    named = [(f"streams.{i}", rule.stream) for i, rule in enumerate(shedding.streams)]
    named += [(f"alarms.{i}", rule.stream) for i, rule in enumerate(shedding.alarms) if rule.stream is not None]
    lines = [f"shedding.{key}.stream = {name!r}: {allowed}" for key, name in named if name not in known]
    for i, rule in enumerate(shedding.streams):
        if rule.sample is not None and rule.stream in known and not known[rule.stream].sampled:
            why = f"the job refuses sampled readings of {rule.stream} unless its stream says `sampled: true`"
            lines.append(f"shedding.streams.{i}.sample = {rule.sample}: {why}")
    return lines
