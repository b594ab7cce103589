"""Event-time windows over frames, with Flink's semantics: assignment, lateness, firing, purging.

The rules are those of Flink's `WindowOperator` with an `EventTimeTrigger`
(https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/dev/datastream/operators/windows/):
a window `[start, end)` fires when the watermark reaches `end - 1`, is purged when it reaches
`end - 1 + allowed lateness`, and a reading is late when all of its windows have been purged. `tests/integration`
runs both on the same scripted elements. Two things differ on purpose: a frame coalesces the firings of its readings
into one per window and key, and a purged window stays purged after a restore, because the watermark is kept.

Readings are aggregated once per pane - the greatest common divisor of a definition's size and slide - and a window is
the sum of its panes when it fires (Li et al., "No pane, no gain", 2005), so a sliding window costs no more per reading
than a tumbling one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from operator import attrgetter, itemgetter
from typing import NamedTuple

import numpy as np

from udfs.aggregate import Aggregate, Integers, Key, Partials, Stations, fold, merge
from udfs.frame import Readings, Station
from udfs.pane import (
    MERGE_AT,
    Contents,
    ContentsCodec,
    Fired,
    Firings,
    FiringsCodec,
    Pane,
    Window,
)
from udfs.rules import StreamRule, WindowDefinition, WindowKey
from udfs.shard_log import NO_WATERMARK, KeyedStore, ShardLog


class Firing(NamedTuple):
    """A window result to publish; `timing` is early, on_time or late (a revision within the allowed lateness).

    `meridian replay-dlq late` publishes rows too: `recomputed`, with `late_readings` that had missed the window.
    """

    window: Window
    aggregate: Aggregate
    timing: str
    revision: int
    late_readings: int = 0


class LateReading(NamedTuple):
    """The frame's row `row` missed all of its windows of a definition, or only the oldest of them."""

    row: int
    definition: str
    missed: tuple[Window, ...]
    watermark_ms: int


class Windowed(NamedTuple):
    """What a frame or a timer did to the windows of a shard; `timers_ms` are event times to be called back at."""

    firings: list[Firing]
    late: list[LateReading]
    partly_late: list[LateReading]
    timers_ms: list[int]


class _Definition(NamedTuple):
    stream: StreamRule
    window: WindowDefinition
    pane_ms: int


PLACE_OF: dict[WindowKey, Callable[[Station], str]] = {
    "sensor": lambda s: s.sensor_id,
    "cell": lambda s: s.cell,
    "region": lambda s: s.region,
}


class Windows:
    """The windows of one shard, for all definitions with one of the given keys.

    Two logs are kept: `window`, the contents of panes; and `fired`, of the windows that have fired and can fire again.
    What is due next is a heap, rebuilt from the panes after a restore.
    """

    def __init__(self, streams: Iterable[StreamRule], keys: Iterable[WindowKey], store: KeyedStore) -> None:
        self._definitions: dict[str, list[_Definition]] = {}
        self._allowed_ms: dict[str, int] = {}
        self._early_ms: dict[tuple[str, str], int] = {}
        wanted = set(keys)
        for stream in streams:
            self._allowed_ms[stream.name] = stream.allowed_lateness_ms
            for window in stream.windows:
                if window.key in wanted:
                    definition = _Definition(stream, window, math.gcd(window.size_ms, window.slide_ms))
                    self._definitions.setdefault(stream.name, []).append(definition)
                if window.early_every_ms:
                    self._early_ms[stream.name, window.name] = window.early_every_ms
        self._panes: ShardLog[Contents] = ShardLog(store, _CONTENTS, "window", chunks=MERGE_AT)
        self._fired: ShardLog[Firings] = ShardLog(store, _FIRINGS, "fired")
        self._open: dict[Window, Pane] = {}  # with one of its panes, which knows the slide
        self._due: list[tuple[int, Window]] = []  # heap of what happens next to each open window
        self._timers_ms: list[int] = []  # not handed over yet
        for name in self._panes.names():
            pane = Pane.parse(name)
            self._open_windows(pane, pane.windows(), self._panes.watermark_ms(NO_WATERMARK))

    def add(self, store: KeyedStore, readings: Readings, rows: Sequence[int], watermark_ms: int) -> Windowed:
        """Put rows of a frame into their windows; those already due fire again at once, as revisions."""
        watermark_ms = self._panes.watermark_ms(watermark_ms)
        result = Windowed([], [], [], self._timers_ms)
        revised: dict[Window, dict[Key, bool]] = {}
        folder = _Folder(readings)
        for stream, of_stream in _by_stream(readings, rows).items():
            for definition in self._definitions.get(stream, ()):
                kept, starts = self._judge(readings, of_stream, definition, watermark_ms, result)
                if len(kept):
                    for start_ms, partials in folder.fold(kept, starts, definition):
                        self._add(store, _pane(definition, start_ms), partials, watermark_ms, revised)
        result.late.sort(key=itemgetter(0))
        result.partly_late.sort(key=itemgetter(0))
        for window, keys in revised.items():
            self._revise(store, window, keys, watermark_ms, result)
        self._panes.keep_watermark(store, watermark_ms)
        self._save(store)
        return result

    def advance(self, store: KeyedStore, time_ms: int) -> Windowed:
        """Fire and purge what is due when the watermark has reached `time_ms`; called when a timer fires."""
        result = Windowed([], [], [], self._timers_ms)
        due: list[Window] = []
        while self._due and self._due[0][0] <= time_ms:
            due.append(heappop(self._due)[1])
        for window in sorted(due, key=attrgetter("end_ms")):  # the last window of a pane takes the pane with it
            keep = self._purge_at_ms(window) > time_ms
            if window.max_timestamp_ms > time_ms:
                self._fire(store, window, "early", result, keep=True)
            elif window.name not in self._fired or not self._fired.value(store, window.name).closed:
                self._fire(store, window, "on_time", result, keep=keep)
            if keep:
                self._schedule(window, time_ms)
            else:
                self._purge(store, window)
        if due:
            self._panes.keep_watermark(store, time_ms)
        self._save(store)
        return result

    def _judge(
        self, readings: Readings, rows: Integers, definition: _Definition, watermark_ms: int, result: Windowed
    ) -> tuple[Integers, Integers]:
        """The rows that still have a window, and the starts of their panes; the others are late."""
        _, window, pane_ms = definition
        times = np.frombuffer(readings.event_time_ms, np.int64)[rows]
        starts = times - (times - window.offset_ms) % pane_ms
        gone: list[int] = []
        for start_ms in np.unique(starts).tolist():
            windows = _pane(definition, start_ms).windows()
            missed = tuple(w for w in windows if self._is_gone(w, watermark_ms))
            if missed:
                self._panes.raise_mark(missed[0].family, missed[0].max_timestamp_ms)  # a restore must not open it
                is_late = len(missed) == len(windows)
                into = result.late if is_late else result.partly_late
                of_pane = rows[starts == start_ms].tolist()
                into.extend(LateReading(row, window.name, missed, watermark_ms) for row in of_pane)
                if is_late:
                    gone.append(start_ms)
        if gone:
            kept = ~np.isin(starts, gone)
            return rows[kept], starts[kept]
        return rows, starts

    def _add(
        self,
        store: KeyedStore,
        pane: Pane,
        partials: Partials,
        watermark_ms: int,
        revised: dict[Window, dict[Key, bool]],
    ) -> None:
        """Add partials to their pane; note which keys of windows that have fired they change."""
        name = pane.name
        windows = [w for w in pane.windows() if not self._is_gone(w, watermark_ms)]
        if name not in self._panes:
            self._open_windows(pane, windows, watermark_ms)
        contents = self._panes.value(store, name)
        for window in windows:
            if window.max_timestamp_ms <= watermark_ms or window.name in self._fired:
                keys = revised.setdefault(window, {})
                for key in partials.names:
                    if key not in keys:
                        keys[key] = any(key in part for part in self._parts(store, window))
        contents.add(partials)
        self._panes.append(store, name, partials.encoded)

    def _revise(
        self, store: KeyedStore, window: Window, keys: dict[Key, bool], watermark_ms: int, result: Windowed
    ) -> None:
        """Publish the keys of a closed window anew; a key that is new to the window begins at its first revision."""
        closed = window.max_timestamp_ms <= watermark_ms
        firings = self._fired.value(store, window.name)
        changes: list[tuple[str, str, int]] = []
        for key, is_known in keys.items():
            change = (0 if is_known else -firings.revision(key)) + closed
            if change:
                changes.append((*key, change))
        fired = Fired(0, changes, closed)
        firings.add(fired)
        if closed:
            changed = merge([part for contents in self._parts(store, window) for part in contents.only(keys)])
            result.firings.extend(_fire(window, changed, "late", firings))
        self._fired.append(store, window.name, _FIRINGS.encode(fired))

    def _fire(self, store: KeyedStore, window: Window, timing: str, result: Windowed, *, keep: bool) -> None:
        contents = merge([contents.merged() for contents in self._parts(store, window)])
        is_known = keep or window.name in self._fired
        firings = self._fired.value(store, window.name) if is_known else Firings()
        firings.whole += 1
        result.firings.extend(_fire(window, contents, timing, firings))
        if keep:
            firings.closed = timing == "on_time"
            self._fired.append(store, window.name, _FIRINGS.encode(Fired(1, [], firings.closed)))

    def _purge(self, store: KeyedStore, window: Window) -> None:
        """Forget a window, and the panes of which it is the last one."""
        self._panes.raise_mark(window.family, window.max_timestamp_ms)
        pane = self._open.pop(window)
        if window.name in self._fired:
            self._fired.drop(store, window.name)
        for start_ms in range(window.start_ms, min(window.start_ms + pane.slide_ms, window.end_ms), pane.length_ms):
            name = pane._replace(start_ms=start_ms).name
            if name in self._panes:
                self._panes.drop(store, name)

    def _parts(self, store: KeyedStore, window: Window) -> Iterator[Contents]:
        """The contents of a window's panes, in the order of time."""
        pane = self._open[window]
        for start_ms in range(window.start_ms, window.end_ms, pane.length_ms):
            name = pane._replace(start_ms=start_ms).name
            if name in self._panes:
                yield self._panes.value(store, name)

    def _open_windows(self, pane: Pane, windows: Iterable[Window], watermark_ms: int) -> None:
        for window in windows:
            is_purged = window.max_timestamp_ms <= self._panes.mark(window.family) and window.name not in self._fired
            if not is_purged and window not in self._open:
                self._open[window] = pane
                self._schedule(window, watermark_ms)

    def _schedule(self, window: Window, time_ms: int) -> None:
        """Note what happens next to a window after `time_ms`: an early firing, its firing or its purge."""
        next_ms = window.max_timestamp_ms
        every_ms = self._early_ms.get((window.stream, window.definition))
        if next_ms <= time_ms:
            next_ms = self._purge_at_ms(window)
        elif every_ms is not None:
            past_ms = max(time_ms, window.start_ms) - window.start_ms
            next_ms = min(next_ms, window.start_ms + (past_ms // every_ms + 1) * every_ms)
        heappush(self._due, (next_ms, window))
        self._timers_ms.append(next_ms)

    def _is_gone(self, window: Window, watermark_ms: int) -> bool:
        # A longer allowed lateness after an upgrade must not reopen, and so overwrite, what was purged before it.
        purged_to_ms = self._panes.mark(window.family)
        return window.max_timestamp_ms <= purged_to_ms or self._purge_at_ms(window) <= watermark_ms

    def _purge_at_ms(self, window: Window) -> int:
        return window.max_timestamp_ms + self._allowed_ms.get(window.stream, 0)

    def _save(self, store: KeyedStore) -> None:
        self._panes.save(store)
        self._fired.save(store)
        self._timers_ms = []


_CONTENTS = ContentsCodec()
_FIRINGS = FiringsCodec()


def _by_stream(readings: Readings, rows: Sequence[int]) -> dict[str, Integers]:
    wanted = np.array(rows, np.int64)
    names = [station.stream for station in readings.stations]
    if len(set(names)) == 1:
        return {names[0]: wanted} if rows else {}
    of_row = np.frombuffer(readings.station, np.uint32)[wanted]
    streams = {name: np.array([n == name for n in names])[of_row] for name in dict.fromkeys(names)}
    return {name: wanted[is_of] for name, is_of in streams.items() if is_of.any()}


class _Folder:
    """Folds rows of one frame; definitions with the same keys and panes share the work."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._stations: dict[WindowKey, Stations] = {}
        self._folded: dict[object, list[tuple[int, Partials]]] = {}

    def fold(self, rows: Integers, starts: Integers, definition: _Definition) -> list[tuple[int, Partials]]:
        """The partials of some rows by the starts of their panes."""
        _, window, pane_ms = definition
        task = (window.key, pane_ms, window.offset_ms % pane_ms, rows.tobytes())
        if task not in self._folded:
            stations = self._stations_by(window.key)
            self._folded[task] = fold(self._readings, rows, starts, stations, by_place=window.key != "sensor")
        return self._folded[task]

    def _stations_by(self, key: WindowKey) -> Stations:
        if key not in self._stations:
            place_of, stations = PLACE_OF[key], self._readings.stations
            named = [(place_of(s), s.metric) for s in stations]
            number = {name: i for i, name in enumerate(dict.fromkeys(named))}
            self._stations[key] = Stations(
                list(number),
                np.fromiter(map(number.__getitem__, named), np.int64, len(named)),
                [s.sensor_id for s in stations],
                np.array([(s.lon_deg, s.lat_deg, s.x, s.y) for s in stations]).T,
            )
        return self._stations[key]


def _fire(window: Window, partials: Partials, timing: str, firings: Firings) -> list[Firing]:
    return [Firing(window, a, timing, firings.revision((a.key, a.metric))) for a in partials.aggregates()]


def _pane(definition: _Definition, start_ms: int) -> Pane:
    stream, window, _ = definition
    return Pane(stream.name, window.name, window.size_ms, window.slide_ms, window.offset_ms, start_ms)
