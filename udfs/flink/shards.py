"""The keyed operators: deduplicate with the windows keyed by sensor, and the windows keyed by cell or region."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, OutputTag, RuntimeContext

from udfs.deduplicate import Deduplicator
from udfs.flink.counters import ReadingCounters, Registry, WindowCounters
from udfs.flink.embedded_store import open_embedded_store
from udfs.frame import Readings, Station, decode_frame, encode_part
from udfs.outputs import Outputs
from udfs.rules import Rules, WindowKey, unpack_rules
from udfs.series import shard_of
from udfs.shard_keys import max_parallelism, shard_keys
from udfs.shard_log import KeyedStore
from udfs.window import PLACE_OF, Windowed, Windows

OpenStore = Callable[[RuntimeContext], KeyedStore]  # of the current key, for the process that the operator runs in


def output_type() -> Any:
    """A batch of records of one sink and key; see `udfs.outputs`."""
    return Types.ROW_NAMED(
        ["sink", "key", "records"],
        [Types.STRING(), Types.PRIMITIVE_ARRAY(Types.BYTE()), Types.OBJECT_ARRAY(Types.PRIMITIVE_ARRAY(Types.BYTE()))],
    )


def frame_type() -> Any:
    """Key and frame, as `jobs.pipeline.keyed` wants them."""
    return Types.ROW_NAMED(["key", "frame"], [Types.INT(), Types.PRIMITIVE_ARRAY(Types.BYTE())])


def place_frames_tag() -> OutputTag:
    """The side output of frames for the cell and region windows.

    Made anew for each use: type information that has been used holds a Java reference and cannot be pickled.
    """
    return OutputTag("place-frames", frame_type())


class ShardFunction(KeyedProcessFunction):
    """What both operators share: state, counters, publishing."""

    _window_keys: tuple[WindowKey, ...]

    def __init__(self, rules: Rules, topic: str, open_store: OpenStore) -> None:
        self._rules = rules
        self._topic = topic
        self._open_store = open_store

    @classmethod
    def embedded(cls, rules: bytes, topic: str) -> Self:
        """Make it for the TaskManager's own process, from packed rules; see `udfs.flink.embedded`."""
        return cls(unpack_rules(rules), topic, open_embedded_store)

    def open(self, runtime_context: RuntimeContext) -> None:
        self._store = self._open_store(runtime_context)
        self._outputs = Outputs(self._rules, self._topic)
        self._windows: dict[int, Windows] = {}
        self._registry = Registry(runtime_context.get_metrics_group())
        self._window_counters = WindowCounters(self._registry, self._rules, self._window_keys)

    def _publish_windowed(self, windowed: Windowed, ctx: Any, readings: Readings | None = None) -> None:
        self._outputs.windowed(windowed, readings)
        self._window_counters.count(windowed, readings)
        self._register(windowed.timers_ms, ctx)

    def _register(self, timers_ms: list[int], ctx: Any) -> None:
        for timer_ms in set(timers_ms):
            ctx.timer_service().register_event_time_timer(timer_ms)

    def _rows(self) -> Iterator[Row]:
        for sink, key, records in self._outputs.take():
            yield Row(sink, key, records)


class DeduplicateAndWindow(ShardFunction):
    """Keyed by the sensor's shard: every reading passes here once and in the order of its partition."""

    _window_keys = ("sensor",)

    def open(self, runtime_context: RuntimeContext) -> None:
        super().open(runtime_context)
        self._reading_counters = ReadingCounters(self._registry, self._rules)
        self._deduplicators: dict[int, Deduplicator] = {}
        self._place_streams = {
            s.name: tuple({w.key for w in s.windows} & {"cell", "region"}) for s in self._rules.streams
        }
        self._place_streams = {name: keys for name, keys in self._place_streams.items() if keys}
        self._place_keys = shard_keys(2 * self._rules.shards, max_parallelism(self._rules.shards))

    def process_element(self, value: bytes, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        self._registry.show()
        readings, invalid = decode_frame(value)
        watermark_ms = ctx.timer_service().current_watermark()
        outputs = self._outputs
        outputs.invalid(invalid)
        deduplicator, windows = self._of(ctx.get_current_key())
        fate = deduplicator.deduplicate(self._store, readings, watermark_ms)
        outputs.deduplicated(readings, fate)
        if readings.probes:
            outputs.probes(readings.probes)
        self._reading_counters.count(readings, invalid, fate)
        self._register(fate.purge_at_ms, ctx)
        self._publish_windowed(windows.add(self._store, readings, fate.unique, watermark_ms), ctx, readings)
        yield from self._place_frames(readings, fate.unique)
        yield from self._rows()

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        deduplicator, windows = self._of(ctx.get_current_key())
        watermark_ms = max(timestamp, ctx.timer_service().current_watermark())
        self._register(deduplicator.expire(self._store, watermark_ms), ctx)
        self._publish_windowed(windows.advance(self._store, watermark_ms), ctx)
        yield from self._rows()

    def _of(self, key: int) -> tuple[Deduplicator, Windows]:
        windows = self._windows.get(key)
        if windows is None:
            windows = self._windows[key] = Windows(self._rules.streams, self._window_keys, self._store)
            self._deduplicators[key] = Deduplicator(self._rules.dedup, self._store)
        return self._deduplicators[key], windows

    def _place_frames(self, readings: Readings, rows: list[int]) -> Iterator[Any]:
        """Regroup readings by the shard of their place; a frame for cells and one for regions never mix."""
        if not self._place_streams:
            return
        shards = [self._place_shards(station) for station in readings.stations]
        members: dict[int, list[int]] = {}
        for row in rows:
            for shard in shards[readings.station[row]]:
                members.setdefault(shard, []).append(row)
        tag = place_frames_tag()
        for shard, rows_of_shard in members.items():
            yield tag, Row(self._place_keys[shard], encode_part(readings, rows_of_shard))

    def _place_shards(self, station: Station) -> list[int]:
        """Cells have even shards and so even keys, regions odd ones."""
        keys = self._place_streams.get(station.stream, ())
        return [shard_of(PLACE_OF[key](station), self._rules.shards) * 2 + (key == "region") for key in keys]


class WindowByPlace(ShardFunction):
    """Keyed by the shard of a cell (an even key) or a region (odd): windows that readings of many sensors share."""

    _window_keys = ("cell", "region")

    def process_element(self, value: bytes, ctx: KeyedProcessFunction.Context) -> Iterator[Row]:
        self._registry.show()
        windows = self._of(ctx.get_current_key())
        watermark_ms = ctx.timer_service().current_watermark()
        readings, _ = decode_frame(value)
        done = windows.add(self._store, readings, range(len(readings)), watermark_ms)
        self._publish_windowed(done, ctx, readings)
        yield from self._rows()

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Row]:
        watermark_ms = max(timestamp, ctx.timer_service().current_watermark())
        self._publish_windowed(self._of(ctx.get_current_key()).advance(self._store, watermark_ms), ctx)
        yield from self._rows()

    def _of(self, key: int) -> Windows:
        windows = self._windows.get(key)
        if windows is None:
            kind: WindowKey = "region" if key % 2 else "cell"
            windows = self._windows[key] = Windows(self._rules.streams, (kind,), self._store)
        return windows
