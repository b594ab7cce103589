"""How fast records are sent again: by a rate, and only while the job keeps up with what comes anyway."""

from __future__ import annotations

import time
from collections.abc import Callable

_POLL_S = 1.0
_PATIENCE_S = 300.0


class JobStandsStill(RuntimeError):  # noqa: N818
    """The job does not catch up; one line for a person."""


class Pace:
    """Asked before each batch; waits as long as it has to.

    Parameters
    ----------
    rate
        Records per second; 0: without that limit.
    most_behind
        How many raw records the job may be behind, by what it has committed with its last checkpoint; 0: never mind.
    behind
        Tells that; None: not known, since no job of the deployment has committed anything.
    """

    def __init__(
        self,
        rate: float,
        most_behind: int,
        behind: Callable[[], int | None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._most_behind, self._behind = rate, most_behind, behind
        self._clock, self._sleep = clock, sleep
        self._next = clock()  # when the next batch may go
        self._ask_at = clock()

    def wait(self, records: int) -> None:
        """Wait until so many records may be sent.

        Raises
        ------
        JobStandsStill : it was too far behind for five minutes, and came no nearer.
        """
        if self._most_behind and self._clock() >= self._ask_at:
            self._yield_to_others()
            self._ask_at = self._clock() + _POLL_S
        if self._rate:
            now = self._clock()
            self._next = max(self._next, now)
            self._sleep(self._next - now)
            self._next += records / self._rate

    def _yield_to_others(self) -> None:
        least, since = None, self._clock()
        while (behind := self._behind()) is not None and behind > self._most_behind:
            if least is None or behind < least:
                least, since = behind, self._clock()
            elif self._clock() - since > _PATIENCE_S:
                raise JobStandsStill(f"the job is {behind:,} raw records behind and does not catch up")
            self._sleep(_POLL_S)
