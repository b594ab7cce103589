"""The work *windows* in Quix Streams, exactly-once, one process.

    python -m benchmarks.quixstreams_app --bootstrap … --raw … --work windows --out-prefix …

Windows are per Kafka key, and the raw key is a region. Instead of a repartition topic the key is taken from the header
`sensor_id`: a sensor's readings are all in one partition. Window results are exactly-once; late readings are reported
from a callback by a producer outside of the transaction. Windows close when their sensor sends what is later, so the
last ones stay open, and there is no allowed lateness.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import orjson
from quixstreams import Application
from quixstreams.dataframe.windows.aggregations import Reduce
from quixstreams.models import Deserializer, SerializationContext

from benchmarks.broker_io import create_topics, end_offsets, finish, make_consumer, make_producer
from benchmarks.positions import Positions
from benchmarks.report import Result, Stopwatch, parser_of
from benchmarks.settings import OUT_OF_ORDERNESS_MS, WINDOWS, Topics
from benchmarks.windows import Aggregate, window_record

_DEFINITION = WINDOWS["windows"][0]
_POLL_PRODUCER = 1_000

State = dict[str, list[Any]]  # by metric, the figures of an Aggregate


class SensorKey(Deserializer):  # type: ignore[misc]
    """The sensor's id as the key of a message."""

    def __call__(self, value: bytes, ctx: SerializationContext) -> bytes | None:
        for name, header in ctx.headers or ():
            if name == "sensor_id":
                return bytes(header)
        return None


def fold(state: State, reading: dict[str, Any]) -> State:
    figures = state.get(reading["metric"])
    aggregate = Aggregate()
    if figures is not None:
        for name, figure in zip(Aggregate.__slots__, figures, strict=True):
            setattr(aggregate, name, figure)
    aggregate.add(reading["event_time"], reading["value"], reading["position"])
    state[reading["metric"]] = [getattr(aggregate, name) for name in Aggregate.__slots__]
    return state


def first(reading: dict[str, Any]) -> State:
    return fold({}, reading)


def results(window: dict[str, Any], key: bytes, *_: Any) -> Iterator[dict[str, Any]]:
    for metric, figures in window["value"].items():
        aggregate = Aggregate()
        for name, figure in zip(Aggregate.__slots__, figures, strict=True):
            setattr(aggregate, name, figure)
        yield window_record(_DEFINITION, window["start"], (key.decode(), metric), aggregate)


def run(given: Namespace, state_dir: str) -> Result:
    topics, positions, watch = Topics(given.out_prefix), Positions(), Stopwatch()
    consumer = make_consumer(given.bootstrap, given.group)
    ends = end_offsets(consumer, given.raw)
    consumer.close()
    late_producer = make_producer(given.bootstrap)
    unread = set(ends)

    def locate(reading: dict[str, Any]) -> dict[str, Any]:
        watch.start()
        reading["position"] = positions.locate(reading["crs"], reading["x"], reading["y"])
        return reading

    def on_late(value: Any, key: bytes, timestamp_ms: int, late_by_ms: int, *place: Any) -> bool:
        *_, partition, offset = place
        record = {name: entry for name, entry in value.items() if name != "position"}
        record |= {"partition": partition, "offset": offset, "lateness_ms": late_by_ms}
        late_producer.produce(topics.late, orjson.dumps(record), key)
        return False

    def processed(topic: str, partition: int, offset: int) -> None:
        if offset % _POLL_PRODUCER == 0:
            late_producer.poll(0)
        if offset + 1 == ends[partition]:
            unread.discard(partition)
            if not unread:
                app.stop()

    app = Application(
        broker_address=given.bootstrap,
        consumer_group=given.out_prefix,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=10.0,
        state_dir=state_dir,
        loglevel="ERROR",
        on_message_processed=processed,
        consumer_extra_config={"fetch.queue.backoff.ms": 20},
        producer_extra_config={"compression.type": "lz4", "linger.ms": 20},
    )
    raw = app.topic(
        given.raw, key_deserializer=SensorKey(), timestamp_extractor=lambda value, *_: int(value["event_time"])
    )
    out = app.topic(topics.windows, value_serializer="json")
    frame = app.dataframe(raw)
    frame = frame.filter(lambda value: "control" not in value).apply(locate)
    windows = frame.tumbling_window(_DEFINITION.size_ms, grace_ms=OUT_OF_ORDERNESS_MS, on_late=on_late)
    frame = windows.agg(value=Reduce(reducer=fold, initializer=first)).final()
    frame.apply(results, expand=True, metadata=True).to_topic(out)
    app.run()
    finish(late_producer, topics.late)
    return watch.stop("quixstreams", given.work, sum(ends.values()))


def main() -> None:
    given = parser_of("Quix Streams, exactly-once, one process.", ("windows",)).parse_args()
    create_topics(given.bootstrap, Topics(given.out_prefix).all, 4)
    with tempfile.TemporaryDirectory() as state_dir:
        print(run(given, state_dir).line())


if __name__ == "__main__":
    main()
