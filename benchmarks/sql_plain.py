"""The baseline of `meridian bench sql`: the same hourly summary by a plain loop, in memory and with no guarantees.

python -m benchmarks.sql_plain --bootstrap … --raw bench.sql.aligned --work sql --out-prefix bench.sql.plain-loop
"""

from __future__ import annotations

import gc
import math
from argparse import Namespace
from typing import Any

import orjson
from confluent_kafka import Message, Producer

from benchmarks.broker_io import end_offsets, finish, make_consumer, make_producer, make_room, read_to_end
from benchmarks.positions import Positions
from benchmarks.report import Result, Stopwatch, parser_of
from benchmarks.sql_statements import HOUR_MS, MAX_LATENESS_MIN, TARGET_CRS, WORKS, output_of

Key = tuple[str, str, str]


class Summaries:
    """Open hours of all sensors: a list of sums for each."""

    def __init__(self, producer: Producer, output: str, partitions: list[int], *, located: bool) -> None:
        self._produce, self._output = producer.produce, output
        self._hours: dict[int, dict[Key, list[float]]] = {}
        self._latest_ms = dict.fromkeys(partitions, 0)
        self._locate = Positions(TARGET_CRS).locate if located else None

    def take(self, batch: list[Message]) -> None:
        loads, hours, latest_ms, locate = orjson.loads, self._hours, self._latest_ms, self._locate
        for message in batch:
            reading = loads(message.value())  # type: ignore[arg-type]
            time_ms, value = reading["event_time_ms"], reading["value"]
            hour = time_ms - time_ms % HOUR_MS
            if hour not in hours:
                hours[hour] = {}
            key = (reading["sensor_id"], reading["metric"], reading["unit"])
            sums = hours[hour].get(key)
            if sums is None:
                sums = hours[hour][key] = [0, 0.0, 0.0, value, value, 0.0, 0.0]
            sums[0] += 1
            sums[1] += value
            sums[2] += value * value
            if value < sums[3]:
                sums[3] = value
            elif value > sums[4]:
                sums[4] = value
            if locate is not None:
                place = locate("EPSG:4326", reading["lon_deg"], reading["lat_deg"])
                sums[5] += place.x
                sums[6] += place.y
            partition: int = message.partition()  # type: ignore[assignment]
            if time_ms > latest_ms[partition]:
                latest_ms[partition] = time_ms
        self._close_until(min(latest_ms.values()) - MAX_LATENESS_MIN * 60_000)

    def close(self) -> None:
        self._close_until(2**62)

    def _close_until(self, watermark_ms: int) -> None:
        for hour in [hour for hour in self._hours if hour + HOUR_MS <= watermark_ms]:
            for key, sums in self._hours.pop(hour).items():
                record = _record(key, hour, sums, located=self._locate is not None)
                self._produce(self._output, orjson.dumps(record), orjson.dumps((key[0], key[1], hour)))


def _record(key: Key, hour: int, sums: list[float], *, located: bool) -> dict[str, Any]:
    count, total, squares, lowest, highest, x, y = sums
    mean = total / count
    return {
        "sensor_id": key[0],
        "metric": key[1],
        "unit": key[2],
        "window_start_ms": hour,
        "count": count,
        "mean": mean,
        "min": lowest,
        "max": highest,
        "std": math.sqrt(max(squares / count - mean * mean, 0.0)),
        "x": x / count if located else None,
        "y": y / count if located else None,
    }


def run(given: Namespace) -> Result:
    gc.disable()  # nothing here makes cycles
    watch = Stopwatch()
    consumer, producer = make_consumer(given.bootstrap, given.group), make_producer(given.bootstrap)
    ends = end_offsets(consumer, given.raw)
    summaries = Summaries(producer, output_of(given.out_prefix), list(ends), located=given.work == "sql-crs")
    records = 0
    for batch in read_to_end(consumer, given.raw, ends):
        watch.start()
        summaries.take(batch)
        records += len(batch)
        make_room(producer)
    summaries.close()
    finish(producer, given.out_prefix)
    result = watch.stop("plain-loop", given.work, records)
    consumer.close()
    return result


if __name__ == "__main__":
    print(run(parser_of("A plain loop over the aligned topic.", WORKS).parse_args()).line())
