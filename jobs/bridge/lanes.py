"""The ways of a bridge's records to Kafka: one for routine, and one for alarms where there are any.

Each lane has a Kafka client, an outbox and a spool of its own. So alarms overtake whatever routine waits for - Kafka's
client, or an hour of readings on the spool - and routine is not starved by any number of alarms, since Kafka's broker
serves both connections. Order is kept within a lane.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import NamedTuple

from jobs.bridge.envelope import Message
from jobs.bridge.outbox import Outbox, OutboxCounters, Receipt
from jobs.bridge.producer import BridgeProducer
from jobs.bridge.spool import Spool


class Outgoing(NamedTuple):
    """A record, where it goes, and by which lane."""

    topic: str
    message: Message
    is_alarm: bool = False


class Lane:
    """A Kafka client, a spool, and the outbox between them; closed by `Lanes.close`."""

    def __init__(
        self,
        producer: BridgeProducer,
        spool: Spool,
        *,
        max_in_flight: int,
        max_in_flight_bytes: int,
        spool_after_s: float,
    ) -> None:
        self.producer, self.spool = producer, spool
        self.outbox = Outbox(
            producer,
            spool,
            max_in_flight=max_in_flight,
            max_in_flight_bytes=max_in_flight_bytes,
            spool_after_s=spool_after_s,
        )


class Lanes:
    """Both lanes as one outbox. Belongs to one thread.

    Parameters
    ----------
    alarms
        None: everything is routine.
    """

    def __init__(self, routine: Lane, alarms: Lane | None = None) -> None:
        self.routine, self._alarms = routine, alarms or routine
        self._all = [routine] if alarms is None else [alarms, routine]

    @property
    def is_spooling(self) -> bool:
        return any(lane.outbox.is_spooling for lane in self._all)

    @property
    def is_full(self) -> bool:
        """Whether a spool has no room, so that nothing more becomes safe before Kafka is back."""
        return any(lane.outbox.is_full for lane in self._all)

    @property
    def backlog(self) -> int:
        """Routine records that Kafka does not have."""
        return self.routine.outbox.waiting

    @property
    def waiting(self) -> int:
        """All records that Kafka does not have."""
        return sum(lane.outbox.waiting for lane in self._all)

    @property
    def in_flight(self) -> int:
        return sum(lane.producer.in_flight for lane in self._all)

    @property
    def spool_records(self) -> int:
        return sum(len(lane.spool) for lane in self._all)

    @property
    def spool_bytes(self) -> int:
        return sum(lane.spool.bytes_used for lane in self._all)

    @property
    def counters(self) -> OutboxCounters:
        return OutboxCounters(*map(sum, zip(*(astuple(lane.outbox.counters) for lane in self._all), strict=True)))

    @property
    def last_error(self) -> str | None:
        """What Kafka said last, of a record or of its connections; it may be over."""
        said = [error for lane in self._all for error in (lane.outbox.last_error, lane.producer.last_error)]
        return next(filter(None, said), None)

    def has_room(self) -> bool:
        """Whether more may be put: nobody knows of what has not been read whether it is an alarm."""
        routine, alarms = self.routine.outbox, self._alarms.outbox
        return routine.has_room() and (alarms is routine or alarms.has_room())

    def put(self, outgoing: Outgoing, receipt: Receipt) -> None:
        """Take a record, see `Outbox.put`."""
        lane = self._alarms if outgoing.is_alarm else self.routine
        lane.outbox.put(outgoing.topic, outgoing.message, receipt)

    def turn(self) -> None:
        """Do what is due, alarms first."""
        for lane in self._all:
            lane.outbox.turn()

    def wait(self, timeout_s: float) -> None:
        """Wait for answers of Kafka."""
        for lane in self._all:
            if lane.producer.in_flight:
                lane.producer.poll(timeout_s)

    def secure(self) -> bool:
        """Spool whatever is not safe, at the end of a run; whether there was room for it."""
        secured = [lane.outbox.secure() for lane in self._all]
        return all(secured)

    def settle(self) -> None:
        """Forget at once what Kafka has acknowledged of the spools."""
        for lane in self._all:
            lane.outbox.settle()

    def close(self) -> None:
        for lane in self._all:
            lane.spool.close()
