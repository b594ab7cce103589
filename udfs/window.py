"""Event-time windows over frames, with Flink's semantics: assignment, lateness, firing, purging.

The rules are those of Flink's `WindowOperator` with an `EventTimeTrigger`
(https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/dev/datastream/operators/windows/):
a window `[start, end)` fires when the watermark reaches `end - 1`, is purged when it reaches
`end - 1 + allowed lateness`, and a reading is late when all of its windows have been purged. `tests/integration`
runs both on the same scripted elements. Two things differ on purpose: a frame coalesces the firings of its readings
into one per window and key, and a purged window stays purged after a restore, because the watermark is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from udfs.aggregate import Aggregate
from udfs.frame import Accepted
from udfs.rules import StreamRule, WindowDefinition, WindowKey
from udfs.shard_log import KeyedStore, ShardLog

_FIRED = 1

Contents = dict[tuple[str, str], Aggregate]  # (key, metric) -> aggregate


class Window(NamedTuple):
    """One window of one definition; its name is its identity in state and never changes with the configuration."""

    stream: str
    definition: str
    start_ms: int
    end_ms: int

    @property
    def max_timestamp_ms(self) -> int:
        return self.end_ms - 1

    @property
    def name(self) -> str:
        return f"{self.stream}/{self.definition}/{self.start_ms}/{self.end_ms}"

    @property
    def family(self) -> str:
        """All windows of one size of one definition: the scope of a purge horizon."""
        return f"{self.stream}/{self.definition}/{self.end_ms - self.start_ms}"

    @classmethod
    def parse(cls, name: str) -> Window:
        stream, definition, start_ms, end_ms = name.rsplit("/", 3)
        return cls(stream, definition, int(start_ms), int(end_ms))


class Firing(NamedTuple):
    """A window result to publish; `timing` is early, on_time or late (a revision within the allowed lateness)."""

    window: Window
    aggregate: Aggregate
    timing: str


class LateReading(NamedTuple):
    """A reading that missed all of its windows of a definition, or only the oldest of them."""

    reading: Accepted
    definition: str
    missed: tuple[Window, ...]
    watermark_ms: int


class Windowed(NamedTuple):
    """What a frame or a timer did to the windows of a shard; `timers_ms` are event times to be called back at."""

    firings: list[Firing]
    late: list[LateReading]
    partly_late: list[LateReading]
    timers_ms: list[int]


def windows_of(time_ms: int, size_ms: int, slide_ms: int, offset_ms: int = 0) -> list[tuple[int, int]]:
    """All windows `[start, end)` that hold an event time, the latest first.

    Parameters
    ----------
    time_ms : epoch milliseconds, may be negative.
    slide_ms : equals `size_ms` for tumbling windows.

    Source: `SlidingEventTimeWindows.assignWindows` and `TimeWindow.getWindowStartWithOffset` of Flink.
    """
    last_start = time_ms - (time_ms - offset_ms) % slide_ms
    return [(start, start + size_ms) for start in range(last_start, time_ms - size_ms, -slide_ms)]


class ContentsCodec:
    """Chunks are MessagePack lists of partial aggregates."""

    _encoder = msgspec.msgpack.Encoder()
    _decoder = msgspec.msgpack.Decoder(list[Aggregate])

    def empty(self) -> Contents:
        return {}

    def absorb(self, value: Contents, chunk: bytes) -> None:
        for partial in self._decoder.decode(chunk):
            merge_into(value, partial)

    def dump(self, value: Contents) -> bytes:
        return self._encoder.encode(list(value.values()))

    def encode(self, partials: Iterable[Aggregate]) -> bytes:
        return self._encoder.encode(list(partials))


def merge_into(contents: Contents, partial: Aggregate) -> Aggregate:
    key = (partial.key, partial.metric)
    whole = contents.get(key)
    if whole is None:
        whole = contents[key] = partial.copy()
    else:
        whole.merge(partial)
    return whole


class _Pane(NamedTuple):
    """Readings of one definition that share all of their windows: the open ones and those already purged."""

    open: list[Window]
    missed: tuple[Window, ...]
    partials: Contents


class _Definition(NamedTuple):
    stream: StreamRule
    window: WindowDefinition
    pane_ms: int


_KEY_OF: dict[WindowKey, Callable[[Accepted], str]] = {
    "sensor": lambda r: r.sensor_id,
    "cell": lambda r: r.cell,
    "region": lambda r: r.region,
}


class Windows:
    """The windows of one shard, for all definitions with one of the given keys."""

    _codec = ContentsCodec()

    def __init__(self, streams: Iterable[StreamRule], keys: Iterable[WindowKey], store: KeyedStore) -> None:
        self._by_stream: dict[str, list[_Definition]] = {}
        self._allowed_ms: dict[str, int] = {}
        self._early_ms: dict[tuple[str, str], int] = {}
        wanted = set(keys)
        for stream in streams:
            self._allowed_ms[stream.name] = stream.allowed_lateness_ms
            self._by_stream[stream.name] = [
                _Definition(stream, window, math.gcd(window.size_ms, window.slide_ms))
                for window in stream.windows
                if window.key in wanted
            ]
            for window in stream.windows:
                if window.early_every_ms:
                    self._early_ms[stream.name, window.name] = window.early_every_ms
        self._log: ShardLog[Contents] = ShardLog(store, self._codec, "window")

    def add(self, store: KeyedStore, readings: Iterable[Accepted], watermark_ms: int) -> Windowed:
        """Put readings into their windows; those already due fire again at once, as revisions."""
        watermark_ms = self._log.watermark_ms(watermark_ms)
        result = Windowed([], [], [], [])
        panes: dict[tuple[str, str, int], _Pane] = {}
        for reading in readings:
            for definition in self._by_stream.get(reading.stream, ()):
                self._assign(reading, definition, panes, watermark_ms, result)
        chunks: dict[Window, list[Aggregate]] = {}
        for pane in panes.values():
            for window in pane.open:
                chunks.setdefault(window, []).extend(pane.partials.values())
        for window, partials in chunks.items():
            self._store(store, window, partials, watermark_ms, result)
        if chunks:
            self._log.keep_watermark(watermark_ms)
            self._log.save_index(store)
        return result

    def advance(self, store: KeyedStore, time_ms: int) -> Windowed:
        """Fire and purge what is due when the watermark has reached `time_ms` (an event-time timer)."""
        result = Windowed([], [], [], [])
        changed = False
        for name in self._log.names():
            window = Window.parse(name)
            purge_at_ms = self._purge_at_ms(window)
            entry = self._log.entry(name)
            if window.max_timestamp_ms <= time_ms:
                if not entry.note & _FIRED:
                    entry.note |= _FIRED
                    self._fire_all(store, window, "on_time", result, keep=purge_at_ms > time_ms)
                    changed = True
                if purge_at_ms <= time_ms:
                    self._log.drop(store, name)
                    self._log.raise_mark(window.family, window.max_timestamp_ms)
                    changed = True
                else:
                    result.timers_ms.append(purge_at_ms)
            elif not entry.note & _FIRED and self._is_early_firing(window, time_ms):
                self._fire_all(store, window, "early", result, keep=True)
                result.timers_ms.extend(self._next_early_ms(window, time_ms))
                changed = True
        if changed:
            self._log.keep_watermark(time_ms)
            self._log.save_index(store)
        return result

    def _assign(
        self,
        reading: Accepted,
        definition: _Definition,
        panes: dict[tuple[str, str, int], _Pane],
        watermark_ms: int,
        result: Windowed,
    ) -> None:
        stream, window, pane_ms = definition
        time_ms = reading.event_time_ms
        pane_key = (stream.name, window.name, (time_ms - window.offset_ms) // pane_ms)
        pane = panes.get(pane_key)
        if pane is None:
            pane = panes[pane_key] = self._open_pane(stream, window, time_ms, watermark_ms)
        if pane.missed:
            late = LateReading(reading, window.name, pane.missed, watermark_ms)
            if not pane.open:
                result.late.append(late)
                return
            result.partly_late.append(late)
        key = _KEY_OF[window.key](reading)
        partial = Aggregate.of(key, reading, [] if window.key == "sensor" else [reading.sensor_id])
        whole = pane.partials.get((key, reading.metric))
        if whole is None:
            pane.partials[key, reading.metric] = partial
        else:
            whole.merge(partial)

    def _open_pane(self, stream: StreamRule, window: WindowDefinition, time_ms: int, watermark_ms: int) -> _Pane:
        opened: list[Window] = []
        missed: list[Window] = []
        for start_ms, end_ms in windows_of(time_ms, window.size_ms, window.slide_ms, window.offset_ms):
            candidate = Window(stream.name, window.name, start_ms, end_ms)
            gone = self._purge_at_ms(candidate) <= watermark_ms
            # A longer allowed lateness after an upgrade must not reopen, and so overwrite, what was purged before it.
            gone = gone or candidate.max_timestamp_ms <= self._log.mark(candidate.family)
            (missed if gone else opened).append(candidate)
        return _Pane(opened, tuple(missed), {})

    def _store(
        self, store: KeyedStore, window: Window, partials: list[Aggregate], watermark_ms: int, result: Windowed
    ) -> None:
        log, name = self._log, window.name
        is_new = name not in log
        contents = log.value(store, name)
        touched = {(p.key, p.metric): merge_into(contents, p) for p in partials}
        if window.max_timestamp_ms <= watermark_ms:
            log.entry(name).note |= _FIRED
            partials = [p.copy() for p in partials]  # the windows of a pane share its partials
            for whole in touched.values():
                whole.revision += 1
                result.firings.append(Firing(window, whole, "late"))
            for partial in partials:
                partial.revision = touched[partial.key, partial.metric].revision
        elif is_new:
            result.timers_ms.append(window.max_timestamp_ms)
            result.timers_ms.extend(self._next_early_ms(window, max(watermark_ms, window.start_ms)))
        if is_new:
            result.timers_ms.append(self._purge_at_ms(window))
        log.append(store, name, self._codec.encode(partials))

    def _fire_all(self, store: KeyedStore, window: Window, timing: str, result: Windowed, *, keep: bool) -> None:
        for aggregate in self._log.value(store, window.name).values():
            aggregate.revision += 1
            result.firings.append(Firing(window, aggregate, timing))
        if keep:
            self._log.rewrite(store, window.name)

    def _purge_at_ms(self, window: Window) -> int:
        return window.max_timestamp_ms + self._allowed_ms.get(window.stream, 0)

    def _is_early_firing(self, window: Window, time_ms: int) -> bool:
        every_ms = self._early_ms.get((window.stream, window.definition))
        return every_ms is not None and time_ms > window.start_ms and (time_ms - window.start_ms) % every_ms == 0

    def _next_early_ms(self, window: Window, after_ms: int) -> list[int]:
        every_ms = self._early_ms.get((window.stream, window.definition))
        if every_ms is None:
            return []
        next_ms = window.start_ms + ((after_ms - window.start_ms) // every_ms + 1) * every_ms
        return [next_ms] if next_ms < window.max_timestamp_ms else []
