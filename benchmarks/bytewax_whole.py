"""The work *whole* in bytewax, in two forms; see `benchmarks.bytewax_flow`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import bytewax.operators as op
import bytewax.operators.windowing as w
import orjson
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from benchmarks.broker_io import finish, make_producer, make_room
from benchmarks.bytewax_parts import DISORDER, EPOCH, Counter, Message, merge, moment_of, read_raw
from benchmarks.positions import Positions
from benchmarks.settings import OUT_OF_ORDERNESS_MS, WINDOWS, Topics, WindowDefinition
from benchmarks.windows import NO_WATERMARK, Aggregate, Windows, window_key, window_record
from benchmarks.work import Headers, Reading, Refused, Seen, aligned_record, dead_letter, is_control, late_letter, read


class Valid(NamedTuple):
    """An accepted reading of the work *whole*, with where it comes from."""

    reading: Reading
    source: tuple[str, int, int, int]
    key: bytes | None
    body: bytes
    headers: Headers


Output = tuple[str, bytes, bytes | None]  # topic, value, key


class WholeLogic(StatefulBatchLogic[Valid | Output, Output, None]):  # type: ignore[misc]
    """Dedup, aligned records and windows of one partition, with the plain loop's parts."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._seen = Seen()
        self._windows = Windows(WINDOWS["whole"], period_ms=1_000)
        self._latest_ms = NO_WATERMARK

    def on_batch(self, values: list[Valid | Output]) -> tuple[Iterable[Output], bool]:
        results: list[Output] = []
        for value in values:
            if isinstance(value, Valid):
                self._take(value, results)
            else:
                results.append(value)
        watermark_ms = self._latest_ms - OUT_OF_ORDERNESS_MS - 1
        results += self._rows(self._windows.advance(watermark_ms))
        self._seen.expire(watermark_ms)
        return results, self.RETAIN

    def on_eof(self) -> tuple[Iterable[Output], bool]:
        return list(self._rows(self._windows.close())), self.DISCARD

    def snapshot(self) -> None:
        return None  # runs without recovery

    def _take(self, valid: Valid, results: list[Output]) -> None:
        reading, source, key, body, headers = valid
        raw = reading.raw
        if raw.event_time > self._latest_ms:
            self._latest_ms = raw.event_time
        if not self._seen.add(raw.sensor_id, raw.event_id, raw.event_time):
            return
        results.append((self._topics.aligned, aligned_record(reading, headers, *source), key))
        series = (raw.sensor_id, raw.metric)
        for definition in self._windows.add(series, raw.event_time, reading.value, reading.position):
            letter = late_letter(definition, reading, self._windows.watermark_ms, source, key, body)
            results.append((self._topics.late, letter, key))

    def _rows(self, records: list[dict[str, Any]]) -> Iterator[Output]:
        for record in records:
            yield self._topics.windows, orjson.dumps(record), orjson.dumps(window_key(record))


class _Writer(StatelessSinkPartition[tuple[str, Output]]):  # type: ignore[misc]
    def __init__(self, bootstrap: str) -> None:
        self._producer = make_producer(bootstrap)

    def write_batch(self, items: list[tuple[str, Output]]) -> None:
        for _, (topic, value, key) in items:
            self._producer.produce(topic, value, key)
        make_room(self._producer)

    def close(self) -> None:
        finish(self._producer, "bytewax")


class Writer(DynamicSink[tuple[str, Output]]):  # type: ignore[misc]
    """All topics by one producer; bytewax's own sink waits for the broker after each batch."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Writer:
        return _Writer(self._bootstrap)


def whole_flow(given: Namespace, counter: Counter) -> Dataflow:
    """The work *whole*, by partition with the plain loop's parts or by sensor with bytewax's."""
    topics = Topics(given.out_prefix)
    flow = Dataflow("whole")
    readings = op.flat_map_batch("decode", read_raw(flow, given), _decoder(given, counter))
    if given.operators:
        results = _by_operators(readings, topics)
    else:
        results = op.stateful_batch("whole", readings, lambda _: WholeLogic(topics))
    op.output("out", results, Writer(given.bootstrap))
    return flow


def _decoder(given: Namespace, counter: Counter) -> Callable[[list[Message]], Iterator[tuple[str, Valid | Output]]]:
    topics, positions = Topics(given.out_prefix), Positions()

    def decode(batch: list[Message]) -> Iterator[tuple[str, Valid | Output]]:
        counter.count(batch)
        for message in batch:
            body, key, headers = message.value or b"", message.key, dict(message.headers)
            if is_control(headers):
                continue
            assert message.partition is not None and message.offset is not None and message.timestamp is not None
            append_ms = message.timestamp[1]
            source = (given.raw, message.partition, message.offset, append_ms)
            partition = str(message.partition)
            try:
                reading = read(body, headers, append_ms, positions)
                by = reading.raw.sensor_id if given.operators else partition
                yield by, Valid(reading, source, key, body, headers)
            except Refused as refused:
                letter = dead_letter(refused.args[0], "validate", refused.args[1], source, key, body, headers)
                yield partition, (topics.invalid, letter, key)

    return decode


def _by_operators(readings: Any, topics: Topics) -> Any:
    """Deduplication, aligned records and windows with bytewax's own operators, keyed by sensor."""
    kinds = op.branch("valid", readings, lambda item: isinstance(item[1], Valid))
    unique = op.stateful_flat_map("deduplicate", kinds.trues, _deduplicate)
    aligned = op.map_value(
        "aligned", unique, lambda v: (topics.aligned, aligned_record(v.reading, v.headers, *v.source), v.key)
    )
    results = [kinds.falses, aligned]
    clock = w.EventClock(
        ts_getter=lambda item: moment_of(item[1].reading.raw.event_time), wait_for_system_duration=DISORDER
    )
    for definition in WINDOWS["whole"]:
        results += _window(definition, op.key_on(definition.name, unique, _series), clock, topics)
    return op.merge("results", *results)


def _deduplicate(seen: Seen | None, valid: Valid) -> tuple[Seen, list[Valid]]:
    seen = seen or Seen()
    raw = valid.reading.raw
    is_new = seen.add(raw.sensor_id, raw.event_id, raw.event_time)
    seen.expire(raw.event_time)
    return seen, [valid] if is_new else []


def _series(item: tuple[str, Valid]) -> str:
    return f"{item[0]} {item[1].reading.raw.metric}"


def _window(definition: WindowDefinition, by_series: Any, clock: Any, topics: Topics) -> list[Any]:
    """Results and late readings of one definition."""
    size, slide = (timedelta(milliseconds=ms) for ms in (definition.size_ms, definition.slide_ms))
    windower = w.SlidingWindower(length=size, offset=slide, align_to=EPOCH)

    def fold(aggregate: Aggregate, item: tuple[str, Valid]) -> Aggregate:
        reading = item[1].reading
        aggregate.add(reading.raw.event_time, reading.value, reading.position)
        return aggregate

    def result(item: tuple[str, tuple[int, Aggregate]]) -> tuple[str, Output]:
        series, (number, aggregate) = item
        sensor, metric = series.split(" ")
        record = window_record(definition, number * definition.slide_ms, (sensor, metric), aggregate, period_ms=1_000)
        return series, (topics.windows, orjson.dumps(record), orjson.dumps(window_key(record)))

    def late(item: tuple[str, tuple[int, tuple[str, Valid]]]) -> tuple[str, Output] | None:
        series, (number, (_, valid)) = item
        time_ms = valid.reading.raw.event_time
        if number != time_ms // definition.slide_ms:
            return None  # bytewax reports a late reading once per window
        letter = late_letter(definition, valid.reading, time_ms, valid.source, valid.key, valid.body)
        return series, (topics.late, letter, valid.key)

    name = definition.name
    windowed = w.fold_window(f"{name}-window", by_series, clock, windower, Aggregate, fold, merge, ordered=False)
    return [op.map(f"{name}-result", windowed.down, result), op.filter_map(f"{name}-late", windowed.late, late)]
