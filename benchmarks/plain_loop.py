"""The baseline: a plain loop over librdkafka, everything in memory, nothing guaranteed.

    python -m benchmarks.plain_loop --bootstrap … --raw bench.whole.raw --work whole --out-prefix bench.whole.plain

What a good engineer writes who needs no restarts, no exactly-once and no state larger than memory: records in batches,
one pass over each, a watermark per partition, windows in dicts. Duplicates are dropped and not reported. With
`--processes 2` each process takes half of the partitions.
"""

from __future__ import annotations

import gc
import multiprocessing
from argparse import Namespace
from collections.abc import Iterable
from typing import Any, Protocol

import orjson
from confluent_kafka import Message, Producer

from benchmarks.broker_io import (
    create_topics,
    end_offsets,
    finish,
    make_consumer,
    make_producer,
    make_room,
    read_to_end,
)
from benchmarks.positions import Positions
from benchmarks.report import Result, Stopwatch, parser_of, together
from benchmarks.settings import OUT_OF_ORDERNESS_MS, WINDOWS, Topics
from benchmarks.windows import NO_WATERMARK, Windows, window_key
from benchmarks.work import Refused, Seen, aligned_record, dead_letter, is_control, late_letter, read


class Loop(Protocol):
    """One work."""

    def take(self, batch: list[Message]) -> None: ...

    def close(self) -> None: ...


class _WindowedLoop:
    """What both works share: watermarks and the publishing of windows."""

    def __init__(self, given: Namespace, producer: Producer, partitions: Iterable[int], windows: Windows) -> None:
        self._raw: str = given.raw
        self._topics = Topics(given.out_prefix)
        self._produce = producer.produce
        self._latest_ms = dict.fromkeys(partitions, NO_WATERMARK)
        self._positions = Positions()
        self._windows = windows

    def close(self) -> None:
        self._publish(self._windows.close())

    def _advance(self) -> None:
        self._publish(self._windows.advance(min(self._latest_ms.values()) - OUT_OF_ORDERNESS_MS - 1))

    def _publish(self, results: list[dict[str, Any]]) -> None:
        for record in results:
            self._produce(self._topics.windows, orjson.dumps(record), orjson.dumps(window_key(record)))


class WindowsLoop(_WindowedLoop):
    """The work *windows*: decode, locate, window."""

    def take(self, batch: list[Message]) -> None:
        loads, locate, add, latest_ms = orjson.loads, self._positions.locate, self._windows.add, self._latest_ms
        for message in batch:
            reading = loads(message.value())  # type: ignore[arg-type]
            if "control" in reading:
                continue
            time_ms = reading["event_time"]
            position = locate(reading["crs"], reading["x"], reading["y"])
            if add((reading["sensor_id"], reading["metric"]), time_ms, reading["value"], position):
                self._late(message, reading)
            partition = message.partition()
            if time_ms > latest_ms[partition]:  # type: ignore[index]
                latest_ms[partition] = time_ms  # type: ignore[index]
        self._advance()

    def _late(self, message: Message, reading: dict[str, Any]) -> None:
        watermark_ms = self._windows.watermark_ms
        record = {
            **reading,
            "partition": message.partition(),
            "offset": message.offset(),
            "watermark_ms": watermark_ms,
            "lateness_ms": watermark_ms - reading["event_time"],
        }
        self._produce(self._topics.late, orjson.dumps(record), message.key())


class WholeLoop(_WindowedLoop):
    """The work *whole*: what the job does, less its guarantees."""

    def __init__(self, given: Namespace, producer: Producer, partitions: Iterable[int], windows: Windows) -> None:
        super().__init__(given, producer, partitions, windows)
        self._seen = Seen()

    def take(self, batch: list[Message]) -> None:
        topic, aligned, produce = self._raw, self._topics.aligned, self._produce
        positions, add, latest_ms, is_new = self._positions, self._windows.add, self._latest_ms, self._seen.add
        for message in batch:
            body, key, headers = message.value() or b"", message.key(), dict(message.headers() or ())
            if is_control(headers):
                continue
            partition: int = message.partition()  # type: ignore[assignment]
            offset: int = message.offset()  # type: ignore[assignment]
            append_ms = message.timestamp()[1]
            try:
                reading = read(body, headers, append_ms, positions)
            except Refused as refused:
                source = (topic, partition, offset, append_ms)
                letter = dead_letter(refused.args[0], "validate", refused.args[1], source, key, body, headers)
                produce(self._topics.invalid, letter, key)
                continue
            raw = reading.raw
            sensor, time_ms = raw.sensor_id, raw.event_time
            if time_ms > latest_ms[partition]:
                latest_ms[partition] = time_ms
            if not is_new(sensor, raw.event_id, time_ms):
                continue
            produce(aligned, aligned_record(reading, headers, topic, partition, offset, append_ms), key)
            for definition in add((sensor, raw.metric), time_ms, reading.value, reading.position):
                source = (topic, partition, offset, append_ms)
                letter = late_letter(definition, reading, self._windows.watermark_ms, source, key, body)
                produce(self._topics.late, letter, key)
        self._advance()
        self._seen.expire(self._windows.watermark_ms)


def run(given: Namespace, process: int = 0) -> Result:
    """One process: reads its partitions to their ends of now."""
    # Nothing here makes cycles, and the collector would walk the ids of a whole day again and again.
    gc.disable()
    watch = Stopwatch()
    consumer = make_consumer(given.bootstrap, given.group)
    producer = make_producer(given.bootstrap)
    ends = {p: end for p, end in end_offsets(consumer, given.raw).items() if p % given.processes == process}
    loop: Loop
    if given.work == "whole":
        loop = WholeLoop(given, producer, ends, Windows(WINDOWS["whole"], period_ms=1_000))
    else:
        loop = WindowsLoop(given, producer, ends, Windows(WINDOWS["windows"]))
    records = 0
    for batch in read_to_end(consumer, given.raw, ends):
        watch.start()
        loop.take(batch)
        records += len(batch)
        make_room(producer)
    loop.close()
    finish(producer, given.out_prefix)
    result = watch.stop("plain-loop", given.work, records)
    consumer.close()
    return result


def main() -> None:
    parser = parser_of("A plain loop over librdkafka.")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    create_topics(given.bootstrap, Topics(given.out_prefix).all, 4)
    if given.processes == 1:
        print(run(given).line())
        return
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        print(together(pool.starmap(run, [(given, process) for process in range(given.processes)])).line())


if __name__ == "__main__":
    main()
