"""The section `breakers` of a bridge file; without it a bridge diverts nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from jobs.bridge.size import Size
from jobs.pipeline.durations import DurationMs
from jobs.pipeline.section import Section

_Pause = Annotated[DurationMs, Field(ge=100, le=3_600_000)]


class ColdRule(Section):
    """Where diverted records are kept, and how much of them."""

    folder: Path = Field(description="relative to this file; several bridges may share it. On a disk that survives")
    max_size: Annotated[Size, Field(ge=1_048_576)] = Field(
        10 * 1024**3, description="of this bridge's files that have not been sent again"
    )
    file_size: Annotated[Size, Field(ge=65_536, le=1024**3)] = Field(
        16 * 1024**2, description="of one file before it is compressed"
    )
    file_after: _Pause = Field(300_000, description="longest time a file is open")

    @model_validator(mode="after")
    def _a_file_fits(self) -> ColdRule:
        if self.file_size > self.max_size:
            raise ValueError("file_size: up to max_size")
        return self


class KafkaRule(Section):
    """When the way to Kafka trips."""

    slow_after: _Pause = Field(500, description="an answer that takes longer is slow")
    slow_calls: int = Field(10, ge=1, le=10_000, description="slow answers in a row that trip")
    failures: int = Field(10, ge=1, le=1_000_000, description="records in a row that Kafka fails")
    gone_after: _Pause = Field(30_000, description="how long Kafka may answer nothing at all")
    open_for: _Pause = Field(30_000, description="pause before trials")
    trials: int = Field(5, ge=1, le=1_000, description="trials in a row that must be answered quickly")


class CrsRule(Section):
    """When positions that cannot be transformed trip: so many failures among so many readings."""

    failures: int = Field(20, ge=1, le=100_000)
    of: int = Field(100, ge=1, le=100_000)
    open_for: _Pause = 60_000

    @model_validator(mode="after")
    def _can_happen(self) -> CrsRule:
        if self.failures > self.of:
            raise ValueError(f"failures: up to of ({self.of})")
        return self


class Breakers(Section):
    """What trips, and where readings go meanwhile."""

    cold: ColdRule
    kafka: KafkaRule = Field(default_factory=lambda: KafkaRule.model_validate({}))
    crs: CrsRule | None = Field(
        None, description="readings' positions are tried before they are sent; none: they are not"
    )
