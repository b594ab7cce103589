"""Figures as people read them."""

from __future__ import annotations

from jobs.pipeline.durations import format_duration


def show(value: float, unit: str) -> str:
    """A figure with its unit, to three digits; `bytes`, `ms` and what is per second become larger units."""
    if unit.startswith("bytes"):
        return f"{show_bytes(value)}{unit.removeprefix('bytes')}"
    if unit == "ms":
        return show_ms(value)
    if unit == "percent":
        return f"{value:.0f} %" if value >= 10 else f"{value:.2g} %"
    number = f"{value:,.0f}" if value == round(value) or value >= 100 else f"{value:.3g}"
    return f"{number} {unit}".strip()


def show_ms(duration_ms: float) -> str:
    if duration_ms == float("inf"):
        return "never"
    for name, length in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if duration_ms == round(duration_ms / length) * length > 0:
            return format_duration(round(duration_ms))
        if duration_ms >= 2 * length or (name == "s" and duration_ms >= length):
            return f"{duration_ms / length:.3g} {name}"
    return f"{duration_ms:.3g} ms" if duration_ms < 100 else f"{duration_ms:,.0f} ms"


def show_bytes(value: float) -> str:
    for name, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {name}" if value < 999.5 * size else f"{value / size:,.0f} {name}"
    return f"{value:,.0f} bytes"
