"""Writes readings and the cursor that speaks for them in one transaction: both are committed, or neither."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from jobs.bridge.envelope import Message
from jobs.bridge.rest.cursors import Cursor, CursorReader, CursorsUnusable, encode_cursor
from jobs.bridge.rest.run import Run
from jobs.broker.clients import LARGEST_MESSAGE_BYTES, kafka_settings

_CALL_S = 10.0  # how long one call into librdkafka may block before the stop is looked at
_PAUSE_S = 1.0
_POLL_EVERY = 500  # messages
_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})


class Stopped(Exception):  # noqa: N818
    """The bridge was asked to end while Kafka was being waited for."""


class Replaced(RuntimeError):  # noqa: N818
    """Another process polls this feed now."""


class FeedWriter:
    """The only writer of a feed's cursor. Belongs to one thread.

    Kafka lets one producer of a transactional id live: a second poller of the feed ends the first, which finds out at
    its next transaction. While Kafka is away, every call waits for it; nothing is given up but by `stop`.

    Parameters
    ----------
    key
        Of the cursor; it also names the transactional id.
    """

    def __init__(self, run: Run, key: str) -> None:
        self._run, self._key, self._stop = run, key, run.stop
        self._producer: Producer | None = None
        self._wanted: Cursor | None = None  # of the transaction that is going on
        self.cursor = Cursor(owner=run.owner)
        """The last one committed."""

    def open(self) -> Cursor:
        """Take the feed over from whoever had it: ends an open transaction of a killed process, then reads its cursor.

        Raises
        ------
        Stopped : the bridge ends.
        """
        self._start()
        found = self._committed()
        self.commit(lambda: (), lambda: Cursor() if found is None else found)
        return self.cursor

    def commit(self, messages: Callable[[], Iterable[Message]], cursor: Callable[[], Cursor]) -> None:
        """Write messages and the cursor in one transaction, as often as it takes.

        Parameters
        ----------
        messages
            Gives the records for the raw topic; called again for another try.
        cursor
            Gives the cursor after the messages of a try have been taken; its owner is set here.

        Raises
        ------
        Stopped : the bridge ends; whether the transaction was committed is in Kafka.
        Replaced : another process has taken the feed over.
        """
        while not self._stop.is_set():
            self._wanted = None
            try:
                self._transact(messages, cursor)
            except KafkaException as error:
                if not self._recover(error.args[0]):
                    continue
            assert self._wanted is not None
            self.cursor = self._wanted
            return
        raise Stopped

    def close(self) -> None:
        self._producer = None

    def _transact(self, messages: Callable[[], Iterable[Message]], cursor: Callable[[], Cursor]) -> None:
        producer = self._producer
        assert producer is not None, "open() comes first"
        producer.begin_transaction()
        for number, message in enumerate(messages()):
            self._produce(producer, self._run.raw_topic, message.key, message.value, message.headers)
            if number % _POLL_EVERY == 0:
                producer.poll(0)
        self._wanted = wanted = msgspec.structs.replace(cursor(), owner=self._run.owner)
        self._produce(producer, self._run.config.cursors.topic, self._key.encode(), encode_cursor(wanted), {})
        while True:
            try:
                producer.commit_transaction(_CALL_S)
                return
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
                self._wait(error.args[0])

    def _produce(self, producer: Producer, topic: str, key: bytes, value: bytes, headers: Any) -> None:
        while True:
            try:
                producer.produce(topic, value, key, headers=headers)
                return
            except BufferError:
                if self._stop.is_set():
                    raise Stopped from None
                producer.poll(0.1)

    def _recover(self, error: KafkaError) -> bool:
        """Make another try possible; True when the transaction turns out to be committed.

        Raises
        ------
        Replaced : another process has taken the feed over.
        """
        producer = self._producer
        assert producer is not None
        if error.txn_requires_abort():
            self._event("transaction_tried_again", error)
            while not self._stop.is_set():
                try:
                    producer.abort_transaction(_CALL_S)
                    self._pause()
                    return False
                except KafkaException as second:
                    if not second.args[0].retriable():
                        error = second.args[0]
                        break
                    self._wait(second.args[0])
        # A producer that Kafka no longer knows looks the same whether its transaction timed out or another took over.
        if error.code() in _FENCED and self._is_replaced():
            raise Replaced(f"{self._key}: another process polls this feed")
        self._event("producer_made_anew", error)
        self._start()
        found = self._committed()
        if found is not None and found.owner != self._run.owner:
            raise Replaced(f"{self._key}: another process polls this feed")
        return found is not None and found == self._wanted

    def _is_replaced(self) -> bool:
        found = self._committed()
        return found is not None and found.owner != self._run.owner

    def _start(self) -> None:
        self._producer = producer = Producer(
            {
                "client.id": f"meridian-bridge-{self._run.config.name}",
                **kafka_settings(self._run.kafka),
                "log_level": 0,
                "error_cb": lambda _error: None,  # what matters comes back from the calls
                "transactional.id": f"meridian-bridge-{self._key}",
                "transaction.timeout.ms": self._run.config.transaction_timeout,
                "message.timeout.ms": self._run.config.transaction_timeout,
                "compression.type": "lz4",
                "linger.ms": 5,
                "partitioner": "consistent",
                "message.max.bytes": LARGEST_MESSAGE_BYTES,
                "queue.buffering.max.messages": 100_000,
                "queue.buffering.max.kbytes": 65_536,
                "reconnect.backoff.max.ms": 2_000,
            }
        )
        while True:
            try:
                producer.init_transactions(_CALL_S)
                return
            except KafkaException as error:
                if error.args[0].fatal():
                    raise
                self._wait(error.args[0])

    def _committed(self) -> Cursor | None:
        while True:
            reader = CursorReader(self._run)
            try:
                return reader.read_all().get(self._key)
            except CursorsUnusable as problem:
                self._run.journal.event("waiting_for_kafka", cursor=self._key, problem=str(problem))
                self._pause()
            finally:
                reader.close()

    def _wait(self, error: KafkaError) -> None:
        self._event("waiting_for_kafka", error)
        self._pause()

    def _event(self, event: str, error: KafkaError) -> None:
        self._run.journal.event(event, cursor=self._key, problem=error.str())

    def _pause(self) -> None:
        if self._stop.wait(_PAUSE_S):
            raise Stopped
