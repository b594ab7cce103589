"""The keyed operators: deduplicate with the windows keyed by sensor, and the windows keyed by cell or region."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, OutputTag, RuntimeContext
from pyflink.datastream.state import MapState, MapStateDescriptor

from udfs.align import shard_of
from udfs.deduplicate import Deduplicator
from udfs.flink.garbage import calm_garbage_collector
from udfs.frame import Accepted, Frame, decode_frame, encode_frame
from udfs.metric_names import ALIGNED, COUNTERS, DUPLICATES, INVALID, LATE, REVISIONS, WINDOW_RESULTS
from udfs.outputs import Outputs
from udfs.reasons import Reason
from udfs.rules import Rules
from udfs.window import Windowed, Windows


def output_type() -> Any:
    """A batch of records of one sink and key; see `udfs.outputs`."""
    return Types.ROW_NAMED(
        ["sink", "key", "records"],
        [Types.STRING(), Types.PRIMITIVE_ARRAY(Types.BYTE()), Types.OBJECT_ARRAY(Types.PRIMITIVE_ARRAY(Types.BYTE()))],
    )


def frame_type() -> Any:
    return Types.ROW_NAMED(["shard", "frame"], [Types.INT(), Types.PRIMITIVE_ARRAY(Types.BYTE())])


def place_frames_tag() -> OutputTag:
    """The side output of frames for the cell and region windows.

    Made anew for each use: type information that has been used holds a Java reference and cannot be pickled.
    """
    return OutputTag("place-frames", frame_type())


class ShardStore:
    """`udfs.shard_log.KeyedStore` over Flink's MapState of the current key."""

    def __init__(self, state: MapState) -> None:
        self._state = state

    def get(self, key: str) -> bytes | None:
        value = self._state.get(key)
        return None if value is None else bytes(value)

    def put(self, key: str, value: bytes) -> None:
        self._state.put(key, value)

    def remove(self, key: str) -> None:
        self._state.remove(key)


class _ShardFunction(KeyedProcessFunction):
    """What both operators share: state, counters, publishing."""

    def __init__(self, rules: Rules, topic: str) -> None:
        self._rules = rules
        self._topic = topic

    def open(self, runtime_context: RuntimeContext) -> None:
        calm_garbage_collector()
        descriptor = MapStateDescriptor("shard", Types.STRING(), Types.PRIMITIVE_ARRAY(Types.BYTE()))
        self._store = ShardStore(runtime_context.get_map_state(descriptor))
        self._outputs = Outputs(self._rules, self._topic)
        self._windows: dict[int, Windows] = {}
        metrics = runtime_context.get_metrics_group()
        self._counters = {name: metrics.counter(name) for name in COUNTERS}
        by_reason = metrics.add_group("reason")
        self._invalid_by_reason = {
            reason.value: by_reason.counter(reason.value) for reason in Reason if reason is not Reason.LATE
        }

    def _publish_windowed(self, windowed: Windowed, ctx: Any) -> None:
        self._outputs.windowed(windowed)
        self._counters[WINDOW_RESULTS].inc(len(windowed.firings))
        self._counters[REVISIONS].inc(sum(f.timing == "late" for f in windowed.firings))
        self._counters[LATE].inc(len(windowed.late))
        self._register(windowed.timers_ms, ctx)

    def _register(self, timers_ms: list[int], ctx: Any) -> None:
        for timer_ms in set(timers_ms):
            ctx.timer_service().register_event_time_timer(timer_ms)

    def _rows(self) -> Iterator[Row]:
        for sink, key, records in self._outputs.take():
            yield Row(sink, key, records)


class DeduplicateAndWindow(_ShardFunction):
    """Keyed by the sensor's shard: every reading passes here once and in the order of its partition."""

    def open(self, runtime_context: RuntimeContext) -> None:
        super().open(runtime_context)
        self._deduplicators: dict[int, Deduplicator] = {}
        self._place_streams = {
            s.name: tuple({w.key for w in s.windows} & {"cell", "region"}) for s in self._rules.streams
        }
        self._place_streams = {name: keys for name, keys in self._place_streams.items() if keys}

    def process_element(self, value: Row, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        shard, data = value
        frame = decode_frame(data)
        watermark_ms = ctx.timer_service().current_watermark()
        outputs = self._outputs
        for reason, key, letter in frame.invalid:
            outputs.invalid(key, letter)
            self._invalid_by_reason[reason].inc()
        deduplicator, windows = self._of(shard)
        result = deduplicator.deduplicate(self._store, frame.accepted, watermark_ms)
        for duplicate in result.duplicates:
            outputs.duplicate(duplicate)
        for conflict in result.conflicts:
            outputs.conflict(conflict)
            self._invalid_by_reason[Reason.ID_CONFLICT.value].inc()
        for reading, beyond_horizon in result.unique:
            outputs.aligned(reading, beyond_horizon)
        self._counters[ALIGNED].inc(len(result.unique))
        self._counters[DUPLICATES].inc(len(result.duplicates))
        self._counters[INVALID].inc(len(frame.invalid) + len(result.conflicts))
        self._register(result.purge_at_ms, ctx)
        unique = [reading for reading, _ in result.unique]
        self._publish_windowed(windows.add(self._store, unique, watermark_ms), ctx)
        yield from self._place_frames(unique)
        yield from self._rows()

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        deduplicator, windows = self._of(ctx.get_current_key())
        self._register(deduplicator.expire(self._store, timestamp), ctx)
        self._publish_windowed(windows.advance(self._store, timestamp), ctx)
        yield from self._rows()

    def _of(self, shard: int) -> tuple[Deduplicator, Windows]:
        windows = self._windows.get(shard)
        if windows is None:
            windows = self._windows[shard] = Windows(self._rules.streams, ("sensor",), self._store)
            self._deduplicators[shard] = Deduplicator(self._rules.dedup, self._store)
        return self._deduplicators[shard], windows

    def _place_frames(self, readings: list[Accepted]) -> Iterator[Any]:
        """Regroup readings by the shard of their place; a frame for cells and one for regions never mix."""
        if not self._place_streams:
            return
        frames: dict[int, list[Accepted]] = {}
        for reading in readings:
            for key in self._place_streams.get(reading.stream, ()):
                place = reading.cell if key == "cell" else reading.region
                reading_shard = shard_of(place, self._rules.shards) * 2 + (key == "region")
                frames.setdefault(reading_shard, []).append(reading)
        tag = place_frames_tag()
        for place_shard, accepted in frames.items():
            for reading in accepted:
                reading.aligned = b""
            yield tag, Row(place_shard, encode_frame(Frame(accepted=accepted)))


class WindowByPlace(_ShardFunction):
    """Keyed by the shard of a cell (even) or a region (odd): windows that readings of many sensors share."""

    def process_element(self, value: Row, ctx: KeyedProcessFunction.Context) -> Iterator[Row]:
        shard, data = value
        windows = self._of(shard)
        watermark_ms = ctx.timer_service().current_watermark()
        self._publish_windowed(windows.add(self._store, decode_frame(data).accepted, watermark_ms), ctx)
        yield from self._rows()

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Row]:
        self._publish_windowed(self._of(ctx.get_current_key()).advance(self._store, timestamp), ctx)
        yield from self._rows()

    def _of(self, shard: int) -> Windows:
        windows = self._windows.get(shard)
        if windows is None:
            key = "region" if shard % 2 else "cell"
            windows = self._windows[shard] = Windows(self._rules.streams, (key,), self._store)
        return windows
