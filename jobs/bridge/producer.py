"""The bridges' Kafka producer: idempotent, acknowledged by all replicas, and bounded by its caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from jobs.bridge.breakers.signs import Answers
from jobs.bridge.envelope import Message
from jobs.broker.clients import LARGEST_MESSAGE_BYTES, kafka_settings
from jobs.pipeline.config import Kafka

_QUEUE_MESSAGES: Final = 1_000_000
_QUEUE_KBYTES: Final = 1_048_576
"""librdkafka's own bounds, wider than any caller's: `in_flight` is what a caller bounds."""

_TIMES_EVERY_MS: Final = 500

OnAck = Callable[[KafkaError | None, Any], None]
"""Called from `poll` and `drain` with None, or with why Kafka will never have the record."""

_REFUSALS: Final = frozenset(
    {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_MSG_SIZE, KafkaError.INVALID_RECORD}
)


def is_refusal(error: KafkaError) -> bool:
    """Whether Kafka refuses this one record for what it is, so that sending it again cannot help."""
    return error.code() in _REFUSALS


class _RoundTrips(msgspec.Struct):
    """Of requests, from the socket and back, in microseconds."""

    cnt: int = 0
    min: int = 0


class _Broker(msgspec.Struct):
    rtt: _RoundTrips


class _Statistics(msgspec.Struct):
    """What is wanted of librdkafka's, see its STATISTICS.md."""

    brokers: dict[str, _Broker]


_statistics_of = msgspec.json.Decoder(_Statistics).decode


class Sender(Protocol):
    """What the outbox needs of a producer."""

    @property
    def in_flight(self) -> int: ...

    def send(self, topic: str, message: Message, on_ack: OnAck) -> None: ...

    def poll(self) -> None: ...


class BridgeProducer:
    """Sends records in order, writes none twice when it has to try again, and says when Kafka has one.

    Belongs to one thread, in which callbacks are called too.

    Parameters
    ----------
    kafka
        The deployment's Kafka section.
    client_id
        Under which the broker's metrics and quotas know it.
    give_up_after_s
        When a record that Kafka does not take is reported as failed; None: never, which keeps order and loses nothing
        for a caller that holds its own records.
    linger_ms
        How long a batch waits for company.
    times_answers
        Whether `answers` is wanted.
    """

    def __init__(
        self,
        kafka: Kafka,
        client_id: str,
        *,
        give_up_after_s: float | None = None,
        linger_ms: float = 5,
        times_answers: bool = False,
    ) -> None:
        self.last_error: str | None = None
        """What librdkafka said last about its connections; it may be over."""
        self._answers: list[Answers] = []
        self._producer = Producer(
            {
                "client.id": client_id,
                **kafka_settings(kafka),
                "log_level": 0,  # its connection errors come through error_cb
                "error_cb": self._failed,
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": linger_ms,
                "partitioner": "consistent",
                "message.timeout.ms": int(give_up_after_s * 1000) if give_up_after_s else 0,
                "message.max.bytes": LARGEST_MESSAGE_BYTES,
                "queue.buffering.max.messages": _QUEUE_MESSAGES,
                "queue.buffering.max.kbytes": _QUEUE_KBYTES,
                "reconnect.backoff.max.ms": 2_000,
                **({"statistics.interval.ms": _TIMES_EVERY_MS, "stats_cb": self._timed} if times_answers else {}),
            }
        )
        self._fatal: KafkaError | None = None

    @property
    def in_flight(self) -> int:
        """Records that Kafka has not acknowledged; callbacks that `poll` has yet to call count too."""
        return len(self._producer)

    def send(self, topic: str, message: Message, on_ack: OnAck) -> None:
        """Queue a record; `on_ack` is called exactly once, unless the process ends before.

        Raises
        ------
        ProducerFailed: the producer has to be made anew.
        """
        key, value, headers = message
        try:
            self._producer.produce(topic, value, key, on_delivery=on_ack, headers=headers)  # type: ignore[arg-type]
        except BufferError:
            on_ack(KafkaError(KafkaError._QUEUE_FULL), None)
        except KafkaException as refused:
            error = refused.args[0]
            if error.fatal():
                raise ProducerFailed(error.str()) from None
            on_ack(error, None)

    def poll(self, timeout_s: float = 0) -> None:
        """Call the callbacks that are due.

        Raises
        ------
        ProducerFailed: the producer has to be made anew.
        """
        self._producer.poll(timeout_s)
        if self._fatal is not None:
            raise ProducerFailed(self._fatal.str())

    def drain(self, timeout_s: float) -> int:
        """Wait until Kafka has everything; how many records it has not."""
        return int(self._producer.flush(timeout_s))

    def answers(self) -> list[Answers]:
        """How long brokers took to answer, in the intervals since the last call; those of the slowest broker."""
        answers, self._answers = self._answers, []
        return answers

    def topics(self, timeout_s: float) -> dict[str, int] | None:
        """Topics and their number of partitions; None if no broker answers in time."""
        try:
            found = self._producer.list_topics(timeout=timeout_s).topics
        except KafkaException:
            return None
        return {name: len(topic.partitions) for name, topic in found.items()}

    def _timed(self, statistics: str) -> None:
        times = [broker.rtt for broker in _statistics_of(statistics).brokers.values() if broker.rtt.cnt]
        if times:
            slowest = max(times, key=lambda rtt: rtt.min)
            self._answers.append(Answers(slowest.cnt, slowest.min / 1e6))

    def _failed(self, error: KafkaError) -> None:
        self.last_error = error.str()
        if error.fatal():
            self._fatal = error


class ProducerFailed(Exception):  # noqa: N818
    """librdkafka has given up the idempotent producer; a new one may send again what was not acknowledged."""
