"""The state machine of a circuit breaker. Pure: what goes wrong, and the time, are told to it.

closed ──trip──> open ──after open_for_s──> half open ──prove──> closed
                   ^───────────trip────────────┘
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple


class State(StrEnum):
    """What may pass: all, nothing, or trials."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Cause(StrEnum):
    """Why a breaker has tripped; a closed list."""

    SLOW = "slow"
    FAILING = "failing"
    GONE = "gone"
    SPOOL_FULL = "spool_full"
    CRS = "crs"


class Transition(NamedTuple):
    """A change of state; `cause` is of the outage that it begins, goes on or ends, `lasted_s` of the state before."""

    breaker: str
    before: State
    state: State
    cause: Cause
    lasted_s: float


class Breaker:
    """One breaker. Belongs to one thread.

    Parameters
    ----------
    name
        In events and metrics.
    open_for_s
        How long it stays open before trials.
    clock
        Monotonic seconds.
    on_change
        Called after each change of state.
    """

    def __init__(
        self, name: str, open_for_s: float, clock: Callable[[], float], on_change: Callable[[Transition], None]
    ) -> None:
        self.name = name
        self.state = State.CLOSED
        self.cause: Cause | None = None
        """Of the last trip; None: it has never tripped."""
        self.transitions: Counter[tuple[State, Cause]] = Counter()
        """How often it came into a state, and for which cause."""
        self._open_for_s, self._clock, self._on_change = open_for_s, clock, on_change
        self._since_s = clock()

    @property
    def is_closed(self) -> bool:
        return self.state is State.CLOSED

    def figures(self) -> dict[str, Any]:
        """For the journal: `state`, `cause` of the last trip, and how often it came into a state, by cause."""
        transitions = {f"{state.value}/{cause.value}": count for (state, cause), count in self.transitions.items()}
        return {"state": self.state.value, "cause": self.cause and self.cause.value, "transitions": transitions}

    def trip(self, cause: Cause) -> None:
        """Open it; a breaker that is open stays so, with the cause that it had."""
        if self.state is not State.OPEN:
            self.cause = cause
            self._become(State.OPEN)

    def turn(self) -> None:
        """Let time pass: what has been open long enough may be tried."""
        if self.state is State.OPEN and self._clock() - self._since_s >= self._open_for_s:
            self._become(State.HALF_OPEN)

    def prove(self) -> None:
        """Close it, because the trials went well; without trials nothing is proved."""
        if self.state is State.HALF_OPEN:
            self._become(State.CLOSED)

    def _become(self, state: State) -> None:
        assert self.cause is not None, "it has tripped"
        before, now_s = self.state, self._clock()
        lasted_s, self.state, self._since_s = now_s - self._since_s, state, now_s
        self.transitions[state, self.cause] += 1
        self._on_change(Transition(self.name, before, state, self.cause, lasted_s))
