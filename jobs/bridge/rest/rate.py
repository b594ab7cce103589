"""Rates as token buckets on a monotonic clock that is given."""

from __future__ import annotations

import threading


class TokenBucket:
    """So many tokens per time, with a burst of as many.

    Parameters
    ----------
    tokens, per_s
        The rate: tokens in so many seconds.
    burst
        What an idle bucket holds at most; None: `tokens`.
    """

    def __init__(self, tokens: float, per_s: float, burst: float | None = None) -> None:
        self._rate = tokens / per_s
        self._burst = tokens if burst is None else burst
        self._level = self._burst
        self._at_s: float | None = None
        self._lock = threading.Lock()

    def take(self, now_s: float, count: float = 1.0) -> float:
        """Take tokens if they are there.

        Parameters
        ----------
        now_s
            Monotonic seconds.
        count
            More than the burst is taken from a full bucket, which then owes the rest.

        Returns
        -------
            0.0 when they were taken; otherwise in how many seconds to ask again.
        """
        with self._lock:
            self._refill(now_s)
            needed = min(count, self._burst)
            if self._level >= needed:
                self._level -= count
                return 0.0
            return (needed - self._level) / self._rate

    def owe(self, now_s: float, count: float) -> None:
        """Take tokens that turned out to be needed, there or not."""
        with self._lock:
            self._refill(now_s)
            self._level -= count

    def _refill(self, now_s: float) -> None:
        if self._at_s is not None:
            self._level = min(self._burst, self._level + max(0.0, now_s - self._at_s) * self._rate)
        self._at_s = now_s
