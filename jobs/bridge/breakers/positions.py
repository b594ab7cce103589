"""Tries the positions of readings before they are sent, and holds back those that fail while they fail in bursts.

It is the job's own stage (`udfs.crs`) under the deployment's own rules, asked once for each position and then
remembered. The rate of `dlq.invalid_events` would be the other thing to judge by, and is not taken: it comes a
checkpoint late, it is of all producers together, and once a feed is diverted nothing of it comes there, so that
nothing tells whether it is well again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from jobs.bridge.breakers.breaker import Breaker, Cause, State, Transition
from jobs.bridge.breakers.config import Breakers, CrsRule
from jobs.bridge.breakers.diversion import Say, event_of
from jobs.bridge.breakers.signs import Burst
from jobs.bridge.feed import Item, Unreadable
from udfs.crs import Locator
from udfs.probe import Probe
from udfs.reasons import Rejected
from udfs.rules import PositionRule


class PositionGuard:
    """Belongs to one thread.

    A single failure goes on and becomes a dead letter, as it would without a guard. While there are bursts, readings
    whose position fails are held back, and only those: other stations' go on.

    Parameters
    ----------
    position
        Of the deployment.
    on_change
        Called after each change of the breaker's state.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        rule: CrsRule,
        position: PositionRule,
        on_change: Callable[[Transition], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.breaker = Breaker("crs", rule.open_for / 1000, clock, self._changed)
        self._on_change = on_change
        self._burst = Burst(rule)
        self._locator = Locator(position, lambda *_: "")

    def diverts(self, item: Item) -> bool:
        """Judge one item; what has no position, or is no reading, is for the job to refuse."""
        if isinstance(item, Unreadable | Probe):
            return False
        crs, x, y, region = item.get("crs"), item.get("x"), item.get("y"), item.get("region")
        if not (type(crs) is str and isinstance(x, int | float) and isinstance(y, int | float)):
            return False
        try:
            key = (crs, float(x), float(y), region if type(region) is str else "")
        except OverflowError:
            return False
        failed = isinstance(self._locator.locate_many([key])[0], Rejected)
        self._judge(failed)
        return failed and not self.breaker.is_closed

    def _judge(self, failed: bool) -> None:
        self.breaker.turn()
        if self.breaker.state is State.OPEN:
            return
        self._burst.add(failed)
        if self._burst.is_on:
            self.breaker.trip(Cause.CRS)
        elif self._burst.is_over:
            self.breaker.prove()

    def _changed(self, change: Transition) -> None:
        self._burst.forget()
        self._on_change(change)


def open_guard(breakers: Breakers | None, position: PositionRule, say: Say) -> PositionGuard | None:
    """Make the guard of a bridge; None where its file asks for none."""
    if breakers is None or breakers.crs is None:
        return None
    return PositionGuard(breakers.crs, position, lambda change: say(**event_of(change)))
