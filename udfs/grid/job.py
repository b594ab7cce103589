"""All grids of one shard together, with what they publish, count and learn of the sensors' clocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, repeat
from typing import NamedTuple

import msgspec
import numpy as np

from udfs.grid.clock import Clocks
from udfs.grid.fate import Gridded, Run
from udfs.grid.frame import GridReadings, Lane
from udfs.grid.outputs import Outputs
from udfs.grid.rules import GridRule, GridRules
from udfs.grid.series import Origin, Point
from udfs.grid.shard import GridShard
from udfs.shard_log import KeyedStore

ROWS, REVISIONS = "rows", "revisions"  # counted beside the classes of readings

_NO_DELAY = np.iinfo(np.int64).max


class Done(NamedTuple):
    """The timers to be set, and what happened how often."""

    timers_ms: set[int]
    counts: Counter[str]


_minima_decoder = msgspec.msgpack.Decoder(list[tuple[int, int]])


class GridJobShard:
    """One shard; `outputs` takes what it publishes."""

    def __init__(self, rules: GridRules, store: KeyedStore, outputs: Outputs) -> None:
        self._grids = {rule.name: (rule, GridShard(rule, store)) for rule in rules.grids}
        self._outputs = outputs
        self._clocks = Clocks(rules.clock)
        self._bucket_ms = rules.clock.bucket_ms
        self._clock_known: set[str] = set()
        self._corrections = {c.sensor_id: c for c in rules.clock.corrections}

    def add(self, store: KeyedStore, readings: GridReadings, watermark_ms: int) -> Done:
        """Take a frame in."""
        done = Done(set(), Counter())
        by_grid: dict[str, list[Run]] = {}
        for name, run in runs_of_frame(readings):
            by_grid.setdefault(name, []).append(run)
        for name, runs in by_grid.items():
            rule, grid = self._grids[name]
            gridded = grid.add(store, runs, watermark_ms)
            for index in gridded.late:
                self._outputs.late(rule, readings, index, gridded.watermark_ms)
            for index, open_from_ms in gridded.partly_late:
                self._outputs.partly_late(rule, readings, index, open_from_ms, gridded.watermark_ms)
            self._take(rule, gridded, done)
        for grid_name, source, name, count in readings.tallies:
            self._outputs.counted(grid_name, source, {name: count})
            done.counts[name] += count
        self._see_clocks(store, readings)
        return done

    def advance(self, store: KeyedStore, watermark_ms: int) -> Done:
        """Publish and forget what is due at a watermark."""
        done = Done(set(), Counter())
        for rule, grid in self._grids.values():
            self._take(rule, grid.advance(store, watermark_ms), done)
        return done

    def publish_overdue(self, store: KeyedStore, watermark_ms: int) -> Done:
        """Publish unsettled rows of the grids that are not to wait for a watermark that stands still."""
        done = Done(set(), Counter())
        for rule, grid in self._grids.values():
            if rule.stalled_after_ms is not None:
                self._take(rule, grid.publish_overdue(store, watermark_ms), done)
        return done

    @property
    def points(self) -> int:
        """How many readings are kept."""
        return sum(grid.points for _, grid in self._grids.values())

    def _take(self, rule: GridRule, gridded: Gridded, done: Done) -> None:
        for row in gridded.rows:
            self._outputs.row(rule, row)
        done.counts[ROWS] += len(gridded.rows)
        done.counts[REVISIONS] += sum(row.revision > 1 for row in gridded.rows)
        by_source: dict[str, dict[str, int]] = {}
        for (source, name), count in gridded.counts.items():
            if count:
                by_source.setdefault(source, {})[name] = count
                done.counts[name] += count
        for source, counts in by_source.items():
            self._outputs.counted(rule.name, source, counts)
        done.timers_ms.update(gridded.timers_ms)

    def _see_clocks(self, store: KeyedStore, readings: GridReadings) -> None:
        """Publish a sensor's estimate whenever a span of its delays is complete."""
        if not len(readings):
            return
        lane, arrival_ms = np.frombuffer(readings.lane, np.uint32), np.frombuffer(readings.arrival_ms, np.int64)
        event_ms = np.subtract(readings.time_ms, readings.correction_ms)
        starts = arrival_ms - arrival_ms % self._bucket_ms
        for start_ms in np.unique(starts).tolist():
            rows = starts == start_ms
            least = np.full(len(readings.lanes), _NO_DELAY)
            np.minimum.at(least, lane[rows], (arrival_ms - event_ms)[rows])
            for number in np.unique(lane[rows]).tolist():
                if readings.lanes[number].tells_clock:
                    self._see_clock(store, readings.lanes[number], start_ms, int(least[number]))

    def _see_clock(self, store: KeyedStore, lane: Lane, arrival_ms: int, delay_ms: int) -> None:
        sensor_id = lane.sensor_id
        if sensor_id not in self._clock_known:
            self._recall(store, sensor_id)
        if self._clocks.see(sensor_id, arrival_ms, delay_ms) is None:
            return
        store.put(_clock_key(sensor_id), msgspec.msgpack.encode(self._clocks.minima[sensor_id]))
        found = self._clocks.estimate(sensor_id)
        if found is not None:
            correction = self._corrections.get(sensor_id)
            correction_ms = correction.correction_ms(found.at_ms) if correction else 0
            self._outputs.clock(sensor_id, lane.source, found, correction_ms)

    def _recall(self, store: KeyedStore, sensor_id: str) -> None:
        self._clock_known.add(sensor_id)
        data = store.get(_clock_key(sensor_id))
        for span in [] if data is None else _minima_decoder.decode(data):
            self._clocks.keep(sensor_id, span)


def _clock_key(sensor_id: str) -> str:
    return f"clock/{sensor_id}"


def runs_of_frame(readings: GridReadings) -> Iterator[tuple[str, Run]]:
    """The readings of each lane in the order of points, with the name of their grid."""
    lanes, lane = readings.lanes, np.frombuffer(readings.lane, np.uint32)
    # From the last to the first the order of `Point`; within a lane the origin is the same.
    columns = [
        np.frombuffer(column, column.typecode)
        for column in (readings.correction_ms, readings.value, readings.tie, readings.time_ms)
    ]
    order = np.lexsort((*columns, lane))
    correction_ms, value, tie, time_ms = (column[order].tolist() for column in columns)
    counts = np.bincount(lane, minlength=len(lanes)).tolist()
    origins = [Origin(one.sensor_id, one.source, one.feed) for one in lanes]
    origin = chain.from_iterable(map(repeat, origins, counts))
    points = list(map(Point._make, zip(time_ms, origin, tie, value, correction_ms, repeat(True), strict=False)))
    indices, start = order.tolist(), 0
    for one, count in zip(lanes, counts, strict=True):
        end = start + count
        yield one.grid, Run(one.place, one.metrics, points[start:end], indices[start:end])
        start = end
