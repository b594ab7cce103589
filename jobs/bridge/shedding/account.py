"""The account that a bridge gives: every reading that it takes has a number, in the raw topic or in a report.

A report says of a range of numbers how many of them were shed, and why, and which a breaker has put into the cold
store; the others are in the raw topic with their number in the header `bridge_sequence`, and so are those of the cold
store once they have been sent again. Both come at least once, and repeats are told by the number or the range. So
`meridian audit` can say of every number what became of it, without trusting the bridge's arithmetic.
"""

from __future__ import annotations

import uuid
from collections import Counter

import orjson

from jobs.bridge.envelope import Message
from jobs.bridge.shedding.policy import Shed

SEQUENCE_HEADER = "bridge_sequence"
_MAX_RANGES = 10_000


class Account:
    """Numbers readings from 1 on, and counts those that are shed. One run of one bridge, one thread.

    Parameters
    ----------
    bridge
        Its name.
    now_ms
        Epoch milliseconds; they name the run for people, and some random digits for the audit.
    """

    def __init__(self, bridge: str, now_ms: int) -> None:
        self.run = f"{now_ms}-{uuid.uuid4().hex[:8]}"
        self.total: Counter[str] = Counter()
        """Shed since the start, by reason."""
        self._bridge = bridge
        self._prefix = f"{bridge}/{self.run}/".encode()
        self._next = self._first = 1
        self._shed: Counter[Shed] = Counter()
        self._cold: list[list[int]] = []  # ranges of numbers, [first, end)

    @property
    def unreported(self) -> int:
        """Readings since the last report."""
        return self._next - self._first

    def admit(self) -> tuple[str, bytes]:
        """Number a reading that goes on; the header that it gets."""
        number = self._next
        self._next += 1
        return SEQUENCE_HEADER, self._prefix + b"%d" % number

    def shed(self, verdict: Shed) -> None:
        """Number a reading that was let go."""
        self._next += 1
        self._shed[verdict] += 1
        self.total[verdict.reason.value] += 1

    @property
    def is_long(self) -> bool:
        """Whether the next report should not wait: readings that are diverted one by one make it grow."""
        return len(self._cold) >= _MAX_RANGES

    def diverted(self, message: Message) -> None:
        """Say that a record is in the cold store; what has no number is none of this account."""
        header = message.headers.get(SEQUENCE_HEADER)
        if header is None:
            return
        number = int(header.rpartition(b"/")[2])
        if self._cold and self._cold[-1][1] == number:
            self._cold[-1][1] += 1
        else:
            self._cold.append([number, number + 1])

    def report(self, now_ms: int, is_last: bool = False) -> Message:
        """Close the range of numbers since the last report.

        Parameters
        ----------
        is_last
            Kafka has all that was admitted, and no number follows.
        """
        record = {
            "class": "shed",
            "bridge": self._bridge,
            "run": self.run,
            "first_number": self._first,
            "end_number": self._next,
            "shed": [{"stream": s.stream, "reason": s.reason.value, "count": n} for s, n in self._shed.items()],
            "cold": self._cold,
            "is_last": is_last,
            "reported_at_ms": now_ms,
        }
        key = orjson.dumps([self._bridge, self.run, self._first])
        self._first = self._next
        self._shed.clear()
        self._cold = []
        return Message(key, orjson.dumps(record), {"content-type": b"application/json"})
