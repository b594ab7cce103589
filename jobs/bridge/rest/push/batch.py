"""One request on its way to Kafka: complete when Kafka has said of every record whether it has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from confluent_kafka import KafkaError

from jobs.bridge.feed import Unreadable


class Outcome(NamedTuple):
    """What became of a batch."""

    sent: int = 0
    """Records that were handed to Kafka: readings, and parts that are none."""
    failed: int = 0
    """Those that Kafka does not have, or may not have."""
    error: str | None = None
    """Why, of the first."""
    unreadable: tuple[tuple[int, Unreadable], ...] = ()
    """Parts that are no readings, with their places in the batch."""
    too_many: bool = False
    """Nothing was sent: more readings than allowed."""
    shed: int = 0
    """Readings that were let go, and counted in Kafka."""

    @property
    def readings(self) -> int:
        return self.sent - len(self.unreadable)


class Batch:
    """Counts acknowledgements. All but the constructor belongs to the sender's thread.

    Parameters
    ----------
    payloads
        The body, or its lines.
    done
        Called once, in the sender's thread.
    """

    __slots__ = (
        "_done",
        "_error",
        "_failed",
        "_left",
        "_over",
        "_sent",
        "context",
        "diverted",
        "feed",
        "payloads",
        "received_ms",
        "shed",
        "unreadable",
    )

    def __init__(
        self,
        feed: str,
        payloads: list[bytes],
        context: dict[str, str],
        received_ms: int,
        done: Callable[[Outcome], None],
    ) -> None:
        self.feed, self.payloads, self.context, self.received_ms = feed, payloads, context, received_ms
        self.unreadable: tuple[tuple[int, Unreadable], ...] = ()
        self._done: Callable[[Outcome], None] | None = done
        self._over: Callable[[Batch, Outcome], None] | None = None
        self.shed = self.diverted = 0
        self._sent = self._failed = 0
        self._left = 1  # until everything has been sent
        self._error: str | None = None

    def expect(self, records: int, over: Callable[[Batch, Outcome], None]) -> None:
        """Say how many acknowledgements will come, and who wants to know too when it is over."""
        self._over = over
        self._sent = records
        self._left += records + (self.shed > 0)  # what was shed has one report

    def on_ack(self, error: KafkaError | None, _message: Any) -> None:
        """Take one acknowledgement; the signature is librdkafka's."""
        if error is not None:
            self._failed += 1
            self._error = self._error or error.str()
        self._left -= 1
        if not self._left:
            self._end(self._outcome(self._failed, self._error))

    def sent_all(self) -> None:
        self._left -= 1
        if not self._left:
            self._end(self._outcome(self._failed, self._error))

    def refuse(self, outcome: Outcome) -> None:
        """End it without Kafka."""
        self._end(outcome)

    def abandon(self, error: str) -> None:
        """End it because the producer is gone: what was not acknowledged may or may not be in Kafka."""
        self._end(self._outcome(self._failed + self._left, self._error or error))

    def _outcome(self, failed: int, error: str | None) -> Outcome:
        return Outcome(self._sent, failed, error, self.unreadable, shed=self.shed)

    def _end(self, outcome: Outcome) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        if self._over is not None:
            self._over(self, outcome)
        done(outcome)
