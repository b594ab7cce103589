"""Ask a registry for schemas that are not known, without stopping the stream for what it does not answer.

Records arrive by the thousand and most unknown ids are garbage: so each id is asked for once and not per record, a
registry that does not answer is left alone for a while, and waiting for it has an end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from udfs.reasons import Reason, Rejected
from udfs.rules import LookupRule
from udfs.writer_schema import WriterSchema

MAX_UNKNOWN_IDS: Final = 200
"""Within `ask_again_after_ms`; after so many, further ones are taken to be garbage and not asked for."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0


class Unreachable(Exception):  # noqa: N818
    """The registry did not answer, or answered that it cannot; one line."""


class SchemaSource(Protocol):
    """Where schemas come from: a registry's client, given in by the wiring."""

    def find(self, schema_id: int) -> WriterSchema | None:
        """Ask once.

        Returns
        -------
            The schema; None: there is none of that id.

        Raises
        ------
        Unreachable
            No answer within the source's own timeout.
        UnusableSchema
            There is one, and it is of no kind that the job reads.
        """
        ...


class SchemaLookup:
    """One per worker.

    Parameters
    ----------
    source
        Asked once for an id, and again only as the rule says.
    rule
        What to do while it does not answer.
    clock, sleep
        In seconds, monotonic.
    """

    def __init__(
        self,
        source: SchemaSource,
        rule: LookupRule,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source, self._rule, self._clock, self._sleep = source, rule, clock, sleep
        self._again_after_s = rule.ask_again_after_ms / 1_000
        self._unknown: dict[int, float] = {}  # id: when it may be asked for again
        self._silent_until = 0.0
        self._has_answered = True  # else nobody waits: who waited in vain waits no second time
        self._error = ""

    def find(self, schema_id: int) -> WriterSchema:
        """Give the schema of an id that is not known yet.

        Raises
        ------
        Rejected
            UNKNOWN_SCHEMA: the registry has no such id. SCHEMA_UNREACHABLE: it does not answer, and waiting, where
            configured, was in vain.
        UnusableSchema
            As the source.
        """
        if self._clock() < self._unknown.get(schema_id, 0.0):
            raise Rejected(Reason.UNKNOWN_SCHEMA, f"schema id {schema_id}: the registry does not know it")
        if len(self._unknown) >= MAX_UNKNOWN_IDS and not self._forget_unknown():
            message = (
                f"schema id {schema_id}: not asked for, after {MAX_UNKNOWN_IDS} ids that the registry does not know"
            )
            raise Rejected(Reason.UNKNOWN_SCHEMA, message)
        found = self._ask(schema_id)
        if found is None:
            self._unknown[schema_id] = self._clock() + self._again_after_s
            raise Rejected(Reason.UNKNOWN_SCHEMA, f"schema id {schema_id}: the registry does not know it")
        return found

    def _ask(self, schema_id: int) -> WriterSchema | None:
        begin = self._clock()
        if begin >= self._silent_until:
            waits = self._rule.when_unreachable == "wait" and self._has_answered
            deadline = begin + (self._rule.wait_ms / 1_000 if waits else 0.0)
            pause = _FIRST_PAUSE_S
            while True:
                try:
                    found = self._source.find(schema_id)
                except Unreachable as error:
                    self._error = str(error)
                else:
                    self._has_answered = True
                    return found
                if self._clock() + pause > deadline:
                    break
                self._sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            self._has_answered = False
            self._silent_until = self._clock() + self._again_after_s
        raise Rejected(Reason.SCHEMA_UNREACHABLE, f"schema id {schema_id}: {self._error}"[:500])

    def _forget_unknown(self) -> bool:
        now = self._clock()
        self._unknown = {schema_id: until for schema_id, until in self._unknown.items() if now < until}
        return len(self._unknown) < MAX_UNKNOWN_IDS
