"""What is measured: metric names of a stream's patterns, values with a daily cycle, units as feeds write them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from udfs.reasons import Rejected
from udfs.rules import StreamRule
from udfs.units import conversion

# word in the metric's name: (usual value, half the daily swing, noise, unit)
_PROFILES = (
    ("temperature", 9.0, 5.0, 0.15, "degC"),
    ("pm2_5", 11.0, 5.0, 0.8, "ug/m3"),
    ("pm10", 19.0, 8.0, 1.5, "ug/m3"),
    ("level", 1.8, 0.15, 0.01, "m"),
    ("humidity", 72.0, 15.0, 1.0, "percent"),
    ("pressure", 1013.0, 2.0, 0.1, "hPa"),
    ("wind", 6.0, 2.5, 0.8, "m/s"),
    ("discharge", 25.0, 2.0, 0.2, "m3/s"),
    ("wave", 1.5, 0.3, 0.1, "m"),
)
_SPELLINGS = (
    *("degC", "°C", "degF", "deg F", "K", "ug/m3", "µg/m³", "mg/m3", "m", "cm", "ft", "mm", "hPa", "mbar", "Pa"),
    *("m/s", "km/h", "knot", "m3/s", "ft3/s", "%", "percent"),
)


@dataclass(frozen=True)
class Series:
    """One metric as one station sends it; values are in the unit sent."""

    metric: str
    stream: StreamRule
    unit: str
    decimals: int
    base: float
    swing: float
    noise: float
    low: float
    high: float


def metric_names(streams: tuple[StreamRule, ...]) -> dict[str, list[str]]:
    """Name at least one metric of every stream: a pattern's wildcards are filled in."""
    names: dict[str, list[str]] = {}
    for stream in streams:
        for pattern in stream.metrics:
            name = _fill(pattern)
            taker = next((s for s in streams if any(fnmatchcase(name, p) for p in s.metrics)), None)
            if taker is stream:
                names.setdefault(stream.name, []).append(name)
    return names


def make_series(metric: str, stream: StreamRule, rng: np.random.Generator) -> Series:
    """Choose unit and climate of a station's metric; every value will be within the stream's valid range."""
    base, swing, noise = _profile(metric, stream)
    base += float(rng.normal(0.0, swing / 3))
    spellings = [stream.unit] * 3 + [u for u in _SPELLINGS if _converts(u, stream.unit)]
    unit = spellings[rng.integers(len(spellings))]
    scale, offset = conversion(unit, stream.unit)
    low, high = _limits(stream)
    decimals = min(6, max(1, 2 + math.ceil(math.log10(abs(scale)))))
    ends = sorted(((low - offset) / scale, (high - offset) / scale))
    return Series(
        metric, stream, unit, decimals, (base - offset) / scale, swing / abs(scale), noise / abs(scale), *ends
    )


def _fill(pattern: str) -> str:
    name, rest = "", pattern
    while rest:
        if rest[0] == "[" and "]" in rest:
            name, rest = name + rest[1 if rest[1] != "!" else 2], rest[rest.index("]") + 1 :]
            continue
        name, rest = name + {"*": "value", "?": "a"}.get(rest[0], rest[0]), rest[1:]
    return name


def _converts(unit: str, canonical: str) -> bool:
    try:
        conversion(unit, canonical)
    except Rejected:
        return False
    return True


def _limits(stream: StreamRule) -> tuple[float, float]:
    """The middle nine tenths of the valid range, so that rounding never leaves it."""
    low, high = max(stream.valid_min, -1e6), min(stream.valid_max, 1e6)
    margin = (high - low) / 20
    return low + margin if stream.valid_min > -1e6 else low, high - margin


def _profile(metric: str, stream: StreamRule) -> tuple[float, float, float]:
    low, high = _limits(stream)
    for word, base, swing, noise, unit in _PROFILES:
        if word in metric and _converts(unit, stream.unit):
            scale, offset = conversion(unit, stream.unit)
            base = base * scale + offset
            if low < base < high:
                return base, swing * abs(scale), noise * abs(scale)
    room = min(high - low, 100.0)
    middle = (low + high) / 2
    return middle, room / 10, room / 200
