"""Sends readings at a fixed rate by a schedule: an open loop, so that a slow system cannot slow its own load down.

    python -m benchmarks.paced --bootstrap 127.0.0.1:9092 --topic bench.latency.raw --rate 10000 --seconds 60

A reading's event time is when it was *due*, whether or not the sender was on time: what waits in front of a stalled
system counts as latency ("coordinated omission", https://www.azul.com/files/HowNotToMeasureLatency_LLSummit_NYC_12Nov2013.pdf).
Its ingest time is when it was handed to the producer. One line of JSON says when the schedule starts, one how it ended.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.broker_io import finish, make_producer, make_room
from benchmarks.workload import Block, Kind, Longs, Renderer, Workload

_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
_TICK_S = 0.001
_LEAD_S = 0.5  # between the announcement and the first reading
_MOST = 5_000  # rows per block: their ingest time is that of the block
_VALUES = 256
_LINGER_MS = 5  # of a bridge that forwards what arrives


@dataclass(frozen=True)
class Schedule:
    """Row n is due at `start_ns + n / rate` seconds; rows go to the sensors in turn."""

    rate: int
    count: int
    start_ns: int
    sensors: int

    def due_ns(self, rows: Longs) -> Longs:
        return self.start_ns + rows * _NS_PER_S // self.rate

    def due_by(self, now_ns: int) -> int:
        """How many rows are due at that time."""
        return max(0, min(self.count, (now_ns - self.start_ns) * self.rate // _NS_PER_S + 1))

    def block(self, first: int, end: int, now_ns: int) -> Block:
        """Rows `first` to `end`, sent now. The due time is unique, and so the number that makes the event id."""
        rows = np.arange(first, end, dtype=np.int64)
        due_ns = self.due_ns(rows)
        return Block(
            origin=due_ns,
            kind=np.full(len(rows), Kind.GOOD, np.int8),
            sensor=rows % self.sensors,
            event_ms=due_ns // _NS_PER_MS,
            ingest_ms=np.full(len(rows), now_ns // _NS_PER_MS, np.int64),
            value=rows % _VALUES,
        )


def send(schedule: Schedule, renderer: Renderer, bootstrap: str, topic: str) -> None:
    """Send all rows, each as soon as it is due, or as the producer has room for it.

    Raises
    ------
    Undelivered : the broker has not taken everything.
    """
    producer = make_producer(bootstrap, **{"enable.idempotence": True, "linger.ms": _LINGER_MS})
    sent = 0
    while sent < schedule.count:
        make_room(producer)
        now_ns = time.time_ns()
        due = min(schedule.due_by(now_ns), sent + _MOST)
        if due == sent:
            time.sleep(_TICK_S)
            continue
        for record in renderer.render(schedule.block(sent, due, now_ns)):
            producer.produce(topic, record.value, record.key, record.partition, headers=record.headers)
        sent = due
    finish(producer, topic)


def main() -> None:
    parser = argparse.ArgumentParser(description="Send readings at a fixed rate.")
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--rate", type=int, required=True, help="readings per second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--sensors", type=int, default=1_000)
    parser.add_argument("--partitions", type=int, default=4)
    given = parser.parse_args()
    count = round(given.rate * given.seconds)
    workload = Workload("whole", count, 0, sensors=given.sensors, partitions=given.partitions)
    renderer = Renderer(workload)
    start_ns = time.time_ns() + round(_LEAD_S * _NS_PER_S)
    print(json.dumps({"start_ms": start_ns // _NS_PER_MS, "count": count}), flush=True)
    send(Schedule(given.rate, count, start_ns, given.sensors), renderer, given.bootstrap, given.topic)
    print(
        json.dumps(
            {"sent": count, "behind_ms": (time.time_ns() - start_ns) // _NS_PER_MS - 1_000 * count // given.rate}
        )
    )


if __name__ == "__main__":
    main()
