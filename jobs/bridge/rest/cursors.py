"""How far each feed is: a record in a compacted topic, written in the transaction of the readings it speaks for."""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from jobs.bridge.rest.run import Run
from jobs.bridge.rest.span import Span
from jobs.broker.clients import kafka_settings

_TIMEOUT_S = 15.0
_GRACE_S = 30.0
_POLL_S = 0.1


class CursorsUnusable(RuntimeError):  # noqa: N818
    """The topic of cursors cannot be read or is not what it must be; one line for a person."""


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a feed is. Times are epoch milliseconds; the totals count what is committed, from the very first poll."""

    version: int = 1
    owner: str = ""
    """The process that wrote it; another one's means that this one was replaced."""
    until_ms: int | None = None
    """Up to where a finished poll has asked."""
    newest_ms: int | None = None
    """The latest event time that has come."""
    span: tuple[int, int] | None = None
    """What a poll that is not finished asks for …"""
    page: str = ""
    """… and the token of the page that is next in it."""
    malformed: int = 0
    """How many polls in a row have met a malformed page."""
    polled_at_ms: int | None = None
    etag: str | None = None
    last_modified: str | None = None
    polls: int = 0
    pages: int = 0
    readings: int = 0
    unreadable: int = 0
    repeats: int = 0
    """Readings that were not sent because they had been."""
    missing: int = 0
    """Readings that gaps were found to lack …"""
    filled: int = 0
    """… and how many of such came later."""
    done: bool = False
    """A backfill has reached its end."""

    @property
    def open_span(self) -> Span | None:
        return None if self.span is None else Span(*self.span)


encode_cursor = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Cursor).decode


def live_key(bridge: str, feed: str) -> str:
    return f"{bridge}/{feed}"


def backfill_key(bridge: str, feed: str, span: Span) -> str:
    return f"{bridge}/{feed}/backfill/{span.from_ms}-{span.to_ms}"


def ensure_cursors_topic(run: Run) -> None:
    """Make the topic of cursors if it is not there, and refuse one that forgets.

    Raises
    ------
    CursorsUnusable : Kafka does not answer, or the topic is not compacted.
    """
    admin = AdminClient(kafka_settings(run.kafka))
    topic = run.config.cursors.topic
    try:
        if topic not in admin.list_topics(timeout=_TIMEOUT_S).topics:
            wanted = NewTopic(
                topic, 1, run.config.cursors.replication, config={"cleanup.policy": "compact", "segment.ms": "3600000"}
            )
            try:
                admin.create_topics([wanted])[topic].result(_TIMEOUT_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        policy = _cleanup_policy(admin, topic)
    except KafkaException as error:
        raise CursorsUnusable(f"topic {topic}: {error.args[0].str()}") from None
    if policy != "compact":
        raise CursorsUnusable(f"topic {topic}: cleanup.policy is {policy}, must be compact, or cursors are lost")


def _cleanup_policy(admin: AdminClient, topic: str) -> str | None:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    deadline_s = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            found = admin.describe_configs([resource])[resource].result(_TIMEOUT_S)
        except KafkaException as error:
            # Created, but the broker that is asked has not heard of it yet.
            is_unknown = error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
            if not is_unknown or time.monotonic() > deadline_s:
                raise
            time.sleep(_POLL_S)
        else:
            policy: str | None = found["cleanup.policy"].value
            return policy


class CursorReader:
    """Follows the topic of cursors, committed ones only. Belongs to one thread."""

    def __init__(self, run: Run) -> None:
        settings = kafka_settings(run.kafka)
        self._topic = run.config.cursors.topic
        self._stop = run.stop
        self._timeout_s = run.config.transaction_timeout / 1000 + _GRACE_S  # by then, others' transactions have ended
        self._admin = AdminClient(settings)
        self._consumer = Consumer(
            {
                **settings,
                "group.id": f"meridian-bridge-{run.config.name}-cursors",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        self._ends: dict[int, int] = {}
        self.newest: dict[str, Cursor] = {}
        """By key, as far as read."""

    def read_all(self) -> dict[str, Cursor]:
        """Read up to the end of the topic as it is now.

        Another feed's open transaction hides what lies behind it from readers of committed records, so this waits until
        the last stable offset has passed the end.

        Raises
        ------
        CursorsUnusable : Kafka does not answer, or a transaction stays open for too long.
        """
        deadline_s = time.monotonic() + self._timeout_s
        try:
            targets = self._find_ends()
            if not self._ends:
                self._consumer.assign([TopicPartition(self._topic, p, OFFSET_BEGINNING) for p in targets])
                self._ends = dict.fromkeys(targets, 0)
            while any(self._ends[p] < end for p, end in targets.items()):
                if self._stop.is_set() or time.monotonic() > deadline_s:
                    raise CursorsUnusable(f"topic {self._topic}: its end was not reached in {self._timeout_s:.0f} s")
                self.follow(0.2)
        except KafkaException as error:
            raise CursorsUnusable(f"topic {self._topic}: {error.args[0].str()}") from None
        return self.newest

    def follow(self, timeout_s: float) -> None:
        """Take what has come since."""
        for message in self._consumer.consume(1_000, timeout_s):
            error = message.error()
            if error is None:
                self.newest[_text(message.key())] = _decode(message.value() or b"{}")
            elif error.code() == KafkaError._PARTITION_EOF:
                self._ends[message.partition() or 0] = message.offset() or 0
            elif not error.retriable():
                raise KafkaException(error)

    def close(self) -> None:
        self._consumer.close()

    def _find_ends(self) -> dict[int, int]:
        found = self._admin.list_topics(self._topic, timeout=_TIMEOUT_S).topics[self._topic]
        if found.error is not None:
            raise KafkaException(found.error)
        asked: Iterable[TopicPartition] = [TopicPartition(self._topic, p) for p in found.partitions]
        answers = self._admin.list_offsets(
            {partition: OffsetSpec.latest() for partition in asked},  # type: ignore[no-untyped-call]
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=_TIMEOUT_S,
        )
        return {partition.partition: future.result(_TIMEOUT_S).offset for partition, future in answers.items()}


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")
