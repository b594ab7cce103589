"""The field's time: one hour of the past, gone through faster than it went."""

from __future__ import annotations

import threading
import time
from typing import Final

from jobs.field.plan import HOUR_MS

_NAP_S: Final = 0.5


class FieldClock:
    """Starts when it is made.

    Parameters
    ----------
    begin_ms
        The hour's begin, epoch milliseconds.
    seconds
        How long the hour takes.
    """

    def __init__(self, begin_ms: int, seconds: float) -> None:
        self.begin_ms = begin_ms
        self._speed = HOUR_MS / 1000 / seconds
        self._started_s = time.monotonic()
        self.stopped = threading.Event()
        """Set by who wants everything to end early."""

    def now_ms(self) -> int:
        """Milliseconds since the hour's begin; it stays at the hour's end."""
        return min(HOUR_MS, int((time.monotonic() - self._started_s) * self._speed * 1000))

    def wait_until(self, due_ms: int) -> bool:
        """Wait for a time of the hour; False when everything is to end."""
        while (left_ms := due_ms - self.now_ms()) > 0:
            if self.stopped.wait(min(_NAP_S, left_ms / 1000 / self._speed)):
                return False
        return not self.stopped.is_set()
