"""The work *windows* as PyFlink's documentation would have it; submitted by `benchmarks.textbook_pyflink`.

    Kafka values ──> flat_map (decode, locate) ──> timestamps and watermarks in Python ──> key_by
                 ──> .window().allowed_lateness().side_output_late_data().aggregate() ──> exactly-once Kafka sinks

Watermarks are made behind the source, so there is one per subtask and not one per partition.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from pyflink.common import Duration, SimpleStringSchema, Time, Types, WatermarkStrategy
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import (
    AggregateFunction,
    DataStream,
    FlatMapFunction,
    OutputTag,
    ProcessWindowFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from pyflink.datastream.window import TumblingEventTimeWindows

from benchmarks.positions import Position, Positions
from benchmarks.settings import OUT_OF_ORDERNESS_MS, WINDOWS, Topics
from benchmarks.windows import Aggregate, window_record

_DEFINITION = WINDOWS["windows"][0]
_SENSOR, _METRIC, _TIME_MS, _VALUE, _LON, _LAT, _X, _Y, _EVENT_ID = range(9)
_PLACE = Position(math.nan, math.nan, math.nan, math.nan, "", "", None, False, False)


def reading_type() -> Any:
    texts, floats = Types.STRING(), Types.DOUBLE()
    return Types.TUPLE([texts, texts, Types.LONG(), floats, floats, floats, floats, floats, texts])


class Decode(FlatMapFunction):  # type: ignore[misc]
    """From JSON to a located reading; control records vanish."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self._positions = Positions()

    def flat_map(self, value: str) -> Iterator[tuple[Any, ...]]:
        r = orjson.loads(value)
        if "control" not in r:
            place = self._positions.locate(r["crs"], r["x"], r["y"])
            yield (r["sensor_id"], r["metric"], r["event_time"], float(r["value"]), *place[:4], r["event_id"])


class EventTime(TimestampAssigner):  # type: ignore[misc]
    def extract_timestamp(self, value: tuple[Any, ...], record_timestamp: int) -> int:
        time_ms: int = value[_TIME_MS]
        return time_ms


class Fold(AggregateFunction):  # type: ignore[misc]
    """Count, mean, minimum … as in the other baselines."""

    def create_accumulator(self) -> Aggregate:
        return Aggregate()

    def add(self, value: tuple[Any, ...], accumulator: Aggregate) -> Aggregate:
        place = _PLACE._replace(lon_deg=value[_LON], lat_deg=value[_LAT], x=value[_X], y=value[_Y])
        accumulator.add(value[_TIME_MS], value[_VALUE], place)
        return accumulator

    def get_result(self, accumulator: Aggregate) -> Aggregate:
        return accumulator

    def merge(self, a: Aggregate, b: Aggregate) -> Aggregate:
        a.merge(b)
        return a


class Emit(ProcessWindowFunction):  # type: ignore[misc]
    """Adds key and window to a result."""

    def process(
        self, key: tuple[str, str], context: ProcessWindowFunction.Context, elements: Iterable[Aggregate]
    ) -> Iterator[str]:
        for aggregate in elements:
            record = window_record(_DEFINITION, context.window().start, (key[0], key[1]), aggregate)
            yield orjson.dumps(record).decode()


def late_record(reading: tuple[Any, ...]) -> str:
    record = {
        "sensor_id": reading[_SENSOR],
        "metric": reading[_METRIC],
        "event_time": reading[_TIME_MS],
        "value": reading[_VALUE],
        "event_id": reading[_EVENT_ID],
        "definition": _DEFINITION.name,
    }
    return orjson.dumps(record).decode()


def sink_to(stream: DataStream, bootstrap: str, topic: str, prefix: str) -> None:
    schema = KafkaRecordSerializationSchema.builder().set_topic(topic)
    stream.sink_to(
        KafkaSink.builder()
        .set_bootstrap_servers(bootstrap)
        .set_record_serializer(schema.set_value_serialization_schema(SimpleStringSchema()).build())
        .set_delivery_guarantee(DeliveryGuarantee.EXACTLY_ONCE)
        .set_transactional_id_prefix(prefix)
        .set_property("transaction.timeout.ms", "600000")
        .build()
    )


def build(env: StreamExecutionEnvironment, bootstrap: str, raw: str, topics: Topics, group: str) -> None:
    source = (
        KafkaSource.builder()
        .set_bootstrap_servers(bootstrap)
        .set_topics(raw)
        .set_group_id(group)
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_bounded(KafkaOffsetsInitializer.latest())
        .set_value_only_deserializer(SimpleStringSchema())
        .build()
    )
    strategy = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_millis(OUT_OF_ORDERNESS_MS))
    readings = (
        env.from_source(source, WatermarkStrategy.no_watermarks(), "raw")
        .flat_map(Decode(), output_type=reading_type())
        .assign_timestamps_and_watermarks(strategy.with_timestamp_assigner(EventTime()))
    )
    windowed = (
        readings.key_by(lambda r: (r[_SENSOR], r[_METRIC]), key_type=Types.TUPLE([Types.STRING(), Types.STRING()]))
        .window(TumblingEventTimeWindows.of(Time.milliseconds(_DEFINITION.size_ms)))
        .allowed_lateness(_DEFINITION.allowed_lateness_ms)
        .side_output_late_data(OutputTag("late", reading_type()))
        .aggregate(
            Fold(),
            window_function=Emit(),
            accumulator_type=Types.PICKLED_BYTE_ARRAY(),
            output_type=Types.STRING(),
        )
    )
    # Made anew: type information that has been used holds a Java reference and cannot be pickled.
    late = windowed.get_side_output(OutputTag("late", reading_type())).map(late_record, output_type=Types.STRING())
    sink_to(windowed, bootstrap, topics.windows, f"{topics.prefix}-windows")
    sink_to(late, bootstrap, topics.late, f"{topics.prefix}-late")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--bootstrap", "--raw", "--out-prefix", "--group", "--name"):
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    env = StreamExecutionEnvironment.get_execution_environment()
    build(env, given.bootstrap, given.raw, Topics(given.out_prefix), given.group)
    env.execute(given.name)


if __name__ == "__main__":
    main()
