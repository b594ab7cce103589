"""Flink's own windows and ours on the same elements and watermarks; submitted by `test_windows_like_flink`.

    elements ─┬─> echo                                      (what the watermark was when an element came)
              ├─> key_by ─> .window(…).allowed_lateness(…)  one branch per definition: `flink`
              ├─> frames of one reading   ─> deduplicate-and-window ─> window-by-place: `single`
              └─> frames of many readings ─> deduplicate-and-window ─> window-by-place: `framed`

Each element of the topic carries the watermark that follows it, so the sequence of watermarks is the script's, to the
element: parallelism 1, one partition, Python bundles of one element.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from typing import Any

from pyflink.common import Row, SimpleStringSchema, Time, Types
from pyflink.datastream import (
    DataStream,
    FlatMapFunction,
    KeyedStream,
    OutputTag,
    ProcessFunction,
    ProcessWindowFunction,
    StreamExecutionEnvironment,
)
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import KafkaRecordSerializationSchema, KafkaSink
from pyflink.datastream.window import SlidingEventTimeWindows, TumblingEventTimeWindows
from pyflink.table import StreamTableEnvironment

from jobs.pipeline.keyed import keyed_by_first
from udfs.flink.shards import (
    DeduplicateAndWindow,
    WindowByPlace,
    frame_type,
    output_type,
    place_frames_tag,
)
from udfs.flink.worker_store import open_worker_store
from udfs.frame import Row as Reading
from udfs.frame import Station, encode_frame
from udfs.rules import Rules, StreamRule, WindowDefinition

WINDOWS = (
    WindowDefinition("tumbling", "sensor", 8, 8),
    WindowDefinition("tumbling-offset", "sensor", 8, 8, 3),
    WindowDefinition("sliding", "sensor", 8, 4),
    WindowDefinition("sliding-uneven", "sensor", 7, 3, -2),
    WindowDefinition("by-cell", "cell", 8, 8),
)
STREAMS = (
    StreamRule("strict", ("*",), "1", windows=WINDOWS),
    StreamRule("lenient", ("*",), "1", allowed_lateness_ms=5, windows=(WINDOWS[0], WINDOWS[2])),
)
RULES = Rules(STREAMS, shards=1)
SHARD = 0

ELEMENTS = """CREATE TABLE elements (
    seq INT, time_ms BIGINT, sensor STRING, cell STRING, `value` DOUBLE, frame_ends BOOLEAN, watermark_ms BIGINT,
    rowtime AS TO_TIMESTAMP_LTZ(time_ms, 3),
    WATERMARK FOR rowtime AS CASE WHEN watermark_ms IS NOT NULL THEN TO_TIMESTAMP_LTZ(watermark_ms, 3) END
) WITH (
    'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{bootstrap_servers}',
    'properties.group.id' = '{topic}', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json',
    'scan.watermark.emit.strategy' = 'on-event'
)"""
_SEQ, _TIME_MS, _SENSOR, _CELL, _VALUE, _FRAME_ENDS = range(6)


class Echo(ProcessFunction):
    def process_element(self, value: Row, ctx: ProcessFunction.Context) -> Iterator[str]:
        watermark_ms = ctx.timer_service().current_watermark()
        yield json.dumps({"engine": "echo", "seq": value[_SEQ], "watermark_ms": watermark_ms})


class Collect(ProcessWindowFunction):
    """Every firing of a window with all that it holds."""

    def __init__(self, stream: str, definition: str) -> None:
        self._of = {"engine": "flink", "stream": stream, "definition": definition}

    def process(self, key: str, context: ProcessWindowFunction.Context, elements: Iterable[Row]) -> Iterator[str]:
        values = [element[_VALUE] for element in elements]
        window = context.window()
        numbers = {"count": len(values), "mean": sum(values) / len(values), "min": min(values), "max": max(values)}
        yield json.dumps({**self._of, "key": key, "start_ms": window.start, "end_ms": window.end, **numbers})


class Frames(ProcessFunction):
    """Readings of all streams as frames: of one reading each, or collected until the script says so."""

    def __init__(self, *, single: bool) -> None:
        self._single = single
        self._collected: list[Reading] = []

    def process_element(self, value: Row, ctx: ProcessFunction.Context) -> Iterator[Row]:
        for number, stream in enumerate(STREAMS):
            self._collected.append(_accepted(value, stream.name, value[_SEQ] * len(STREAMS) + number))
            if self._single:
                yield self._frame()
        if value[_FRAME_ENDS] and not self._single:
            yield self._frame()

    def _frame(self) -> Row:
        readings, self._collected = self._collected, []
        return Row(SHARD, encode_frame(readings))


class Unpack(FlatMapFunction):
    """Window results and late readings out of the elements for the sinks, in the words of `Collect`."""

    def __init__(self, engine: str) -> None:
        self._engine = engine

    def flat_map(self, value: Row) -> Iterator[str]:
        sink, _, records = value
        for text in records:
            record = json.loads(bytes(text))
            of = {"engine": self._engine, "stream": record.get("stream"), "definition": record.get("definition")}
            if sink == "windows":
                of |= {"key": record["key"], "start_ms": record["window_start_ms"], "end_ms": record["window_end_ms"]}
                numbers = {name: record[name] for name in ("count", "mean", "min", "max", "revision", "timing")}
                yield json.dumps(of | numbers)
            elif sink == "late_events":
                yield json.dumps(of | {"late": int(record["event_id"])})
            elif sink != "aligned" and record.get("class") != "partly_late":
                yield json.dumps(of | {"unexpected": sink, "record": record})


def _accepted(element: Row, stream: str, digest: int) -> Reading:
    seq, time_ms, sensor, cell, value = element[:5] if isinstance(element, tuple) else [element[i] for i in range(5)]
    station = Station(stream, sensor, "m", cell, cell, 0.0, 0.0, 0.0, 0.0, b"k", b"}")
    return Reading(station, str(seq), time_ms, value, digest, digest, 0, seq, 0, b"{}", b'{"seq":0')


def flink_branch(elements: DataStream, stream: StreamRule, window: WindowDefinition) -> DataStream:
    """The textbook form, as the Flink documentation has it."""
    key = _SENSOR if window.key == "sensor" else _CELL
    late = OutputTag(f"late-{stream.name}-{window.name}", elements.get_type())
    keyed: KeyedStream = elements.key_by(lambda row: row[key], key_type=Types.STRING())
    size, slide, offset = (Time.milliseconds(ms) for ms in (window.size_ms, window.slide_ms, window.offset_ms))
    assigner: Any = (
        TumblingEventTimeWindows.of(size, offset)
        if window.size_ms == window.slide_ms
        else SlidingEventTimeWindows.of(size, slide, offset)
    )
    of = {"engine": "flink", "stream": stream.name, "definition": window.name}
    windowed = (
        keyed.window(assigner)
        .allowed_lateness(stream.allowed_lateness_ms)
        .side_output_late_data(late)
        .process(Collect(stream.name, window.name), output_type=Types.STRING())
        .uid(f"flink-{stream.name}-{window.name}")
    )
    lates = windowed.get_side_output(OutputTag(f"late-{stream.name}-{window.name}", elements.get_type()))
    return windowed.union(lates.map(lambda row: json.dumps(of | {"late": row[_SEQ]}), output_type=Types.STRING()))


def our_branch(elements: DataStream, engine: str) -> DataStream:
    """The job's own operators, wired as in `jobs.pipeline.topology`."""
    topic, frame = "elements", Types.PRIMITIVE_ARRAY(Types.BYTE())
    frames = elements.process(Frames(single=engine == "single"), output_type=frame_type())
    windowed = (
        keyed_by_first(frames, frame)
        .process(DeduplicateAndWindow(RULES, topic, open_worker_store), output_type=output_type())
        .uid(f"{engine}-deduplicate")
    )
    by_place = (
        keyed_by_first(windowed.get_side_output(place_frames_tag()), frame)
        .process(WindowByPlace(RULES, topic, open_worker_store), output_type=output_type())
        .uid(f"{engine}-window-by-place")
    )
    return windowed.union(by_place).flat_map(Unpack(engine), output_type=Types.STRING())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--bootstrap-servers", "--elements", "--results"):
        parser.add_argument(name, required=True)
    arguments = parser.parse_args()
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    tables = StreamTableEnvironment.create(env)
    tables.get_config().set_local_timezone("UTC")
    tables.execute_sql(ELEMENTS.format(topic=arguments.elements, bootstrap_servers=arguments.bootstrap_servers))
    elements = tables.to_data_stream(
        tables.sql_query("SELECT seq, time_ms, sensor, cell, `value`, frame_ends, rowtime FROM elements")
    )
    results = elements.process(Echo(), output_type=Types.STRING())
    for stream in STREAMS:
        for window in stream.windows:
            results = results.union(flink_branch(elements, stream, window))
    for engine in ("single", "framed"):
        results = results.union(our_branch(elements, engine))
    schema = KafkaRecordSerializationSchema.builder().set_topic(arguments.results)
    results.sink_to(
        KafkaSink.builder()
        .set_bootstrap_servers(arguments.bootstrap_servers)
        .set_record_serializer(schema.set_value_serialization_schema(SimpleStringSchema()).build())
        .set_delivery_guarantee(DeliveryGuarantee.AT_LEAST_ONCE)
        .build()
    ).uid("results")
    env.execute(f"windows-{arguments.elements}")


if __name__ == "__main__":
    main()
