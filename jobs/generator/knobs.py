"""What can be turned at the generator; every figure has a default that makes a lively but healthy network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Knobs:
    """Shares are fractions of 0 to 1; times are milliseconds of event time unless they say otherwise."""

    seed: int = 42
    readings: int = 100_000  # readings taken; duplicates, conflicts and oversized bodies come on top
    span_ms: int = 3_600_000  # event time over which they were taken
    start_ms: int | None = None  # None: so that the span ended long enough ago for an end marker to close all
    stations: int | None = None  # None: as many as report at their streams' periods
    mobile: float = 0.05  # stations that move through cells
    foreign: float = 0.05  # stations of producers that send no headers
    without_id: float = 0.15  # stations that send no event id
    avro: float = 0.03  # stations that send Avro
    duplicates: float = 0.01  # readings sent again, byte for byte or serialised anew
    conflicts: float = 0.0005  # readings followed by another content under the same event id
    disorder: float = 0.10  # readings delayed within the out-of-orderness
    stragglers: float = 0.003  # readings delayed beyond it, up to half of the span
    outages: float = 0.02  # stations that fall silent once and then flush their buffer
    outage_ms: int = 900_000  # longest outage
    wrong_clocks: float = 0.02  # stations whose clock is fast, slow, in 1970 or in 2100
    poison: float = 0.01  # readings spoilt, each kind of `poison.KINDS` as often as the others
    oversized: int = 3  # bodies just above the limit and of 10 MB

    def __post_init__(self) -> None:
        for name in (
            *("mobile", "foreign", "without_id", "avro", "duplicates", "conflicts", "disorder", "stragglers"),
            *("outages", "wrong_clocks", "poison"),
        ):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}, a share is from 0 to 1")
        if self.readings < 1 or self.span_ms < 1_000:
            raise ValueError("at least one reading, and a span of at least a second")
        if self.stations is not None and self.stations < 1:
            raise ValueError("at least one station")


HEALTHY = Knobs(
    duplicates=0, conflicts=0, disorder=0, stragglers=0, outages=0, wrong_clocks=0, poison=0, oversized=0
)  # fmt: skip
