"""What stands between adapters and the envelope where a bridge sheds: policy, account, and the backlog's marks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from jobs.bridge.feed import Item, Unreadable
from jobs.bridge.shedding.account import Account
from jobs.bridge.shedding.config import Shedding
from jobs.bridge.shedding.policy import Policy, Shed
from udfs.probe import Probe
from udfs.rules import StreamRule
from udfs.sampling import SAMPLING_HEADER


class Passed(NamedTuple):
    """What goes on, by which lane, and the headers that it gets."""

    is_alarm: bool
    headers: list[tuple[str, bytes]]


class Gate:
    """Belongs to one thread.

    Parameters
    ----------
    backlog
        Gives the number of records that Kafka does not have yet.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        account: Account,
        shedding: Shedding,
        streams: tuple[StreamRule, ...],
        backlog: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.account = account
        self.alarms = 0
        """Readings that were alarms."""
        self._policy = Policy(shedding, streams)
        self._marks = shedding.backlog
        self._backlog, self._clock = backlog, clock
        self._is_backed_up = False

    def judge(self, item: Item, topic: str | None = None) -> Passed | None:
        """Give what an item goes on with, or None for a reading that is let go.

        What is unreadable always goes on, and so do probes, which have no number: the account is of readings.
        """
        if isinstance(item, Probe):
            return Passed(False, [])
        if isinstance(item, Unreadable):
            return Passed(False, [self.account.admit()])
        waiting = self._backlog()
        self._is_backed_up = waiting >= self._marks.above or (self._is_backed_up and waiting > self._marks.low)
        verdict = self._policy.decide(item, topic, self._clock(), self._is_backed_up)
        if isinstance(verdict, Shed):
            self.account.shed(verdict)
            return None
        self.alarms += verdict.is_alarm
        headers = [self.account.admit()]
        if verdict.fraction < 1.0:
            headers.append((SAMPLING_HEADER, repr(verdict.fraction).encode()))
        return Passed(verdict.is_alarm, headers)
