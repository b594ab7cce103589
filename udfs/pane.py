"""Windows and the panes they are made of: names, contents, how often they have fired, and how state holds all that."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from udfs.aggregate import Aggregate

Key = tuple[str, str]  # (sensor, cell or region; metric)
Contents = dict[Key, Aggregate]


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


class Pane(NamedTuple):
    """The smallest part of a definition's windows; its name is its identity in state and says all about its windows."""

    stream: str
    definition: str
    size_ms: int
    slide_ms: int
    offset_ms: int
    start_ms: int

    @property
    def length_ms(self) -> int:
        return math.gcd(self.size_ms, self.slide_ms)

    @property
    def name(self) -> str:
        return "/".join(map(str, self))

    @classmethod
    def parse(cls, name: str) -> Pane:
        stream, definition, *numbers = name.rsplit("/", 5)
        return cls(stream, definition, *map(int, numbers))

    def windows(self) -> list[Window]:
        """All windows that hold this pane, the latest first."""
        spans = windows_of(self.start_ms, self.size_ms, self.slide_ms, self.offset_ms)
        return [Window(self.stream, self.definition, start_ms, end_ms) for start_ms, end_ms in spans]


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
        merge_into(value, self._decoder.decode(chunk))

    def dump(self, value: Contents) -> bytes:
        return self.encode(value.values())

    def encode(self, partials: Iterable[Aggregate]) -> bytes:
        return self._encoder.encode(list(partials))


def merge_into(contents: Contents, partials: Iterable[Aggregate]) -> None:
    """Add partial aggregates, which the contents may keep as their own."""
    for partial in partials:
        key = (partial.key, partial.metric)
        whole = contents.get(key)
        if whole is None:
            contents[key] = partial
        else:
            whole.merge(partial)


class Fired(msgspec.Struct, array_like=True):
    """How often a window has fired as a whole, what single keys differ by, and whether the watermark has passed it."""

    whole: int
    keys: list[tuple[str, str, int]]
    closed: bool


class Firings:
    """The sum of a window's `Fired` chunks."""

    def __init__(self) -> None:
        self.whole = 0
        self.keys: dict[Key, int] = {}
        self.closed = False

    def revision(self, key: Key) -> int:
        return self.whole + self.keys.get(key, 0)

    def add(self, fired: Fired) -> None:
        self.whole += fired.whole
        for name, metric, count in fired.keys:
            self.keys[name, metric] = self.keys.get((name, metric), 0) + count
        self.closed |= fired.closed


class FiringsCodec:
    """Chunks are differences, to be added up."""

    _encoder = msgspec.msgpack.Encoder()
    _decoder = msgspec.msgpack.Decoder(Fired)

    def empty(self) -> Firings:
        return Firings()

    def absorb(self, value: Firings, chunk: bytes) -> None:
        value.add(self._decoder.decode(chunk))

    def dump(self, value: Firings) -> bytes:
        return self.encode(Fired(value.whole, [(*key, n) for key, n in value.keys.items()], value.closed))

    def encode(self, fired: Fired) -> bytes:
        return self._encoder.encode(fired)
