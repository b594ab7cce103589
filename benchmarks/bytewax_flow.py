"""Both works in bytewax, one worker (two were seen to crash in pyproj's thread-local).

    python -m benchmarks.bytewax_flow --bootstrap … --raw … --work windows|whole --out-prefix …

*windows* is made of bytewax's own operators: `fold_window` with an event clock, whose watermark is per sensor; it has
no allowed lateness. *whole* comes in two forms. By default its state is one `stateful_batch` per partition that calls
what the plain loop calls: the quickest form that the API allows, and hardly bytewax any more. With `--operators` it is
what bytewax's documentation leads to: deduplication by `stateful_flat_map` and windows by `fold_window`, per sensor.
Runs without recovery, so nothing is guaranteed.
"""

from __future__ import annotations

import gc
from argparse import Namespace
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import bytewax.operators as op
import bytewax.operators.windowing as w
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from benchmarks.broker_io import create_topics
from benchmarks.bytewax_parts import DISORDER, EPOCH, Counter, Message, merge, moment_of, read_raw
from benchmarks.bytewax_whole import whole_flow
from benchmarks.positions import Position, Positions
from benchmarks.report import parser_of
from benchmarks.settings import WINDOWS, Topics
from benchmarks.windows import Aggregate, window_key, window_record

_SIZE = timedelta(milliseconds=WINDOWS["windows"][0].size_ms)
_WRITER = {"compression.type": "lz4", "linger.ms": "20"}


class Timed(NamedTuple):
    """A located reading of the work *windows*."""

    moment: datetime
    time_ms: int
    value: float
    position: Position
    event_id: str
    partition: int | None
    offset: int | None


def windows_flow(given: Namespace, counter: Counter) -> Dataflow:
    """The work *windows*."""
    topics, positions = Topics(given.out_prefix), Positions()

    def decode(batch: list[Message]) -> Iterator[tuple[str, Timed]]:
        counter.count(batch)
        for message in batch:
            r = orjson.loads(message.value or b"")
            if "control" in r:
                continue
            time_ms = r["event_time"]
            position = positions.locate(r["crs"], r["x"], r["y"])
            moment = moment_of(time_ms)
            reading = Timed(moment, time_ms, r["value"], position, r["event_id"], message.partition, message.offset)
            yield f"{r['sensor_id']} {r['metric']}", reading

    flow = Dataflow("windows")
    readings = op.flat_map_batch("decode", read_raw(flow, given), decode)
    clock = w.EventClock(ts_getter=lambda reading: reading.moment, wait_for_system_duration=DISORDER)
    windower = w.TumblingWindower(length=_SIZE, align_to=EPOCH)
    # The default of playing readings in by time sorts a queue again and again, and a fold does not need it.
    windowed = w.fold_window("window", readings, clock, windower, Aggregate, _fold, merge, ordered=False)
    results = op.map("result", windowed.down, _result)
    late = op.map("late", windowed.late, _late)
    op.output("windows", results, KafkaSink([given.bootstrap], topics.windows, add_config=_WRITER))
    op.output("late-events", late, KafkaSink([given.bootstrap], topics.late, add_config=_WRITER))
    return flow


def _fold(aggregate: Aggregate, reading: Timed) -> Aggregate:
    aggregate.add(reading.time_ms, reading.value, reading.position)
    return aggregate


def _result(item: tuple[str, tuple[int, Aggregate]]) -> KafkaSinkMessage[bytes, bytes]:
    series, (number, aggregate) = item
    sensor, metric = series.split(" ")
    definition = WINDOWS["windows"][0]
    record = window_record(definition, number * definition.size_ms, (sensor, metric), aggregate)
    return KafkaSinkMessage(orjson.dumps(window_key(record)), orjson.dumps(record))


def _late(item: tuple[str, tuple[int, Timed]]) -> KafkaSinkMessage[bytes, bytes]:
    series, (_, reading) = item
    sensor, metric = series.split(" ")
    record = {
        "sensor_id": sensor,
        "metric": metric,
        "event_id": reading.event_id,
        "event_time": reading.time_ms,
        "value": reading.value,
        "partition": reading.partition,
        "offset": reading.offset,
    }
    return KafkaSinkMessage(series.encode(), orjson.dumps(record))


def main() -> None:
    parser = parser_of("bytewax, one worker.")
    parser.add_argument("--operators", action="store_true", help="`whole` with bytewax's own operators")
    given = parser.parse_args()
    gc.disable()  # as in the plain loop
    create_topics(given.bootstrap, Topics(given.out_prefix).all, 4)
    counter = Counter()
    flow = (whole_flow if given.work == "whole" else windows_flow)(given, counter)
    # Without recovery nobody reads the snapshots that bytewax takes of all state at the end of an epoch.
    cli_main(flow, epoch_interval=timedelta(hours=1))
    print(counter.watch.stop("bytewax-operators" if given.operators else "bytewax", given.work, counter.records).line())


if __name__ == "__main__":
    main()
