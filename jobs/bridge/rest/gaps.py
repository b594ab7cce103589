"""Readings that ought to have come: compares each series with the period it is expected at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

Series = tuple[str, str]
"""Sensor and metric."""

_MAX_OPEN = 100  # gaps per series that may still be filled; more are a series whose period is wrong


class Gap(NamedTuple):
    """No reading of a series between two that came, at `from_ms` and at `to_ms`."""

    series: Series
    from_ms: int
    to_ms: int

    def missing(self, period_ms: int) -> int:
        """How many readings are missing."""
        return max(1, round((self.to_ms - self.from_ms) / period_ms) - 1)


@dataclass
class GapReport:
    """What one poll told about gaps."""

    found: list[Gap] = field(default_factory=list)
    missing: int = 0
    """Readings that the found gaps lack."""
    filled: int = 0
    """Readings that came late into gaps known before."""
    fell_silent: list[tuple[Series, int]] = field(default_factory=list)
    """Series that have stopped, each with its newest event time in epoch ms; said once."""
    silent: int = 0
    """How many series are silent now."""


@dataclass
class _Followed:
    newest_ms: int
    open: list[Gap] = field(default_factory=list)
    is_silent: bool = False


class GapDetector:
    """Follows series of one feed; readings of a poll may come in any order.

    Parameters
    ----------
    period_ms
        From one reading of a series to the next.
    tolerance
        What part of a period a reading may be late by before it counts as missing.
    max_series
        How many series are followed; those beyond are not watched, and `unwatched` counts their readings.
    """

    def __init__(self, period_ms: int, tolerance: float = 0.5, max_series: int = 10_000) -> None:
        self._period_ms = period_ms
        self._longest_ms = period_ms * (1 + tolerance)
        self._max_series = max_series
        self._series: dict[Series, _Followed] = {}
        self._came: dict[Series, set[int]] = {}
        self._new = 0  # series that came first in the poll that is going on
        self.unwatched = 0

    def came(self, series: Series, event_time_ms: int) -> None:
        """Take a reading of the poll that is going on."""
        times = self._came.get(series)
        if times is None:
            if series not in self._series:
                if len(self._series) + self._new >= self._max_series:
                    self.unwatched += 1
                    return
                self._new += 1
            times = self._came[series] = set()
        times.add(event_time_ms)

    def close(self, from_ms: int, to_ms: int) -> GapReport:
        """End a poll that asked for [from_ms, to_ms) and say what is missing.

        Gaps that end before `from_ms` are forgotten: no later poll asks for them, only a backfill would.
        """
        report = GapReport()
        for series, times in self._came.items():
            self._follow(series, sorted(times), report)
        self._came.clear()
        self._new = 0
        for series, state in self._series.items():
            state.open = [gap for gap in state.open if gap.to_ms >= from_ms][-_MAX_OPEN:]
            was_silent, state.is_silent = state.is_silent, to_ms - state.newest_ms > self._longest_ms
            report.silent += state.is_silent
            if state.is_silent and not was_silent:
                report.fell_silent.append((series, state.newest_ms))
        return report

    def _follow(self, series: Series, times: list[int], report: GapReport) -> None:
        state = self._series.setdefault(series, _Followed(times[0]))
        for time_ms in times:
            if time_ms <= state.newest_ms:
                self._fill(state, time_ms, report)
                continue
            gap = Gap(series, state.newest_ms, time_ms)
            if self._is_gap(gap):
                state.open.append(gap)
                report.found.append(gap)
                report.missing += gap.missing(self._period_ms)
            state.newest_ms = time_ms

    def _fill(self, state: _Followed, time_ms: int, report: GapReport) -> None:
        for number, gap in enumerate(state.open):
            if gap.from_ms < time_ms < gap.to_ms:
                pieces = [Gap(gap.series, gap.from_ms, time_ms), Gap(gap.series, time_ms, gap.to_ms)]
                state.open[number : number + 1] = [piece for piece in pieces if self._is_gap(piece)]
                report.filled += 1
                return

    def _is_gap(self, gap: Gap) -> bool:
        return gap.to_ms - gap.from_ms > self._longest_ms
