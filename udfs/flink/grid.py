"""The two functions of the grid job that the engine calls: gather (vectorised) and grid (keyed by shard of places)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from pyflink.common import Row
from pyflink.datastream import KeyedProcessFunction, RuntimeContext, TimeDomain
from pyflink.table import DataTypes
from pyflink.table.udf import ScalarFunction, udf

from udfs.flink.counters import Registry
from udfs.flink.worker import tune_worker
from udfs.flink.worker_store import open_worker_store
from udfs.grid.fate import GRIDDED, LATE, MERGED
from udfs.grid.frame import unpack
from udfs.grid.gather import OUTSIDE, Gatherer
from udfs.grid.job import REVISIONS, ROWS, Done, GridJobShard
from udfs.grid.outputs import Outputs
from udfs.grid.rules import GridRules, SourceRule

_SHARD_BYTES = 4
COUNTERS = (GRIDDED, MERGED, LATE, *OUTSIDE, ROWS, REVISIONS)


class GatherBatch(ScalarFunction):
    """Columns: value, partition, offset, append time (epoch ms).

    The first row of the result carries all frames, each behind its shard (uint32), the others are null: a reading may
    go to several grids, so there may be more frames than rows. They are unnested in the JVM.
    """

    def __init__(self, rules: GridRules, source: SourceRule) -> None:
        self._rules = rules
        self._source = source
        self._gatherer: Gatherer | None = None

    def open(self, function_context: Any) -> None:
        self._gatherer = Gatherer(self._rules, self._source)
        tune_worker()

    def eval(self, batch: pd.DataFrame) -> pd.DataFrame:
        assert self._gatherer is not None
        frames = self._gatherer.gather(*(column.tolist() for _, column in batch.items()))
        column = np.full(len(batch), None, dtype=object)
        if frames:
            column[0] = [shard.to_bytes(_SHARD_BYTES, "little") + frame for shard, frame in frames]
        return pd.DataFrame({"frames": column})


def gather_udf(rules: GridRules, source: SourceRule) -> Any:
    frames = DataTypes.ROW([DataTypes.FIELD("frames", DataTypes.ARRAY(DataTypes.BYTES()))])
    return udf(GatherBatch(rules, source), result_type=frames, func_type="pandas")


def shard_of_frame(row: Row) -> int:
    return int.from_bytes(row[0][:_SHARD_BYTES], "little")


class Grid(KeyedProcessFunction):
    """Keyed by the shard of a place: all readings of a place meet here."""

    def __init__(self, rules: GridRules) -> None:
        self._rules = rules

    def open(self, runtime_context: RuntimeContext) -> None:
        self._store = open_worker_store(runtime_context)
        self._shards: dict[int, GridJobShard] = {}
        self._outputs = Outputs(self._rules)
        registry = Registry(runtime_context.get_metrics_group())
        self._counters = {name: registry.counter(name) for name in COUNTERS}
        limits = [grid.stalled_after_ms for grid in self._rules.grids if grid.stalled_after_ms is not None]
        self._stalled_after_ms = min(limits, default=None)
        self._watermark_then: dict[int, int] = {}  # by shard, at the last look at a wall clock

    def process_element(self, value: Row, ctx: KeyedProcessFunction.Context) -> Iterator[Row]:
        shard, watermark_ms = ctx.get_current_key(), ctx.timer_service().current_watermark()
        yield from self._publish(self._of(shard).add(self._store, unpack(value[0][_SHARD_BYTES:]), watermark_ms), ctx)
        if shard not in self._watermark_then:
            self._look_again(shard, ctx)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Row]:
        shard, watermark_ms = ctx.get_current_key(), ctx.timer_service().current_watermark()
        of_shard = self._of(shard)
        if ctx.time_domain() == TimeDomain.EVENT_TIME:
            yield from self._publish(of_shard.advance(self._store, max(timestamp, watermark_ms)), ctx)
            return
        if self._watermark_then.pop(shard, None) == watermark_ms:
            yield from self._publish(of_shard.publish_overdue(self._store, watermark_ms), ctx)
        if of_shard.points:
            self._look_again(shard, ctx)

    def _of(self, shard: int) -> GridJobShard:
        if shard not in self._shards:
            self._shards[shard] = GridJobShard(self._rules, self._store, self._outputs)
        return self._shards[shard]

    def _look_again(self, shard: int, ctx: Any) -> None:
        """See after a while of wall-clock time whether the watermark has moved, where a grid asks for that."""
        if self._stalled_after_ms is not None:
            timers = ctx.timer_service()
            self._watermark_then[shard] = timers.current_watermark()
            timers.register_processing_time_timer(timers.current_processing_time() + self._stalled_after_ms)

    def _publish(self, done: Done, ctx: Any) -> Iterator[Row]:
        for timer_ms in done.timers_ms:
            ctx.timer_service().register_event_time_timer(timer_ms)
        for name, count in done.counts.items():
            self._counters[name].inc(count)
        for sink, key, records in self._outputs.take():
            yield Row(sink, key, records)
