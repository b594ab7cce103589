"""Windows and the panes they are made of: names, contents, how often they have fired, and how state holds all that."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import msgspec

from udfs.aggregate import Key, Partials, merge

MERGE_AT = 16  # partials of frames, in memory and as chunks of state: more would save little and hold a key that often
_RECENT = 8  # panes of a frame that several definitions may have in common


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


class Contents:
    """The partial aggregates of a pane as they came in, added up now and then, and when somebody asks."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[Partials] = []

    def __contains__(self, key: Key) -> bool:
        return any(key in part.index for part in self.parts)

    def add(self, partials: Partials) -> None:
        self.parts.append(partials)
        if len(self.parts) >= MERGE_AT:
            self.merged()

    def merged(self) -> Partials:
        """All of it, each key once; of contents that are not empty."""
        if len(self.parts) > 1:
            self.parts = [_merge_once(tuple(self.parts))]
        return self.parts[0]

    def only(self, keys: Iterable[Key]) -> list[Partials]:
        """What there is of some keys."""
        found = [part.only(keys) for part in self.parts]
        return [part for part in found if part.names]


@lru_cache(_RECENT)
def _merge_once(parts: tuple[Partials, ...]) -> Partials:
    """Definitions with the same panes hold the very same partials, and add them up one after another."""
    return merge(parts)


class ContentsCodec:
    """A chunk is the encoded partials of one frame, or of many of them added up."""

    def empty(self) -> Contents:
        return Contents()

    def absorb(self, value: Contents, chunk: bytes) -> None:
        value.add(Partials.decode(chunk))

    def dump(self, value: Contents) -> bytes:
        return value.merged().encoded


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
