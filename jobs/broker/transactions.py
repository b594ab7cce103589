"""Writes in short transactions, by one process at a time, and waits until what others have written is decided."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaException

from jobs.broker.clients import make_admin, make_producer
from jobs.broker.markers import UndeliveredRecords
from jobs.broker.snapshot import UnreadableTopic
from jobs.observe.topics import read_ends
from jobs.pipeline.config import Deployment

RESEND = "replay-dlq"
RECOMPUTE = "recompute-late"
"""Names of writers; the rights in `acls` go by them."""

_CALL_S = 10
# A transaction holds up the readers of its topic until it is decided; one of a killed process, for so long.
_TIMEOUT_MS = 10_000
_POLL_S = 0.25


class Outgoing(NamedTuple):
    """A record to be written; partition -1: by its key."""

    value: bytes | None
    key: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int = -1


class TransactionalWriter:
    """The only writer of its name: a second one ends the first, which finds out at its next write.

    Records without a partition go where a Java client, such as Flink's sink, would put their keys.

    Parameters
    ----------
    name
        Of the task, a part of the transactional id.

    Raises
    ------
    UndeliveredRecords : no broker answers.
    """

    def __init__(self, deployment: Deployment, name: str) -> None:
        settings: dict[str, Any] = {
            "transactional_id": f"meridian-{deployment.name}-{name}",
            "transaction_timeout_ms": _TIMEOUT_MS,
            "message_timeout_ms": _TIMEOUT_MS,
            "partitioner": "murmur2_random",
        }
        self._producer = make_producer(deployment, **settings)
        try:
            self._producer.init_transactions(_CALL_S)  # also ends what a killed run has left open
        except KafkaException as error:
            raise UndeliveredRecords(f"no transactions: {error.args[0].str()}") from None

    def write(self, topic: str, records: Iterable[Outgoing]) -> None:
        """Write records in one transaction: all of them, or none.

        Raises
        ------
        UndeliveredRecords : another writer has taken over, or the broker did not take them. None is visible then, but
            for a broker that was lost at the last moment: whether they are there is then in the topic.
        """
        producer = self._producer
        try:
            producer.begin_transaction()
            for record in records:
                producer.produce(topic, record.value, record.key, record.partition, headers=list(record.headers))
                producer.poll(0)
            producer.commit_transaction(_CALL_S)
        except (KafkaException, BufferError) as error:
            why = error.args[0]
            if isinstance(error, BufferError) or why.txn_requires_abort():
                producer.abort_transaction(_CALL_S)
            raise UndeliveredRecords(f"{topic}: {why if isinstance(why, str) else why.str()}") from None


def wait_until_decided(deployment: Deployment, topics: Collection[str], timeout_s: float) -> None:
    """Wait until all that is now in some topics is committed or aborted, so that a reader of committed records sees it.

    What one checkpoint of a job commits becomes visible sink by sink; afterwards all of it is.

    Raises
    ------
    UnreadableTopic : a transaction stays open for longer, or no broker answers.
    """
    deadline = time.monotonic() + timeout_s
    admin = make_admin(deployment)
    try:
        goal = {place: ends.end for place, ends in read_ends(admin).items() if place[0] in topics}
        while True:
            stable = {place: ends.stable for place, ends in read_ends(admin).items() if place in goal}
            waiting = sorted({topic for topic, p in goal if stable.get((topic, p), 0) < goal[topic, p]})
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise UnreadableTopic(f"topic {', '.join(waiting)}: a transaction is open for over {timeout_s:g} s")
            time.sleep(_POLL_S)
    except KafkaException as error:
        raise UnreadableTopic(f"no answer from Kafka: {error.args[0].str()}") from None
