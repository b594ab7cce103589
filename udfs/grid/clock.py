"""How far a sensor's clock is off and how fast it drifts, from the delays between event and arrival.

A delay is transport plus whatever the clock is behind. Transport is never negative and is short once in a while, so the
smallest delay of each span of time follows the clock (the lower envelope), and a straight line through these minima
gives offset and drift. The line is Theil and Sen's, since an outage lifts some minima by hours: up to 29 % of them may
be wrong. What cannot be known is the transport's own minimum: configure it, or a slow network looks like a slow clock.

Sources: Moon, Skelly, Towsley (1999), Estimation and removal of clock skew from network delay measurements, INFOCOM;
Sen (1968), Estimates of the regression coefficient based on Kendall's tau, JASA 63.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, NamedTuple

import numpy as np


@dataclass(frozen=True)
class Correction:
    """A sensor's clock as found: `ahead_ms` at the time `at_ms` of the clock itself, and its drift."""

    sensor_id: str
    ahead_ms: float
    drift_ppm: float = 0.0
    at_ms: int = 0

    def correction_ms(self, time_ms: int) -> int:
        """What is to be added to a time of this clock."""
        return -round(self.ahead_ms + self.drift_ppm * 1e-6 * (time_ms - self.at_ms))


@dataclass(frozen=True)
class ClockRule:
    """Spans of `bucket_ms` give one minimum each; an estimate takes the last `buckets` of them, three at least."""

    against: Literal["append", "ingest"] = "append"
    bucket_ms: int = 600_000
    buckets: int = 36
    transport_ms: int = 0
    corrections: tuple[Correction, ...] = ()


class ClockEstimate(NamedTuple):
    """`ahead_ms` is at `at_ms`, the end of the newest span; `spread_ms`: median distance of the minima to the line."""

    ahead_ms: float
    drift_ppm: float
    spread_ms: float
    spans: int
    at_ms: int


MIN_SPANS = 3


def estimate(minima: Sequence[tuple[int, int]], rule: ClockRule) -> ClockEstimate | None:
    """Fit the line through minima of delays; None for fewer than three.

    Parameters
    ----------
    minima
        Start of each span and smallest delay in it (arrival - event), in ms and in the order of time.
    """
    if len(minima) < MIN_SPANS:
        return None
    at_ms = minima[-1][0] + rule.bucket_ms
    times = np.array([start_ms - at_ms for start_ms, _ in minima], float)
    delays = np.array([delay_ms for _, delay_ms in minima], float)
    first, second = np.triu_indices(len(times), 1)
    slope = float(np.median((delays[second] - delays[first]) / (times[second] - times[first])))
    level = float(np.median(delays - slope * times))
    spread_ms = float(np.median(np.abs(delays - slope * times - level)))
    return ClockEstimate(rule.transport_ms - level, -slope * 1e6, spread_ms, len(minima), at_ms)


class Clocks:
    """The minima of many sensors; a span is complete when a reading of a later one arrives."""

    def __init__(self, rule: ClockRule) -> None:
        self._rule = rule
        self._minima: dict[str, list[tuple[int, int]]] = {}
        self._open: dict[str, tuple[int, int]] = {}

    def see(self, sensor_id: str, arrival_ms: int, delay_ms: int) -> tuple[int, int] | None:
        """Take one reading in; the span that it completes, to be kept in state."""
        start_ms = arrival_ms - arrival_ms % self._rule.bucket_ms
        current = self._open.get(sensor_id)
        if current is None or start_ms > current[0]:
            self._open[sensor_id] = (start_ms, delay_ms)
            if current is not None:
                self.keep(sensor_id, current)
            return current
        if delay_ms < current[1]:
            self._open[sensor_id] = (current[0], delay_ms)
        return None

    def keep(self, sensor_id: str, span: tuple[int, int]) -> None:
        minima = self._minima.setdefault(sensor_id, [])
        minima.append(span)
        del minima[: -self._rule.buckets]

    def estimate(self, sensor_id: str) -> ClockEstimate | None:
        return estimate(self._minima.get(sensor_id, ()), self._rule)

    @property
    def minima(self) -> dict[str, list[tuple[int, int]]]:
        return self._minima


def typical_difference_ms(first_ms: Sequence[int], second_ms: Sequence[int]) -> float | None:
    """Median of how far each time of the first is from the nearest of the second; both in order."""
    if not first_ms or not second_ms:
        return None
    theirs = np.array(second_ms)
    mine = np.array(first_ms)
    place = np.searchsorted(theirs, mine)
    below = np.abs(mine - theirs[np.maximum(place - 1, 0)])
    above = np.abs(mine - theirs[np.minimum(place, len(theirs) - 1)])
    return float(median(np.minimum(below, above).tolist()))
