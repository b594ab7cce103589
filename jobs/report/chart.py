"""Lines over time as SVG. The drawing is small, so that its text can be read on a phone; the page scales it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from jobs.report.scales import Scale, moment, plain, ticks, time_ticks

WIDTH, HEIGHT = 380, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 10, 10, 26
_POINTS = 160  # of a line: two pixels each


class Point(NamedTuple):
    """The mean of a bucket of readings, with its extremes; a line breaks where buckets are empty for long."""

    time_ms: float
    mean: float
    low: float
    high: float


class Curve(NamedTuple):
    name: str
    points: Sequence[Point]


class Chart(NamedTuple):
    """A drawing, its figures for the cursor, and what it spans in words."""

    title: str
    unit: str
    svg: Markup
    data: dict[str, Any]
    curves: tuple[str, ...]
    summary: str


def bucket(times_ms: Sequence[float], values: Sequence[float], most: int = _POINTS) -> list[Point]:
    """At most so many points, each the mean and the extremes of equal shares of the time."""
    if not times_ms:
        return []
    first, last = min(times_ms), max(times_ms)
    width = max((last - first) / most, 1e-9)
    sums: dict[int, list[float]] = {}
    for time_ms, value in zip(times_ms, values, strict=True):
        number = min(int((time_ms - first) / width), most - 1)
        known = sums.get(number)
        if known is None:
            sums[number] = [1.0, time_ms, value, value, value]
        else:
            known[0] += 1
            known[1] += time_ms
            known[2] += value
            known[3] = min(known[3], value)
            known[4] = max(known[4], value)
    return [Point(t / n, total / n, low, high) for _, (n, t, total, low, high) in sorted(sums.items())]


def draw(title: str, unit: str, curves: Sequence[Curve], from_zero: bool = False) -> Chart:
    """A line per curve, with a band between its extremes."""
    shown = [curve for curve in curves if curve.points]
    points = [point for curve in shown for point in curve.points]
    if not points:
        return Chart(title, unit, Markup(""), {}, (), "no data")
    low, high = min(p.low for p in points), max(p.high for p in points)
    low, high = min(low, 0.0) if from_zero else low, high if high > low else low + 1.0
    x = Scale(min(p.time_ms for p in points), max(p.time_ms for p in points), _LEFT, WIDTH - _RIGHT)
    y = Scale(low, high + 0.05 * (high - low), HEIGHT - _BOTTOM, _TOP)
    parts = [_axes(x, y)]
    for number, curve in enumerate(shown):
        parts.append(_curve(curve, x, y, number))
    span = f"{moment(x.low)} to {moment(x.high)} UTC"
    summary = f"{span}, {plain(low)} to {plain(high)} {unit}"
    svg = Markup('<svg viewBox="0 0 {} {}" aria-hidden="true">{}</svg>').format(WIDTH, HEIGHT, Markup("").join(parts))
    data = {
        "plot": [_LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM],
        "from": x.low,
        "to": x.high,
        "unit": unit,
        "curves": [
            {
                "name": c.name,
                "points": [[round(p.time_ms), _short(p.mean), _short(p.low), _short(p.high)] for p in c.points],
            }
            for c in shown
        ],
    }
    return Chart(title, unit, svg, data, tuple(c.name for c in shown), summary)


def _axes(x: Scale, y: Scale) -> Markup:
    parts = []
    for value in ticks(y.low, y.high):
        at = f"{y(value):.1f}"
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(_LEFT, at, WIDTH - _RIGHT))
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="end" dy="0.32em">{}</text>').format(_LEFT - 6, at, plain(value))
        )
    for time_ms, label in time_ticks(x.low, x.high):
        at = f"{x(time_ms):.1f}"
        parts.append(Markup('<path class="grid" d="M{} {}v{}"/>').format(at, _TOP, HEIGHT - _BOTTOM - _TOP))
        parts.append(Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(at, HEIGHT - 8, label))
    parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(_LEFT, HEIGHT - _BOTTOM, WIDTH - _RIGHT))
    return Markup("").join(parts)


def _curve(curve: Curve, x: Scale, y: Scale, number: int) -> Markup:
    points = curve.points
    there = "".join(
        f"{'L' if n else 'M'}{x(p.time_ms):.1f} {y(p.high):.1f}" for n, p in enumerate(points)
    )  # fmt: skip
    back = "".join(f"L{x(p.time_ms):.1f} {y(p.low):.1f}" for p in reversed(points))
    line = "".join(f"{'L' if n else 'M'}{x(p.time_ms):.1f} {y(p.mean):.1f}" for n, p in enumerate(points))
    band = Markup('<path class="band c{}" d="{}Z"/>').format(number, there + back)
    return band + Markup('<path class="line c{}" d="{}"><title>{}</title></path>').format(
        number, line, escape(curve.name)
    )


def _short(value: float) -> float:
    return float(f"{value:.6g}")
