"""The ways of a bridge's records to Kafka: one for routine, and one for alarms where there are any.

Each lane has a Kafka client, an outbox and a spool of its own. So alarms overtake whatever routine waits for - Kafka's
client, or an hour of readings on the spool - and routine is not starved by any number of alarms, since Kafka's broker
serves both connections. Order is kept within a lane. Routine may be diverted to the cold store; alarms are not: they
wait on their spool, which is sent without anybody's doing.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Any, NamedTuple

from jobs.bridge.breakers.breaker import Breaker, Cause
from jobs.bridge.breakers.diversion import Diversion, Parcel
from jobs.bridge.breakers.signs import Figures
from jobs.bridge.envelope import Message
from jobs.bridge.outbox import Outbox, OutboxCounters, Receipt
from jobs.bridge.producer import BridgeProducer
from jobs.bridge.spool import Spool


class Outgoing(NamedTuple):
    """A record, where it goes, and by which lane; `is_misplaced`: its position is held back, to the cold store."""

    topic: str
    message: Message
    is_alarm: bool = False
    is_misplaced: bool = False


class Lane:
    """A Kafka client, a spool, the outbox between them, and the diversion before it; closed by `Lanes.close`."""

    def __init__(
        self,
        producer: BridgeProducer,
        spool: Spool,
        *,
        max_in_flight: int,
        max_in_flight_bytes: int,
        spool_after_s: float,
        diversion: Diversion | None = None,
    ) -> None:
        self.producer, self.spool, self.diversion = producer, spool, diversion
        self._may_wait = 2 * max_in_flight  # in memory, of what is not diverted
        self.outbox = Outbox(
            producer,
            spool,
            max_in_flight=max_in_flight,
            max_in_flight_bytes=max_in_flight_bytes,
            spool_after_s=spool_after_s,
        )

    @property
    def is_full(self) -> bool:
        """Whether nothing more becomes safe before Kafka is back."""
        return self.outbox.is_full and not self._is_diverting()

    def has_room(self) -> bool:
        """Whether more may be put."""
        return self._is_diverting() or self.outbox.has_room()

    def put(self, outgoing: Outgoing, receipt: Receipt) -> None:
        """Take a record, see `Outbox.put`."""
        topic, message, diversion = outgoing.topic, outgoing.message, self.diversion
        if diversion is None:
            self.outbox.put(topic, message, receipt)
        elif outgoing.is_misplaced:
            diversion.put(Parcel(topic, message, receipt), Cause.CRS)
        elif diversion.takes(topic, self.outbox.waiting):
            diversion.put(Parcel(topic, message, receipt))
        else:
            self.outbox.put(topic, message, receipt)

    def turn(self) -> None:
        """Do what is due."""
        self.outbox.turn()
        if self.diversion is not None:
            counters = self.outbox.counters
            figures = Figures(counters.delivered, counters.failed, self.outbox.waiting)
            self.diversion.turn(figures, self.producer.answers(), self.outbox.is_full)
            self._commit(self.diversion)

    def secure(self) -> bool:
        """Put on a disk whatever is not safe; whether there was room for it."""
        if self.diversion is not None:
            self._commit(self.diversion)
        return self.outbox.secure()

    def close(self) -> None:
        if self.diversion is not None:
            self.diversion.close()
        self.spool.close()

    def _commit(self, diversion: Diversion) -> None:
        for parcel in diversion.commit():
            self.outbox.put(*parcel)

    def _is_diverting(self) -> bool:
        # What must not be diverted waits for the spool's room meanwhile, in memory.
        in_memory = self.outbox.waiting - len(self.spool)
        return self.diversion is not None and self.diversion.is_on and in_memory < self._may_wait


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
        """Whether a lane is full, so that nothing more becomes safe before Kafka is back."""
        return any(lane.is_full for lane in self._all)

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
    def breaker(self) -> Breaker | None:
        return None if self.routine.diversion is None else self.routine.diversion.breaker

    def diversion_figures(self) -> dict[str, Any]:
        """How the diversion stands, for the journal; nothing without one."""
        return {} if self.routine.diversion is None else self.routine.diversion.figures()

    @property
    def last_error(self) -> str | None:
        """What Kafka said last, of a record or of its connections; it may be over."""
        said = [error for lane in self._all for error in (lane.outbox.last_error, lane.producer.last_error)]
        return next(filter(None, said), None)

    def has_room(self) -> bool:
        """Whether more may be put: nobody knows of what has not been read whether it is an alarm."""
        routine, alarms = self.routine, self._alarms
        return routine.has_room() and (alarms is routine or alarms.has_room())

    def put(self, outgoing: Outgoing, receipt: Receipt) -> None:
        """Take a record, see `Outbox.put`."""
        lane = self._alarms if outgoing.is_alarm and not outgoing.is_misplaced else self.routine
        lane.put(outgoing, receipt)

    def turn(self) -> None:
        """Do what is due, alarms first."""
        for lane in self._all:
            lane.turn()

    def wait(self, timeout_s: float) -> None:
        """Wait for answers of Kafka."""
        for lane in self._all:
            if lane.producer.in_flight:
                lane.producer.poll(timeout_s)

    def secure(self) -> bool:
        """Put on a disk whatever is not safe, at the end of a run; whether there was room for it."""
        secured = [lane.secure() for lane in self._all]
        return all(secured)

    def settle(self) -> None:
        """Forget at once what Kafka has acknowledged of the spools."""
        for lane in self._all:
            lane.outbox.settle()

    def close(self) -> None:
        for lane in self._all:
            lane.close()
