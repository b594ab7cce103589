"""What a plan is made from: a small YAML file, or options of the command."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from jobs.pipeline.config import Deployment, WindowDefinition
from jobs.pipeline.durations import DurationMs, format_duration
from jobs.pipeline.section import Section
from jobs.planning.constants import WRITE_BYTES_PER_S
from udfs import rules

_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$")
_UNIT_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    name: 1024**power for power, name in enumerate(("KiB", "MiB", "GiB", "TiB"), 1)
}
_Positive = Annotated[DurationMs, Field(gt=0)]


def parse_bytes(value: Any) -> int:
    """Bytes of a text such as `322 MB`; a bare number is refused because its unit would be a guess."""
    match = _SIZE.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a size is a number and a unit: '322 MB', '1.5 GiB'")
    size: int = round(float(match[1]) * _UNIT_BYTES[match[2]])
    return size


Bytes = Annotated[int, BeforeValidator(parse_bytes)]


class Disorder(Section):
    """How far readings are behind the newest one before them in their partition (`meridian plan disorder`)."""

    p99: DurationMs
    max: DurationMs

    @model_validator(mode="after")
    def _in_order(self) -> Disorder:
        if self.p99 > self.max:
            raise ValueError("p99: at most max")
        return self


class KnownState(Section):
    """State that was measured, in place of the predicted one; `lifetime` is how long an entry stays in it."""

    size: Annotated[Bytes, Field(gt=0)]
    lifetime: _Positive


class Recovery(Section):
    """An `outage` of the job has to be made up `within`; `restart` is the longest one of the job by itself."""

    outage: DurationMs = 600_000
    within: _Positive = 1_800_000
    restart: DurationMs = 420_000  # what the restart strategy of flink-conf/config.yaml tries for
    longest_outage: DurationMs = 3 * rules.DAY_MS


class Inputs(Section):
    """Everything that has a default is what flink-conf/ and a new deployment have."""

    sensors: int = Field(ge=1)
    period: _Positive = Field(description="between two readings of one metric of one sensor")
    metrics: int = Field(default=1, ge=1, description="of each sensor")
    peak: float = Field(default=1.0, ge=1, le=1_000, description="highest rate in multiples of the mean")
    payload: Annotated[Bytes, Field(gt=0)] = Field(default=400, description="of a raw record with its headers")
    windows: tuple[WindowDefinition, ...] = ()
    places: int = Field(default=1, ge=1, description="cells or regions, for windows keyed by them")
    allowed_lateness: DurationMs = 0
    out_of_orderness: DurationMs = 30_000
    disorder: Disorder | None = None
    anomaly: _Positive | None = Field(default=None, description="how long what is looked for lasts")
    dedup_ttl: _Positive = rules.DAY_MS
    state: KnownState | None = None
    recovery: Recovery = Recovery()
    checkpoint_budget: float = Field(default=0.05, gt=0, le=0.5, description="share of time for full checkpoints")
    write_rate: Annotated[Bytes, Field(gt=0)] = round(WRITE_BYTES_PER_S.value)  # a second
    visible_within: DurationMs | None = Field(default=None, description="of exactly-once results, from their reading")
    growth: float = Field(default=2.0, ge=1, le=100, description="largest parallelism in multiples of today's")
    replication: int = Field(default=3, ge=1, le=10)
    producers: int = Field(default=1, ge=1)
    linger_at_most: _Positive = 100
    broker_outage: DurationMs = 30_000

    @property
    def rate(self) -> float:
        """Readings/s, on average."""
        return self.sensors * self.metrics * 1_000 / self.period


def defaults_of(deployment: Deployment) -> dict[str, Any]:
    """What a deployment says of a plan's inputs, spelt as in a file."""
    streams = deployment.streams
    return {
        "windows": [
            {"name": w.name, "key": w.key, "size": format_duration(w.size), "slide": format_duration(w.slide or w.size)}
            for stream in streams
            for w in stream.windows
        ],
        "allowed_lateness": format_duration(max(stream.allowed_lateness for stream in streams)),
        "dedup_ttl": format_duration(deployment.dedup.ttl),
        "out_of_orderness": format_duration(deployment.time.out_of_orderness),
        "replication": deployment.topics.raw.replication,
    }
