"""From figures to places on a drawing, and round figures to write beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil, floor, log10
from typing import Final, NamedTuple

_S, _MIN, _H, _D = 1_000, 60_000, 3_600_000, 86_400_000
_TIME_STEPS_MS: Final = (
    _S, 2 * _S, 5 * _S, 10 * _S, 15 * _S, 30 * _S, _MIN, 2 * _MIN, 5 * _MIN, 10 * _MIN, 15 * _MIN, 30 * _MIN,
    _H, 2 * _H, 3 * _H, 6 * _H, 12 * _H, _D, 2 * _D, 7 * _D, 14 * _D, 28 * _D,
)  # fmt: skip


class Scale(NamedTuple):
    """Linear, from [low, high] to [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / span if span else 0.5)


def round_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5, 10, 20, … that divides a span into at most so many parts."""
    if span <= 0:
        return 1.0
    rough = span / most
    power = 10.0 ** floor(log10(rough))
    return next(power * f for f in (1, 2, 5, 10) if power * f >= rough * 0.999_999)


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    step = round_step(high - low, most)
    return [round(n * step, 10) for n in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def time_ticks(low_ms: float, high_ms: float, most: int = 4) -> list[tuple[int, str]]:
    """Round times in UTC with their labels."""
    span = max(high_ms - low_ms, 1)
    step = next((s for s in _TIME_STEPS_MS if span / s <= most), int(ceil(span / most / _D) * _D))
    form = "%H:%M:%S" if step < _MIN else "%H:%M" if step < _D else "%d %b"
    first = ceil(low_ms / step)
    return [(n * step, moment(n * step, form)) for n in range(first, floor(high_ms / step) + 1)]


def moment(time_ms: float, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime(form)


def plain(value: float) -> str:
    """A figure as short as it can be."""
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
