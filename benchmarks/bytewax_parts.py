"""What both bytewax flows need: the source, and when its first record came."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow

from benchmarks.report import Stopwatch
from benchmarks.settings import OUT_OF_ORDERNESS_MS
from benchmarks.windows import Aggregate

_BATCH = 10_000  # ten times bytewax's own, as in the plain loop: readings of a sensor come together
_SETTINGS = {"fetch.queue.backoff.ms": "20", "log_level": "3"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DISORDER = timedelta(milliseconds=OUT_OF_ORDERNESS_MS)

Message = Any  # KafkaSourceMessage[bytes | None, bytes | None]; bytewax is not among the project's packages


class Counter:
    """Counts what came out of the source, and starts the clock."""

    def __init__(self) -> None:
        self.records = 0
        self.watch = Stopwatch()

    def count(self, batch: list[Message]) -> None:
        self.watch.start()
        self.records += len(batch)


def read_raw(flow: Dataflow, given: Namespace) -> Any:
    """The raw topic up to its end."""
    source = KafkaSource([given.bootstrap], [given.raw], tail=False, add_config=_SETTINGS, batch_size=_BATCH)
    return op.input("raw", flow, source)


def moment_of(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def merge(aggregate: Aggregate, other: Aggregate) -> Aggregate:
    aggregate.merge(other)
    return aggregate
