"""The thread that turns batches into records and waits for Kafka's acknowledgements."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable
from itertools import chain, islice
from typing import Final

from jobs.bridge.envelope import Enveloper
from jobs.bridge.feed import Item, Payload, Unreadable, make_adapter
from jobs.bridge.journal import Journal
from jobs.bridge.producer import BridgeProducer, ProducerFailed
from jobs.bridge.rest.config import PushBridge
from jobs.bridge.rest.push.batch import Batch, Outcome
from jobs.pipeline.config import Kafka

_IDLE_S: Final = 0.5
_POLL_S: Final = 0.002  # how long a new batch waits at most while Kafka is waited for
_POLL_EVERY: Final = 500  # records
_AWAY_S: Final = 2.0  # after a failure, how long batches are refused before one may try again


class PushSender:
    """Owns adapters, envelopes and the producer, and the thread that all of them belong to."""

    def __init__(self, config: PushBridge, kafka: Kafka, raw_topic: str, journal: Journal) -> None:
        self._config, self._kafka, self._raw_topic, self._journal = config, kafka, raw_topic, journal
        self._batches: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        self._open: set[Batch] = set()
        self._away_until_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender")

    def start(self) -> None:
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Take a batch; its `done` is called when it is over, whatever happens."""
        self._batches.put(batch)

    @property
    def is_away(self) -> bool:
        """Whether Kafka took nothing just now, so that there is no point in sending."""
        return time.monotonic() < self._away_until_s

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
            except ProducerFailed as failed:
                self._journal.event("producer_made_anew", problem=str(failed))
                for batch in list(self._open):
                    batch.abandon(str(failed))
                producer = self._make_producer()

    def _make_producer(self) -> BridgeProducer:
        give_up_after_s = self._config.limits.ack_timeout / 1000
        return BridgeProducer(self._kafka, f"meridian-{self._config.name}", give_up_after_s=give_up_after_s)

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
        batch.expect(len(found), self._over)
        traceparent = batch.context.get("traceparent")
        topic, received_ms, on_ack = self._raw_topic, batch.received_ms, batch.on_ack
        for number, item in enumerate(found):
            producer.send(topic, enveloper.message(item, received_ms, traceparent), on_ack)
            if number % _POLL_EVERY == 0:
                producer.poll()
        batch.sent_all()

    def _over(self, batch: Batch, outcome: Outcome) -> None:
        self._open.discard(batch)
        if outcome.failed:
            if not self.is_away:
                self._journal.event("kafka_away", problem=outcome.error)
            self._away_until_s = time.monotonic() + _AWAY_S
        else:
            self._away_until_s = 0.0
