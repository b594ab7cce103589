"""Says of every record when it is safe: Kafka has acknowledged it, or it lies on the spool's disk.

Records leave in the order in which they came. While Kafka keeps up they go straight to the producer. When the oldest
one has waited too long, all that wait are put on the spool too (so that their senders can be acknowledged; they stay
with the producer, which goes on trying), and what comes later goes to the spool alone, until that has been sent. So
nothing is sent twice but after a crash, or where Kafka has failed a record.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError

from jobs.bridge.envelope import SHORTENED_BYTES, Message, shortened
from jobs.bridge.producer import Sender, is_refusal
from jobs.bridge.spool import Damaged, Spool, SpoolFull

_READ_AHEAD: Final = 1_000
_READ_AHEAD_BYTES: Final = 16 * 1024 * 1024
_RELEASE_EVERY_S: Final = 0.5
_RETRY_AFTER_S: Final = 1.0


class Receipt:
    """Stands for one received payload until all records made of it are safe."""

    __slots__ = ("unsafe",)

    def __init__(self) -> None:
        self.unsafe = 0


@dataclass
class OutboxCounters:
    """How many records took which way since the start; `sent_again` are repeats that the job's dedup absorbs.

    `failed` counts each time that Kafka failed a record for a reason that may pass.
    """

    delivered: int = 0
    spooled: int = 0
    failed: int = 0
    sent_again: int = 0
    refused_by_kafka: int = 0
    damaged_on_disk: int = 0


class _Entry:
    """A record on its way to Kafka. It is its own delivery callback: a closure for each would cost more."""

    __slots__ = ("done", "message", "outbox", "position", "receipt", "sent_s", "topic")

    def __init__(
        self, outbox: Outbox, topic: str, message: Message, receipt: Receipt | None, position: int, sent_s: float
    ) -> None:
        self.outbox = outbox
        self.topic = topic
        self.message = message
        self.receipt = receipt
        self.position = position  # on the spool; 0: not there, -1: sent again from there
        self.sent_s = sent_s
        self.done = False

    def on_ack(self, error: KafkaError | None, _message: Any) -> None:
        if error is not None:
            self.outbox._failed(self, error)
            return
        self.done = True
        self.outbox._delivered(len(self.message.value))
        if self.receipt is not None:
            self.receipt.unsafe -= 1
            self.receipt = None


class Outbox:
    """The way of records to Kafka, by the spool where it must be. Belongs to one thread.

    Parameters
    ----------
    sender
        Whose callbacks come from `turn`.
    spool
        What it holds at the start is sent first.
    max_in_flight, max_in_flight_bytes
        Records that the sender may hold, and their values' bytes: the bound of memory.
    spool_after_s
        How long a record may wait for Kafka before it is spooled.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        sender: Sender,
        spool: Spool,
        *,
        max_in_flight: int,
        max_in_flight_bytes: int,
        spool_after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = OutboxCounters()
        self.last_error: str | None = None
        self._sender, self._spool, self._clock = sender, spool, clock
        self._max_in_flight, self._max_bytes, self._spool_after_s = max_in_flight, max_in_flight_bytes, spool_after_s
        self._bytes = 0  # with the sender
        self._live: deque[_Entry] = deque()  # sent straight away, in order
        self._draining: deque[_Entry] = deque()  # on the spool and with the sender, in order
        self._arrived: list[tuple[str, Message, Receipt]] = []  # to be spooled at the next turn
        self._stranded: list[_Entry] = []  # of the live ones, those that Kafka has failed
        self._sent_up_to = 0 if len(spool) else spool.last_position
        self._delivered_up_to = 0
        self._spooling = len(spool) > 0
        self._is_full = False
        self._rewind = False
        self._retry_at_s = 0.0
        self._release_at_s = 0.0

    @property
    def is_spooling(self) -> bool:
        return self._spooling

    @property
    def is_full(self) -> bool:
        """Whether the spool has no room, so that nothing more becomes safe before Kafka is back."""
        return self._is_full

    @property
    def waiting(self) -> int:
        """Records that Kafka does not have: with the sender, on the spool, or on their way to it."""
        return len(self._live) + len(self._spool) + len(self._arrived)

    def has_room(self) -> bool:
        """Whether more may be put; a caller that reads on without room breaks the bound of memory."""
        if self._is_full or self._rewind or self._stranded:
            return False
        return self._spooling or (self._sender.in_flight < self._max_in_flight and self._bytes < self._max_bytes)

    def put(self, topic: str, message: Message, receipt: Receipt) -> None:
        """Take a record; `receipt.unsafe` falls again when it is safe, at the earliest in the next turn."""
        receipt.unsafe += 1
        if self._spooling:
            self._arrived.append((topic, message, receipt))
            return
        entry = _Entry(self, topic, message, receipt, 0, self._clock())
        self._live.append(entry)
        self._send(entry)

    def turn(self) -> None:
        """Do what is due: callbacks, spooling, sending from the spool, forgetting what Kafka has."""
        self._sender.poll()
        while self._live and self._live[0].done:
            self._live.popleft()
        while self._draining and self._draining[0].done:
            self._delivered_up_to = self._draining.popleft().position
        now_s = self._clock()
        if now_s >= self._retry_at_s:
            if self._stranded:
                self._recover(now_s)
            elif self._rewind:
                self._start_again()
            if self._is_overdue(self._live, now_s):
                self._spool_live(now_s)
            elif not self._arrived:
                self._is_full = False
            if self._arrived:
                self._spool_arrived(now_s)
        if self._spooling:
            self._send_spooled(now_s)
        if self._delivered_up_to and now_s >= self._release_at_s:
            self._release_at_s = now_s + _RELEASE_EVERY_S
            self.settle()

    def secure(self) -> bool:
        """Spool whatever is not safe, at the end of a run; whether there was room for it."""
        now_s = self._clock()
        self._spool_live(now_s)
        self._spool_arrived(now_s)
        return not self._live and not self._arrived

    def settle(self) -> None:
        """Forget at once what Kafka has acknowledged of the spool."""
        if self._delivered_up_to:
            self._spool.release(self._delivered_up_to)
            self._delivered_up_to = 0

    def _is_overdue(self, entries: deque[_Entry], now_s: float) -> bool:
        return bool(entries) and now_s - entries[0].sent_s > self._spool_after_s

    # --- on to the disk ---

    def _spool_live(self, now_s: float) -> bool:
        """Put what waits for Kafka on the spool as well; it stays with the sender.

        Where the spool holds what has yet to be sent, that would be skipped: then it is sent again after that.
        """
        entries = [entry for entry in self._live if not entry.done]
        if entries and not self._commit([(entry.topic, entry.message) for entry in entries], now_s):
            return False
        first = self._spool.last_position - len(entries) + 1
        is_next = self._sent_up_to == first - 1
        for position, entry in enumerate(entries, first):
            entry.position = position if is_next else -1
            if entry.receipt is not None:
                entry.receipt.unsafe -= 1
                entry.receipt = None
        if is_next:
            self._sent_up_to = self._spool.last_position
            self._draining.extend(entries)
        else:
            self.counters.sent_again += len(entries)
        self._live.clear()
        self._spooling = True
        return True

    def _spool_arrived(self, now_s: float) -> None:
        if not self._arrived or not self._commit([(topic, message) for topic, message, _ in self._arrived], now_s):
            return
        for _, _, receipt in self._arrived:
            receipt.unsafe -= 1
        self._arrived.clear()

    def _commit(self, records: list[tuple[str, Message]], now_s: float) -> bool:
        try:
            self._spool.append(records)
        except SpoolFull:
            self._is_full = True
            self._retry_at_s = now_s + _RETRY_AFTER_S
            return False
        self._is_full = False
        self.counters.spooled += len(records)
        return True

    # --- from the disk ---

    def _send_spooled(self, now_s: float) -> None:
        room = min(_READ_AHEAD, self._max_in_flight - self._sender.in_flight)
        if self._rewind or room < min(_READ_AHEAD, self._max_in_flight) // 2 or self._bytes >= self._max_bytes:
            return
        found = self._spool.read_after(self._sent_up_to, room, _READ_AHEAD_BYTES)
        for record in found:
            self._sent_up_to = record.position
            if isinstance(record, Damaged):
                self.counters.damaged_on_disk += 1
                continue
            entry = _Entry(self, record.topic, record.message, None, record.position, now_s)
            self._draining.append(entry)
            self._send(entry)
        if not found and not self._arrived and not self._is_overdue(self._draining, now_s):
            self._spooling = False

    # --- the sender's answers ---

    def _send(self, entry: _Entry) -> None:
        self._bytes += len(entry.message.value)
        self._sender.send(entry.topic, entry.message, entry.on_ack)

    def _delivered(self, size: int) -> None:
        self._bytes -= size
        self.counters.delivered += 1

    def _failed(self, entry: _Entry, error: KafkaError) -> None:
        self._bytes -= len(entry.message.value)
        self.last_error = error.str()
        is_too_large = is_refusal(error) and len(entry.message.value) > SHORTENED_BYTES
        self.counters.failed += not is_too_large
        if entry.position < 0:
            return
        if is_too_large:
            self.counters.refused_by_kafka += 1
            entry.message = shortened(entry.message, error.str())
            self._send(entry)
            return
        if entry.position:
            self._rewind = True
        else:
            self._stranded.append(entry)
        self._retry_at_s = self._clock() + _RETRY_AFTER_S

    def _recover(self, now_s: float) -> None:
        """Bring what Kafka has failed back into its place: by the spool, or straight away where that has no room."""
        stranded, self._stranded = self._stranded, []
        if self._spool_live(now_s):
            self._start_again()
            return
        self.counters.sent_again += len(stranded)
        for entry in stranded:
            self._send(entry)

    def _start_again(self) -> None:
        """Send all of the spool again, from its first record."""
        self.settle()
        self._rewind = False
        self.counters.sent_again += len(self._draining)
        for entry in self._draining:
            entry.position = -1
        self._draining.clear()
        self._sent_up_to = 0
        self._spooling = True
