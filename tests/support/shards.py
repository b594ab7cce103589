"""Shards without an engine: a store in a dict, timers fired as PyFlink does, and a textbook to compare with.

`WindowShard` drives `udfs.window.Windows` through scripted elements and watermarks. `Textbook` is an independent and
slow reading of Flink's `WindowOperator`: it keeps all readings, and judges them one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec

from udfs.deduplicate import Deduplicated, Deduplicator
from udfs.frame import Readings, Station, decode_frame, encode_frame
from udfs.frame import Row as Reading
from udfs.rules import DedupRule, StreamRule, WindowDefinition, WindowKey
from udfs.window import Windowed, Windows

NO_WATERMARK = -(2**63)
END = 2**62  # a watermark after everything

TIMINGS = ("early", "on_time", "late")


class DictStore:
    """`udfs.shard_log.KeyedStore` in memory."""

    def __init__(self, data: dict[str, bytes] | None = None) -> None:
        self.data = {} if data is None else data

    def get(self, key: str) -> bytes | None:
        return self.data.get(key)

    def put(self, key: str, value: bytes) -> None:
        assert isinstance(value, bytes)
        self.data[key] = value

    def remove(self, key: str) -> None:
        self.data.pop(key, None)


def reading(
    time_ms: int,
    sensor: str = "s",
    *,
    event_id: str | None = None,
    value: float = 0.0,
    stream: str = "t",
    metric: str = "m",
    cell: str = "c",
    region: str = "r",
    lon_deg: float = 0.0,
    lat_deg: float = 0.0,
    content: int = 0,
    partition: int = 0,
    offset: int = 0,
    fraction: float = 1.0,
) -> Reading:
    event_id = f"{sensor}@{time_ms}" if event_id is None else event_id
    return Reading(
        station=Station(stream, sensor, metric, region, cell, lon_deg, lat_deg, lon_deg, lat_deg, b"k", b"}"),
        event_id=event_id,
        event_time_ms=time_ms,
        value=value,
        id_digest=int.from_bytes(f"{sensor}/{event_id}".encode()[-8:]),
        content_digest=content,
        partition=partition,
        offset=offset,
        append_time_ms=0,
        raw=b"{}",
        aligned=b"{",
        fraction=fraction,
    )


def stream(*windows: WindowDefinition, lateness_ms: int = 0, name: str = "t") -> StreamRule:
    return StreamRule(name, ("*",), "1", allowed_lateness_ms=lateness_ms, windows=windows)


def tumbling(
    size_ms: int, *, offset_ms: int = 0, key: WindowKey = "sensor", early_ms: int | None = None
) -> WindowDefinition:
    return WindowDefinition(f"w{size_ms}o{offset_ms}{key}", key, size_ms, size_ms, offset_ms, early_ms)


def sliding(
    size_ms: int, slide_ms: int, *, offset_ms: int = 0, key: WindowKey = "sensor", early_ms: int | None = None
) -> WindowDefinition:
    return WindowDefinition(f"w{size_ms}s{slide_ms}o{offset_ms}{key}", key, size_ms, slide_ms, offset_ms, early_ms)


class Row(NamedTuple):
    """What a test compares of a window result; `number` is the count of its readings."""

    number: int
    mean: float
    min: float
    max: float
    first: float
    last: float


WindowOf = tuple[str, int, int, str, str]  # definition, start, end, key, metric


class Result(NamedTuple):
    """One firing, copied when it happened."""

    definition: str
    start_ms: int
    end_ms: int
    key: str
    metric: str
    row: Row
    revision: int
    timing: str

    @property
    def of(self) -> WindowOf:
        return (self.definition, self.start_ms, self.end_ms, self.key, self.metric)


Late = tuple[str, str]  # event id, definition
PartlyLate = tuple[str, str, tuple[int, ...]]  # … and the starts of the missed windows


@dataclass
class WindowShard:
    """One shard of the window operator; what a restart loses is dropped by `restart`."""

    streams: Sequence[StreamRule]
    keys: tuple[WindowKey, ...] = ("sensor", "cell", "region")
    store: DictStore = field(default_factory=DictStore)
    timers_ms: set[int] = field(default_factory=set)
    watermark_ms: int = NO_WATERMARK
    results: list[Result] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)
    partly_late: list[PartlyLate] = field(default_factory=list)
    judged_at_ms: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.windows = Windows(self.streams, self.keys, self.store)

    def add(self, *readings: Reading) -> None:
        """One frame, through its encoding as on the way from the JVM."""
        frame, _ = decode_frame(encode_frame(readings))
        self._take(self.windows.add(self.store, frame, range(len(frame)), self.watermark_ms), frame)

    def advance(self, watermark_ms: int) -> None:
        """A watermark, as PyFlink handles it: rounds of due timers, since new ones reach the JVM after the round."""
        if watermark_ms <= self.watermark_ms:
            return
        self.watermark_ms = watermark_ms
        while due := sorted(t for t in self.timers_ms if t <= watermark_ms):
            self.timers_ms.difference_update(due)
            for _ in due:
                self._take(self.windows.advance(self.store, watermark_ms))

    def restart(self, streams: Sequence[StreamRule] | None = None) -> None:
        """A restore: state and timers remain, what is in memory and the watermark do not."""
        self.streams = self.streams if streams is None else streams
        self.store = DictStore(dict(self.store.data))
        self.watermark_ms = NO_WATERMARK
        self.windows = Windows(self.streams, self.keys, self.store)

    @property
    def final(self) -> dict[WindowOf, Result]:
        """The last result of each window and key."""
        return {result.of: result for result in self.results}

    @property
    def rows(self) -> dict[WindowOf, Row]:
        return {of: result.row for of, result in self.final.items()}

    def _take(self, windowed: Windowed, frame: Readings | None = None) -> None:
        for window, aggregate, timing, revision, _ in windowed.firings:
            row = Row(aggregate.count, aggregate.mean, aggregate.min, aggregate.max, aggregate.first, aggregate.last)
            self.results.append(
                Result(
                    window.definition,
                    window.start_ms,
                    window.end_ms,
                    aggregate.key,
                    aggregate.metric,
                    row,
                    revision,
                    timing,
                )
            )
        for late in windowed.late:
            assert frame is not None
            self.late.append((frame.event_id[late.row], late.definition))
            self.judged_at_ms.append(late.watermark_ms)
        for late in windowed.partly_late:
            assert frame is not None
            starts = tuple(w.start_ms for w in late.missed)
            self.partly_late.append((frame.event_id[late.row], late.definition, starts))
        self.timers_ms.update(windowed.timers_ms)


class Textbook:
    """Flink's `WindowOperator`, one reading after the other, nothing merged and nothing forgotten."""

    def __init__(self, streams: Iterable[StreamRule]) -> None:
        self._streams = {s.name: s for s in streams}
        self._watermark_ms = NO_WATERMARK
        self._kept: dict[WindowOf, list[Reading]] = {}
        self.late: list[Late] = []
        self.partly_late: list[PartlyLate] = []

    def add(self, *readings: Reading) -> None:
        for one in readings:
            rule = self._streams[one.station.stream]
            for definition in rule.windows:
                missed = []
                taken = False
                for start_ms, end_ms in brute_force_windows(one.event_time_ms, definition):
                    if end_ms - 1 + rule.allowed_lateness_ms <= self._watermark_ms:
                        missed.append(start_ms)
                        continue
                    taken = True
                    at = one.station
                    key = {"sensor": at.sensor_id, "cell": at.cell, "region": at.region}[definition.key]
                    self._kept.setdefault((definition.name, start_ms, end_ms, key, at.metric), []).append(one)
                if not taken:
                    self.late.append((one.event_id, definition.name))
                elif missed:
                    self.partly_late.append((one.event_id, definition.name, tuple(missed)))

    def advance(self, watermark_ms: int) -> None:
        self._watermark_ms = max(self._watermark_ms, watermark_ms)

    @property
    def rows(self) -> dict[WindowOf, Row]:
        return {of: fold(readings) for of, readings in self._kept.items()}


def brute_force_windows(time_ms: int, definition: WindowDefinition) -> list[tuple[int, int]]:
    """Every start on the grid that is near enough is tried; the latest first."""
    nearest = (time_ms - definition.offset_ms) // definition.slide_ms
    reach = definition.size_ms // definition.slide_ms + 2
    starts = [definition.offset_ms + n * definition.slide_ms for n in range(nearest + reach, nearest - reach, -1)]
    return [(start, start + definition.size_ms) for start in starts if start <= time_ms < start + definition.size_ms]


def fold(readings: Sequence[Reading]) -> Row:
    values = [r.value for r in readings]
    in_order = sorted(readings, key=lambda r: (r.event_time_ms, r.event_id))
    return Row(
        len(values),
        math.fsum(values) / len(values),
        min(values),
        max(values),
        in_order[0].value,
        in_order[-1].value,
    )


@dataclass
class DedupShard:
    """One shard of the deduplicate stage."""

    rule: DedupRule
    store: DictStore = field(default_factory=DictStore)
    timers_ms: set[int] = field(default_factory=set)
    watermark_ms: int = NO_WATERMARK
    unique: list[tuple[int, bool]] = field(default_factory=list)  # offset, beyond the horizon
    duplicates: list[tuple[int, int]] = field(default_factory=list)  # offset, the offset it repeats
    conflicts: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deduplicator = Deduplicator(self.rule, self.store)

    def add(self, *readings: Reading) -> Deduplicated:
        frame, _ = decode_frame(encode_frame(readings))
        done = self.deduplicator.deduplicate(self.store, frame, self.watermark_ms)
        self.unique += [(frame.offset[row], row in done.beyond_horizon) for row in done.unique]
        self.duplicates += [(frame.offset[d.row], d.first_offset) for d in done.duplicates]
        self.conflicts += [(frame.offset[d.row], d.first_offset) for d in done.conflicts]
        self.timers_ms.update(done.purge_at_ms)
        return done

    def advance(self, watermark_ms: int) -> None:
        if watermark_ms <= self.watermark_ms:
            return
        self.watermark_ms = watermark_ms
        while due := sorted(t for t in self.timers_ms if t <= watermark_ms):
            self.timers_ms.difference_update(due)
            for _ in due:
                self.timers_ms.update(self.deduplicator.expire(self.store, watermark_ms))

    def restart(self, rule: DedupRule | None = None) -> None:
        self.rule = self.rule if rule is None else rule
        self.store = DictStore(dict(self.store.data))
        self.watermark_ms = NO_WATERMARK
        self.deduplicator = Deduplicator(self.rule, self.store)

    @property
    def fate(self) -> tuple[list[tuple[int, bool]], list[tuple[int, int]], list[tuple[int, int]]]:
        return (self.unique, self.duplicates, self.conflicts)


def with_lateness(streams: Iterable[StreamRule], lateness_ms: int) -> list[StreamRule]:
    return [replace(s, allowed_lateness_ms=lateness_ms) for s in streams]


def index_of(store: DictStore, kind: str) -> list[object]:
    """The index as plain lists, to look at and to rewrite."""
    decoded: list[object] = msgspec.msgpack.decode(store.data[f"{kind}/index"])
    return decoded
