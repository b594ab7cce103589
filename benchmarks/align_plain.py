"""The baseline of `meridian bench align`: the same grid by a plain loop, in memory and with no guarantees.

    python -m benchmarks.align_plain --bootstrap … --raw bench.sql.aligned --work align --out-prefix …

A row comes once, when nothing can change it any more; Meridian publishes it when it is settled, and revises it.
"""

from __future__ import annotations

import gc
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import orjson
from confluent_kafka import Message

from benchmarks.align_runs import MAX_GAP_MS, MAX_LATENESS_MS, METHODS, PERIOD_MS, WORKS, output_of
from benchmarks.broker_io import (
    create_topics,
    end_offsets,
    finish,
    make_consumer,
    make_producer,
    make_room,
    read_to_end,
)
from benchmarks.report import Result, Stopwatch, parser_of

# A sensor's five minutes: count, sum, first and last reading as (time, value). Neighbours of an instant are the last of
# the five minutes before it and the first of those after it, since gaps are shorter than the period.
Span = list[Any]
_COUNT, _SUM, _FIRST, _LAST = range(4)


class Grid:
    """Open five-minute spans of all sensors."""

    def __init__(self) -> None:
        self._spans: dict[int, dict[tuple[str, str], Span]] = {}

    def add(self, sensor: str, metric: str, time_ms: int, value: float) -> None:
        start_ms = time_ms - time_ms % PERIOD_MS
        of_start = self._spans.get(start_ms)
        if of_start is None:
            of_start = self._spans[start_ms] = {}
        span, reading = of_start.get((sensor, metric)), (time_ms, value)
        if span is None:
            of_start[sensor, metric] = [1, value, reading, reading]
            return
        span[_COUNT] += 1
        span[_SUM] += value
        if time_ms < span[_FIRST][0]:
            span[_FIRST] = reading
        elif time_ms > span[_LAST][0]:
            span[_LAST] = reading

    def close(self, until_ms: int) -> Iterator[dict[str, Any]]:
        """The rows of all instants up to a time, each once."""
        for start_ms in sorted(s for s in self._spans if s + 2 * PERIOD_MS <= until_ms):
            instant_ms = start_ms + PERIOD_MS
            ahead = self._spans.get(instant_ms, {})
            for (sensor, metric), span in self._spans.pop(start_ms).items():
                yield _row(sensor, metric, instant_ms, span, ahead.get((sensor, metric)))


def _row(sensor: str, metric: str, instant_ms: int, span: Span, ahead: Span | None) -> dict[str, Any]:
    values = {name: {"value": None, "unit": unit, "method": method} for name, (method, unit) in METHODS.items()}
    method, unit = METHODS[metric]
    before_ms, before = span[_LAST]
    found: dict[str, Any] = {"value": None, "unit": unit, "method": method, "age_ms": instant_ms - before_ms}
    if method == "mean":
        found |= {"value": span[_SUM] / span[_COUNT], "readings": span[_COUNT], "first_event_time_ms": span[_FIRST][0]}
    elif ahead is not None and ahead[_FIRST][0] == instant_ms:
        found |= {"value": ahead[_FIRST][1], "age_ms": 0, "readings": 1}
    elif method == "as_of":
        found |= {"value": before if instant_ms - before_ms <= MAX_GAP_MS else None, "readings": 1}
    elif ahead is not None and ahead[_FIRST][0] - before_ms <= MAX_GAP_MS:
        after_ms, after = ahead[_FIRST]
        value = (after - before) / (after_ms - before_ms) * (instant_ms - before_ms) + before
        found |= {"value": value, "readings": 2, "until_next_ms": after_ms - instant_ms}
    values[metric] = found
    return {"grid": "align", "place": sensor, "instant_ms": instant_ms, "revision": 1, "values": values}


def run(given: Namespace) -> Result:
    gc.disable()  # as in benchmarks.plain_loop
    watch, grid = Stopwatch(), Grid()
    consumer, producer = make_consumer(given.bootstrap, given.group), make_producer(given.bootstrap)
    ends = end_offsets(consumer, given.raw)
    latest_ms = dict.fromkeys(ends, 0)
    output, loads, add = output_of(given.out_prefix), orjson.loads, grid.add
    records = 0

    def publish(until_ms: int) -> None:
        for row in grid.close(until_ms):
            key = orjson.dumps([row["grid"], row["place"], row["instant_ms"]])
            producer.produce(output, orjson.dumps(row), key)
        make_room(producer)

    for batch in read_to_end(consumer, given.raw, ends):
        watch.start()
        for message in batch:
            _take(message, loads, add, latest_ms)
        records += len(batch)
        publish(min(latest_ms.values()) - MAX_LATENESS_MS)
    publish(max(latest_ms.values()) + 3 * PERIOD_MS)
    finish(producer, given.out_prefix)
    result = watch.stop("plain-loop", given.work, records)
    consumer.close()
    return result


def _take(message: Message, loads: Any, add: Any, latest_ms: dict[int, int]) -> None:
    reading = loads(message.value())
    time_ms = reading["event_time_ms"]
    add(reading["sensor_id"], reading["metric"], time_ms, reading["value"])
    partition: int = message.partition()  # type: ignore[assignment]
    if time_ms > latest_ms[partition]:
        latest_ms[partition] = time_ms


if __name__ == "__main__":
    given = parser_of("A plain loop over librdkafka.", WORKS).parse_args()
    create_topics(given.bootstrap, [output_of(given.out_prefix)], 4)
    print(run(given).line())
