"""The thread that turns batches into records and waits for Kafka's acknowledgements."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Set
from contextlib import suppress
from itertools import chain, islice
from typing import Any, Final

from jobs.bridge.breakers.breaker import Cause
from jobs.bridge.breakers.diversion import Diversion, Parcel
from jobs.bridge.breakers.positions import PositionGuard
from jobs.bridge.breakers.signs import Figures
from jobs.bridge.envelope import Enveloper
from jobs.bridge.feed import Item, Payload, Unreadable, make_adapter
from jobs.bridge.journal import Journal
from jobs.bridge.outbox import Receipt
from jobs.bridge.producer import BridgeProducer, OnAck, ProducerFailed
from jobs.bridge.rest.config import PushBridge
from jobs.bridge.rest.push.batch import Batch, Outcome
from jobs.bridge.shedding.account import Account
from jobs.bridge.shedding.gate import Gate
from jobs.pipeline.config import Deployment

_IDLE_S: Final = 0.5
_POLL_S: Final = 0.002  # how long a new batch waits at most while Kafka is waited for
_POLL_EVERY: Final = 500  # records
_REPORT_EVERY_S: Final = 5.0  # of a bridge that sheds, though nothing is shed
_LAST_REPORT_S: Final = 10.0  # how long the end waits for Kafka
_SHOW_EVERY_S: Final = 1.0
_NOBODY: Final = Receipt()  # a batch counts by its own acknowledgements
_AWAY_S: Final = 2.0  # after a failure, how long batches are refused before one may try again


class PushSender:
    """Owns adapters, envelopes and the producer, and the thread that all of them belong to."""

    def __init__(
        self,
        config: PushBridge,
        deployment: Deployment,
        journal: Journal,
        diversion: Diversion | None = None,
        guard: PositionGuard | None = None,
    ) -> None:
        self.breakers: dict[str, Any] = {}
        """How breakers and cold store stood a moment ago; replaced as a whole."""
        self._diversion, self._guard = diversion, guard
        self._delivered = self._failed = 0
        self._config, self._deployment, self._journal = config, deployment, journal
        self._batches: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        self._open: set[Batch] = set()
        self._away_until_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender")
        self._in_flight = 0
        self._gate: Gate | None = None
        self._reported_s = self._shown_s = time.monotonic()
        self._has_failed = False  # Kafka lacks something that was admitted; its sender knows
        if config.shedding is not None:
            account = Account(config.name, time.time_ns() // 1_000_000)
            if diversion is not None:
                diversion.on_stored = account.diverted
            self._gate = Gate(account, config.shedding, deployment.stream_rules, lambda: self._in_flight)

    def start(self) -> None:
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Take a batch; its `done` is called when it is over, whatever happens."""
        self._batches.put(batch)

    @property
    def is_away(self) -> bool:
        """Whether Kafka took nothing just now, so that there is no point in sending, and nothing is diverted."""
        return time.monotonic() < self._away_until_s and not (self._diversion is not None and self._diversion.is_on)

    @property
    def shed(self) -> dict[str, int] | None:
        """Readings let go since the start, by reason; None: this bridge sheds nothing."""
        return None if self._gate is None else dict(self._gate.account.total)

    def stop(self) -> None:
        """Finish what was submitted; then the thread ends."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        limits, key = self._config.limits, self._config.key.key()
        adapters = {feed.name: make_adapter(feed.adapter, feed.options) for feed in self._config.feeds}
        envelopers = {
            feed.name: Enveloper(feed.source or f"/v1/feeds/{feed.name}", feed.adapter, key, limits.reading_bytes)
            for feed in self._config.feeds
        }
        producer = self._make_producer()
        while not (self._stopping.is_set() and not self._open and self._batches.empty()):
            try:
                batch = self._next_batch(producer)
                if batch is not None:
                    payloads = (Payload(body, batch.context, batch.received_ms) for body in batch.payloads)
                    read = adapters[batch.feed].readings
                    self._send(producer, batch, chain.from_iterable(map(read, payloads)), envelopers[batch.feed])
                self._report_now_and_then(producer)
                self._turn(producer)
            except ProducerFailed as failed:
                self._journal.event("producer_made_anew", problem=str(failed))
                for batch in list(self._open):
                    batch.abandon(str(failed))
                producer = self._make_producer()
        if self._gate is not None:
            with suppress(ProducerFailed):
                self._report(producer, self._gate.account, is_last=not self._has_failed)
                producer.drain(_LAST_REPORT_S)
        if self._diversion is not None:
            self._diversion.close()

    def _make_producer(self) -> BridgeProducer:
        give_up_after_s = self._config.limits.ack_timeout / 1000
        return BridgeProducer(
            self._deployment.kafka,
            f"meridian-{self._config.name}",
            give_up_after_s=give_up_after_s,
            times_answers=self._diversion is not None,
        )

    def _next_batch(self, producer: BridgeProducer) -> Batch | None:
        try:
            found = self._batches.get_nowait() if self._open else self._batches.get(timeout=_IDLE_S)
        except queue.Empty:
            found = None
        producer.poll(_POLL_S if found is None and self._open else 0)
        return found

    def _send(self, producer: BridgeProducer, batch: Batch, items: Iterable[Item], enveloper: Enveloper) -> None:
        limit = self._config.limits.batch_readings
        found = list(islice(items, limit + 1))
        if len(found) > limit:
            batch.refuse(Outcome(too_many=True))
            return
        batch.unreadable = tuple((i, item) for i, item in enumerate(found) if isinstance(item, Unreadable))
        if len(batch.unreadable) == len(found):
            batch.refuse(Outcome(unreadable=batch.unreadable))
            return
        self._open.add(batch)
        self._in_flight = producer.in_flight
        passed = self._judge(found)
        batch.shed = len(found) - len(passed)
        batch.expect(len(passed), self._over)
        traceparent = batch.context.get("traceparent")
        topic, received_ms, on_ack = self._deployment.topics.raw.name, batch.received_ms, batch.on_ack
        diversion = self._diversion
        misplaced = self._misplaced(passed)
        # A batch of which nothing would go to Kafka is no trial.
        diverts = diversion is not None and len(misplaced) < len(passed) and diversion.takes(topic, producer.in_flight)
        for number, (item, headers) in enumerate(passed):
            message = enveloper.message(item, received_ms, traceparent)
            if headers:
                message.headers.update(headers)
            if diverts or number in misplaced:
                assert diversion is not None
                diversion.put(Parcel(topic, message, _NOBODY), Cause.CRS if number in misplaced else None)
                batch.diverted += 1
                continue
            producer.send(topic, message, on_ack)
            if number % _POLL_EVERY == 0:
                producer.poll()
        if batch.diverted:
            self._commit(producer, batch)
        if batch.shed and self._gate is not None:
            self._report(producer, self._gate.account, on_ack)
        batch.sent_all()

    def _misplaced(self, passed: list[tuple[Item, list[tuple[str, bytes]]]]) -> Set[int]:
        """The places of items that the breaker of positions diverts."""
        guard = self._guard
        if guard is None:
            return frozenset()
        return {number for number, (item, _) in enumerate(passed) if guard.diverts(item)}

    def _commit(self, producer: BridgeProducer, batch: Batch) -> None:
        """Make safe what is diverted of a batch; without room it goes to Kafka all the same."""
        assert self._diversion is not None
        returned = self._diversion.commit()
        batch.diverted -= len(returned)
        for parcel in returned:
            producer.send(parcel.topic, parcel.message, batch.on_ack)
        for _ in range(batch.diverted):
            batch.on_ack(None, None)

    def _turn(self, producer: BridgeProducer) -> None:
        """Let the breaker judge Kafka."""
        if self._diversion is None:
            return
        self._diversion.turn(Figures(self._delivered, self._failed, producer.in_flight), producer.answers())
        if time.monotonic() >= self._shown_s + _SHOW_EVERY_S:
            self._shown_s = time.monotonic()
            breakers = [self._diversion.breaker] + ([] if self._guard is None else [self._guard.breaker])
            states = {breaker.name: breaker.figures() for breaker in breakers}
            self.breakers = {"breakers": states, **self._diversion.figures()}

    def _judge(self, items: list[Item]) -> list[tuple[Item, list[tuple[str, bytes]]]]:
        """The items that go on, with the headers that they get."""
        if self._gate is None:
            return [(item, []) for item in items]
        judged = ((item, self._gate.judge(item)) for item in items)
        return [(item, passed.headers) for item, passed in judged if passed is not None]

    def _report_now_and_then(self, producer: BridgeProducer) -> None:
        if self._gate is None or time.monotonic() - self._reported_s < _REPORT_EVERY_S:
            return
        if self._gate.account.unreported:
            self._report(producer, self._gate.account)

    def _report(
        self, producer: BridgeProducer, account: Account, on_ack: OnAck = lambda *_: None, is_last: bool = False
    ) -> None:
        report = account.report(time.time_ns() // 1_000_000, is_last)
        topic = self._deployment.topics.accounting.name
        self._reported_s = time.monotonic()
        if self._diversion is not None and self._diversion.is_on:
            self._diversion.put(Parcel(topic, report, _NOBODY))
            if not self._diversion.commit():
                self._has_failed = True  # until it is sent again, Kafka lacks this report
                on_ack(None, None)
                return
        producer.send(topic, report, on_ack)

    def _over(self, batch: Batch, outcome: Outcome) -> None:
        self._open.discard(batch)
        self._delivered += outcome.sent - outcome.failed - batch.diverted
        self._failed += outcome.failed
        if outcome.failed:
            self._has_failed = True
            if not self.is_away:
                self._journal.event("kafka_away", problem=outcome.error)
            self._away_until_s = time.monotonic() + _AWAY_S
        else:
            self._away_until_s = 0.0
