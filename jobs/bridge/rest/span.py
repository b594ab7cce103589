"""Which range of event times to ask a source for, and when: pure arithmetic on clocks that are given.

Wall time names ranges, because sources understand nothing else; a schedule runs on monotonic time, because wall time
goes back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Span(NamedTuple):
    """Event times [from_ms, to_ms), epoch milliseconds."""

    from_ms: int
    to_ms: int


class SpanRule(NamedTuple):
    """How far a poll looks, all in milliseconds."""

    delay_ms: int
    """How late a source publishes at best: what is younger is not asked for yet."""
    overlap_ms: int
    """How much of what was asked before is asked again, for readings that were inserted late."""
    longest_ms: int
    """The longest new range of one poll; more is caught up in several."""
    first_ms: int
    """How far back the first poll of all begins."""


def next_span(rule: SpanRule, until_ms: int | None, newest_ms: int | None, now_ms: int) -> Span:
    """Say what to ask next.

    Parameters
    ----------
    until_ms
        Up to where a poll has asked before; None: there was none.
    newest_ms
        The latest event time that has come.
    now_ms
        Wall time. Where it is before `until_ms` the clock went back, and what was asked in the future must be asked
        again: the span begins at the newest event time that came.

    Returns
    -------
        The span; it is empty where all has been asked.
    """
    horizon_ms = now_ms - rule.delay_ms
    if until_ms is None:
        begin_ms = horizon_ms - rule.first_ms
        return Span(begin_ms, min(horizon_ms, begin_ms + rule.longest_ms))
    if until_ms > now_ms:
        begin_ms = horizon_ms if newest_ms is None else min(newest_ms, horizon_ms)
        return Span(begin_ms - rule.overlap_ms, horizon_ms)
    end_ms = max(until_ms, min(horizon_ms, until_ms + rule.longest_ms))
    return Span(until_ms - rule.overlap_ms, end_ms)


def asked_until(rule: SpanRule, span: Span, source_now_ms: int | None) -> int:
    """Up to where a finished span has asked.

    A source cannot have published what its own clock has not reached: where ours is ahead, the source's counts.

    Parameters
    ----------
    source_now_ms
        The `Date` of the source's answer. A clock that is behind by more than a span's length is not believed.
    """
    if source_now_ms is None or span.to_ms - source_now_ms >= rule.longest_ms:
        return span.to_ms
    return min(span.to_ms, source_now_ms)


class Schedule:
    """When a feed is due, in seconds of a monotonic clock.

    Runs that were missed are not made up: the next span holds them.

    Parameters
    ----------
    every_s
        From one due time to the next.
    first_due_s
        When it is due first.
    jitter
        Gives a part of a second or more that each due time is put off by, so that feeds do not ask all at once.
    """

    def __init__(self, every_s: float, first_due_s: float, jitter: Callable[[], float] = lambda: 0.0) -> None:
        self._every_s = every_s
        self._grid_s = first_due_s
        self._jitter = jitter
        self.due_s = first_due_s + jitter()

    def wait_s(self, now_s: float) -> float:
        return max(0.0, self.due_s - now_s)

    def ran(self, now_s: float, at_once: bool = False, not_before_s: float = 0.0) -> None:
        """Set the next due time after a run.

        Parameters
        ----------
        at_once
            There is more to catch up with.
        not_before_s
            The source asked to be left alone until then.
        """
        if at_once:
            self.due_s = max(now_s, not_before_s)
            return
        missed = max(0, int((now_s - self._grid_s) // self._every_s))
        self._grid_s += (missed + 1) * self._every_s
        self.due_s = max(self._grid_s + self._jitter(), not_before_s)


def first_due_s(now_s: float, now_ms: int, polled_at_ms: int | None, every_ms: int) -> float:
    """When a feed is due after a start: at once, or when it would have been without the restart.

    Only a restart shortly after a poll waits, so that a crashing bridge does not hammer a source; a poll that lies in
    the future (the clock went back) is due at once.
    """
    if polled_at_ms is None or not 0 <= now_ms - polled_at_ms < every_ms:
        return now_s
    return now_s + (every_ms - (now_ms - polled_at_ms)) / 1000
