"""The value of one metric at an instant, from the readings around it: as-of, last, linear, mean and their circular kin.

A place may have several sensors of a metric. `as_of` and `last` take the reading nearest to the instant, of whichever
sensor; `mean` takes all readings of its window; `linear` interpolates each sensor on its own and takes the mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from udfs.grid.circular import between_deg, mean_direction_deg
from udfs.grid.gaps import ORDER, Gap
from udfs.grid.rules import MetricRule
from udfs.grid.series import Point, Series


class Value(NamedTuple):
    """What a row says of one metric; without a value there is a gap.

    `settles_ms` is the watermark from which on no reading in time can change it.
    """

    value: float | None
    gap: Gap | None
    support: tuple[Point, ...]
    settles_ms: int


def value_at(instant_ms: int, series: Series, rule: MetricRule, look_back_ms: int) -> Value:
    """Work out the value at an instant.

    Parameters
    ----------
    look_back_ms
        How far back a reading may lie to be called too old; further back, there is none.
    """
    points = series.between(instant_ms - look_back_ms, instant_ms + max(rule.after_ms, 0))
    if rule.is_window:
        return _mean(instant_ms, points, rule)
    if rule.is_linear:
        return _linear(instant_ms, points, rule)
    return _nearest(instant_ms, points, rule)


def _nearest(instant_ms: int, points: Sequence[Point], rule: MetricRule) -> Value:
    """The reading at or before, at or after, or nearest to the instant; of two as near, the earlier one."""
    before = next((p for p in reversed(points) if p.time_ms <= instant_ms), None)
    ahead = next((p for p in points if p.time_ms >= instant_ms), None)
    until_ms = instant_ms + rule.after_ms
    if rule.after_ms == 0:
        chosen = before
    elif rule.before_ms == 0:
        chosen = ahead
    else:
        candidates = [p for p in (before, ahead) if p is not None]
        chosen = min(candidates, key=lambda p: abs(p.time_ms - instant_ms), default=None)
    if chosen is None:
        return Value(None, Gap.NO_READING if rule.before_ms else Gap.NO_NEXT_READING, (), until_ms)
    distance_ms = abs(chosen.time_ms - instant_ms)
    if distance_ms > rule.reach_ms:
        return Value(None, Gap.TOO_OLD, (), until_ms)
    return Value(chosen.value, None, (chosen,), min(instant_ms + distance_ms, until_ms))


def _mean(instant_ms: int, points: Sequence[Point], rule: MetricRule) -> Value:
    """The mean of the window's readings; it settles when the watermark has passed the window."""
    start_ms = instant_ms + rule.window_start_ms
    inside = tuple(p for p in points if start_ms <= p.time_ms < start_ms + rule.reach_ms)
    settles_ms = instant_ms + rule.after_ms
    if not inside:
        is_old = bool(points) and points[0].time_ms < start_ms
        return Value(None, Gap.TOO_OLD if is_old else Gap.NO_READING, (), settles_ms)
    value = _mean_of([p.value for p in inside], rule)
    return Value(value, Gap.NO_DIRECTION if value is None else None, inside, settles_ms)


def _linear(instant_ms: int, points: Sequence[Point], rule: MetricRule) -> Value:
    """The mean of what each sensor's two neighbours give."""
    by_sensor = groupby(sorted(points, key=_sensor), key=_sensor)
    found = [_between(instant_ms, list(of_sensor), rule) for _, of_sensor in by_sensor]
    if not found:
        return Value(None, Gap.NO_READING, (), instant_ms)
    settles_ms = max(v.settles_ms for v in found)
    valued = [v for v in found if v.value is not None]
    if not valued:
        gap = max((v.gap for v in found if v.gap is not None), key=ORDER.index)
        return Value(None, gap, (), settles_ms)
    value = _mean_of([v.value for v in valued if v.value is not None], rule) if len(valued) > 1 else valued[0].value
    support = tuple(sorted(p for v in valued for p in v.support))
    return Value(value, Gap.NO_DIRECTION if value is None else None, support, settles_ms)


def _between(instant_ms: int, points: Sequence[Point], rule: MetricRule) -> Value:
    """Interpolate between the neighbours of one sensor; a reading at the instant itself is the value."""
    before = next((p for p in reversed(points) if p.time_ms <= instant_ms), None)
    if before is None:
        return Value(None, Gap.NO_READING, (), instant_ms)
    if before.time_ms == instant_ms:
        return Value(before.value, None, (before,), instant_ms)
    last_ms = before.time_ms + rule.reach_ms  # a neighbour after this would be too far away
    if last_ms < instant_ms:
        return Value(None, Gap.TOO_OLD, (), instant_ms)
    ahead = next((p for p in points if instant_ms < p.time_ms <= last_ms), None)
    if ahead is None:
        return Value(None, Gap.GAP_TOO_WIDE, (), last_ms)
    span_ms, passed_ms = ahead.time_ms - before.time_ms, instant_ms - before.time_ms
    if rule.is_circular:
        value = between_deg(before.value, ahead.value, passed_ms / span_ms)
    else:
        # As numpy.interp does it, so that others can reproduce it to the last bit.
        value = (ahead.value - before.value) / span_ms * passed_ms + before.value
    return Value(value, Gap.NO_DIRECTION if value is None else None, (before, ahead), ahead.time_ms)


def _mean_of(values: Sequence[float], rule: MetricRule) -> float | None:
    """Sums are exact before they are rounded, so that the order of arrival does not show in the last digit."""
    return mean_direction_deg(values) if rule.is_circular else math.fsum(values) / len(values)


def _sensor(point: Point) -> str:
    return point.origin.sensor_id
