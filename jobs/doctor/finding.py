"""One thing that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, NamedTuple

from jobs.doctor.facts import Snapshot


class Rank(IntEnum):
    """How likely a finding is the cause of others: causes before symptoms, what stops the job before what slows it."""

    UNREACHABLE = 100
    CANNOT_WORK = 90
    MISMATCH = 85
    CANNOT_COMMIT = 80
    FAILING = 75
    CLOCK = 70
    RESOURCES = 65
    REFUSED = 62
    UNEVEN = 60
    STALLED = 55
    SLOW = 50
    WAITING = 40
    ACCURACY = 35
    RISK = 30


class Finding(NamedTuple):
    """`cause` is a stable word for scripts, `text` what is wrong and `change` what to do, in plain sentences."""

    rank: Rank
    cause: str
    text: str
    change: str

    def to_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "rank": int(self.rank)}


Check = Callable[[Snapshot], Iterator[Finding]]
