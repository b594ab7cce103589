"""Window sizes from sampling and from what is looked for; out-of-orderness from measured disorder."""

from __future__ import annotations

from typing import Final

from jobs.pipeline.durations import format_duration
from jobs.planning.constants import ANOMALY_FROM, ANOMALY_TO, DISORDER_FACTOR, WINDOW_SAMPLES, Constant
from jobs.planning.inputs import Inputs
from jobs.planning.sheet import Sheet

_S, _MIN, _H = 1_000, 60_000, 3_600_000
ROUND_MS: Final = (
    *(n * _S for n in (1, 2, 5, 10, 15, 20, 30)),
    *(n * _MIN for n in (1, 2, 3, 5, 10, 15, 20, 30)),
    *(n * _H for n in (1, 2, 3, 4, 6, 8, 12, 24)),
)
"""Sizes that people read and that divide a day."""


def round_up_ms(size_ms: float) -> int:
    days = -(-int(size_ms) // (24 * _H))
    return next((r for r in ROUND_MS if r >= size_ms), days * 24 * _H)


def least_window_ms(period_ms: int) -> int:
    return round(WINDOW_SAMPLES.value * period_ms)


def anomaly_range_ms(anomaly_ms: int) -> tuple[int, int]:
    return round(ANOMALY_FROM.value * anomaly_ms), round(ANOMALY_TO.value * anomaly_ms)


def plan_windows(inputs: Inputs, sheet: Sheet) -> None:
    least = least_window_ms(inputs.period)
    formula, numbers, wanted = "samples x period", f"{WINDOW_SAMPLES.value:g} x {format_duration(inputs.period)}", least
    if inputs.anomaly is not None:
        low, high = anomaly_range_ms(inputs.anomaly)
        wanted = max(least, low)
        formula = "the larger of samples x period and 2 x anomaly, rounded up"
        numbers += f", {ANOMALY_FROM.value:g} to {ANOMALY_TO.value:g} x {format_duration(inputs.anomaly)}"
        if wanted > high or round_up_ms(wanted) > high:
            sheet.note(
                f"window size: no round size from {format_duration(wanted)} up to {format_duration(high)}; "
                "sample more often, or take a size that is not round"
                if wanted <= high
                else f"window size: {format_duration(least)} of samples hide an anomaly of "
                f"{format_duration(inputs.anomaly)}; sample at least every {format_duration(high // 10)}"
            )
    sheet.add("window_size", round_up_ms(wanted), "ms", formula, numbers, WINDOW_SAMPLES, *_anomaly_constants(inputs))


def plan_out_of_orderness(inputs: Inputs, sheet: Sheet) -> int:
    """The planned out-of-orderness: measured, else as given."""
    disorder = inputs.disorder
    if disorder is None:
        shown = format_duration(inputs.out_of_orderness)
        sheet.add("out_of_orderness", inputs.out_of_orderness, "ms", "as given; not measured", shown)
        sheet.note("out-of-orderness is not measured: `meridian plan disorder --config …` reads it from your own topic")
        return inputs.out_of_orderness
    wanted = round_up_ms(DISORDER_FACTOR.value * disorder.p99)
    sheet.add(
        "out_of_orderness",
        wanted,
        "ms",
        "2 x p99 of disorder, rounded up",
        f"{DISORDER_FACTOR.value:g} x {format_duration(disorder.p99)}; the largest is {format_duration(disorder.max)}",
        DISORDER_FACTOR,
    )
    if disorder.max > wanted + inputs.allowed_lateness:
        sheet.note(
            f"the largest disorder, {format_duration(disorder.max)}, is beyond out-of-orderness and allowed lateness "
            f"({format_duration(wanted + inputs.allowed_lateness)}): such readings go to the late topic"
        )
    return wanted


def _anomaly_constants(inputs: Inputs) -> tuple[Constant, ...]:
    return () if inputs.anomaly is None else (ANOMALY_FROM, ANOMALY_TO)
