"""Sends the reports of an account through the outbox, and holds back what they speak for until they are safe.

So the source of a reading that was let go is told that it has arrived only when Kafka or the spool has the report that
counts it: whatever is killed, what was shed and acknowledged is counted.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from jobs.bridge.envelope import Message
from jobs.bridge.outbox import Receipt
from jobs.bridge.shedding.account import Account

_HELD_S: Final = 0.05
_HELD: Final = 250  # receipts; a broker sends no more than its receive maximum before they are acknowledged
_SILENT_S: Final = 5.0  # without a report, though readings have come

Put = Callable[[Message, Receipt], None]
"""Hands a record to the outbox."""


class Reporter:
    """Belongs to one thread.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, account: Account, put: Put, clock: Callable[[], float] = time.monotonic) -> None:
        self._account, self._put, self._clock = account, put, clock
        self._held: list[Receipt] = []
        self._held_since_s = 0.0
        self._reported_s = clock()
        self._on_their_way: deque[tuple[Receipt, list[Receipt]]] = deque()

    @property
    def is_done(self) -> bool:
        """Whether all reports are safe."""
        return not self._held and not self._on_their_way

    def hold(self, receipt: Receipt) -> None:
        """Keep a payload of which a reading was shed from being acknowledged before that is reported."""
        receipt.unsafe += 1
        if not self._held:
            self._held_since_s = self._clock()
        self._held.append(receipt)

    def turn(self) -> None:
        """Do what is due, after the outbox's turn."""
        while self._on_their_way and not self._on_their_way[0][0].unsafe:
            for receipt in self._on_their_way.popleft()[1]:
                receipt.unsafe -= 1
        now_s = self._clock()
        is_full = self._held and (len(self._held) >= _HELD or now_s - self._held_since_s >= _HELD_S)
        if is_full or self._account.is_long or (self._account.unreported and now_s - self._reported_s >= _SILENT_S):
            self.report()

    def flush(self) -> None:
        """Report what has not been reported."""
        if self._account.unreported:
            self.report()

    def report(self, is_last: bool = False) -> None:
        """Send a report at once."""
        safe = Receipt()
        self._put(self._account.report(time.time_ns() // 1_000_000, is_last), safe)
        self._on_their_way.append((safe, self._held))
        self._held = []
        self._reported_s = self._clock()
