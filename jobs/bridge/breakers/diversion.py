"""Where records leave the way to Kafka for the cold store: the breaker, its signs, its trials and the store in one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from jobs.bridge.breakers.breaker import Breaker, Cause, State, Transition
from jobs.bridge.breakers.config import Breakers, KafkaRule
from jobs.bridge.breakers.signs import Answers, Figures, KafkaSigns
from jobs.bridge.envelope import Message
from jobs.bridge.outbox import Receipt
from jobs.cold.record import ColdRecord
from jobs.cold.store import ColdFull, ColdStore

_AGAIN_AFTER_S: Final = 5.0  # when the store was full

Say = Callable[..., None]
"""An event of the journal: its name, and facts."""


class Parcel(NamedTuple):
    """A record, where it is to go, and who wants to know that it is safe."""

    topic: str
    message: Message
    receipt: Receipt


class Diversion:
    """Stands before an outbox, or a producer. Belongs to one thread.

    Half open, one record at a time goes to Kafka, when nothing else waits there: so its time is Kafka's own.

    Parameters
    ----------
    topic
        Whose records may be diverted. Others must not come late (a station's status would take the place of a newer
        one), or are few.
    say
        Takes the events `breaker` (each change of state) and `cold_store_full`.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        rule: KafkaRule,
        store: ColdStore,
        topic: str,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.diverted: Counter[Cause] = Counter()
        """Records that the cold store has, by cause."""
        self.on_stored: Callable[[Message], None] = lambda message: None
        """Called for each of them, such as by a bridge's account."""
        self.breaker = Breaker("kafka", rule.open_for / 1000, clock, self._changed)
        self._rule, self._store, self._topic, self._say, self._clock = rule, store, topic, say, clock
        self._signs = KafkaSigns(rule, clock())
        self._arrived: list[tuple[Cause, Parcel]] = []
        self._trial_since_s: float | None = None
        self._trials = self._failed_before = 0
        self._full_until_s = float("-inf")

    @property
    def is_on(self) -> bool:
        """Whether records are taken away from Kafka, and the store has room."""
        return not self.breaker.is_closed and self._clock() >= self._full_until_s

    def takes(self, topic: str, unanswered: int) -> bool:
        """Say whether the next record goes to the cold store; a trial begins where it does not.

        Parameters
        ----------
        unanswered
            Records that Kafka does not have.
        """
        if topic != self._topic or not self.is_on:
            return False
        if self.breaker.state is State.HALF_OPEN and not unanswered and self._trial_since_s is None:
            self._trial_since_s = self._clock()
            return False
        return True

    def put(self, parcel: Parcel, cause: Cause | None = None) -> None:
        """Take a record; `receipt.unsafe` falls again when it is on the disk, in the next turn.

        Parameters
        ----------
        cause
            None: that of the breaker.
        """
        parcel.receipt.unsafe += 1
        self._arrived.append((cause or self.breaker.cause or Cause.GONE, parcel))

    def commit(self) -> list[Parcel]:
        """Put on the disk what has arrived. Gives it back where the store has no room: it must go to Kafka then."""
        arrived, self._arrived = self._arrived, []
        if not arrived:
            return []
        for _, parcel in arrived:
            parcel.receipt.unsafe -= 1
        now_ms = time.time_ns() // 1_000_000
        try:
            self._store.append([ColdRecord(p.topic, p.message, cause.value, now_ms) for cause, p in arrived])
        except ColdFull as full:
            if self._clock() >= self._full_until_s:
                self._say("cold_store_full", why=str(full))
            self._full_until_s = self._clock() + _AGAIN_AFTER_S
            return [parcel for _, parcel in arrived]
        for cause, parcel in arrived:
            self.diverted[cause] += 1
            self.on_stored(parcel.message)
        return []

    def turn(self, figures: Figures, answers: list[Answers], is_full: bool = False) -> None:
        """Judge Kafka by what has become of its records since the last turn.

        Parameters
        ----------
        is_full
            Whether the spool before it has no room left.
        """
        now_s = self._clock()
        self._store.turn()
        self.breaker.turn()
        causes = [self._signs.answered(found) for found in answers]
        causes.append(self._signs.look(figures, now_s))
        if self._trial_since_s is not None:
            causes.append(self._judge_trial(figures, now_s))
        if is_full:
            causes.append(Cause.SPOOL_FULL)
        self._failed_before = figures.failed
        for cause in filter(None, causes):
            self.breaker.trip(cause)

    def figures(self) -> dict[str, Any]:
        """How things stand, for the journal."""
        waiting = self._store.waiting
        return {
            "diverted": {cause.value: count for cause, count in self.diverted.items()},
            "cold_records": waiting.records,
            "cold_bytes": waiting.bytes,
        }

    def close(self) -> None:
        """Make an object of the file that is open."""
        self._store.finish()

    def _judge_trial(self, figures: Figures, now_s: float) -> Cause | None:
        assert self._trial_since_s is not None
        if figures.failed > self._failed_before:
            return Cause.FAILING
        if now_s - self._trial_since_s > self._rule.slow_after / 1000:
            return Cause.SLOW
        if not figures.unanswered:
            self._trial_since_s = None
            self._trials += 1
            if self._trials >= self._rule.trials:
                self.breaker.prove()
        return None

    def _changed(self, change: Transition) -> None:
        self._signs.forget(self._clock())
        self._trial_since_s, self._trials = None, 0
        self._say(**event_of(change))
        if change.state is State.CLOSED:
            self._store.finish()  # so that it can be sent again at once


def open_diversion(breakers: Breakers, bridge: str, folder: Path, raw_topic: str, say: Say) -> Diversion:
    """Make the diversion of a bridge whose file is in `folder`.

    Raises
    ------
    ColdUnusable
    """
    store = ColdStore(folder / breakers.cold.folder.expanduser(), bridge, breakers.cold)
    return Diversion(breakers.kafka, store, raw_topic, say)


def event_of(change: Transition) -> dict[str, Any]:
    """A change of state as an event of the journal."""
    return {
        "event": "breaker",
        "breaker": change.breaker,
        "state": change.state.value,
        "before": change.before.value,
        "cause": change.cause.value,
        "lasted_s": round(change.lasted_s, 3),
    }
