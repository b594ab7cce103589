"""Keyed state of a shard as append-only chunks under named entries, with a materialised copy in memory.

Rewriting a growing value (a set of ids, the aggregates of a window) at the end of every bundle cost more than all
other work (ARCHITECTURE.md, "Frames"). So each frame appends one small chunk to each entry that it touches, writes are
never read back on the hot path, and the entry is rebuilt from its chunks only after a restore or when it had left
the cache. The index is written only when an entry comes or goes.

    index          -> Index: the entries' names and the owner's marks
    watermark      -> the largest watermark kept, 8 bytes
    <name>#<n>     -> the n-th chunk of an entry, counted from 0 without gaps
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import msgspec

INDEX_VERSION = 3
NO_WATERMARK = -(2**63)

T = TypeVar("T")


class KeyedStore(Protocol):
    """What a `MapState<String, bytes>` of the current key offers."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, value: bytes) -> None: ...

    def remove(self, key: str) -> None: ...


class Codec(Protocol[T]):
    """How an entry is rebuilt from its chunks and written as one."""

    def empty(self) -> T: ...

    def absorb(self, value: T, chunk: bytes) -> None: ...

    def dump(self, value: T) -> bytes: ...


class Index(msgspec.Struct, array_like=True):
    """The shard's table of contents; fields may be appended (with defaults), never reordered."""

    version: int = INDEX_VERSION
    names: list[str] = []
    marks: dict[str, int] = {}  # high-water marks of the log's owner


class _Version(msgspec.Struct, array_like=True):
    """The first field of any index, readable whatever a newer version made of the others."""

    version: int


_encoder = msgspec.msgpack.Encoder()
_index_decoder = msgspec.msgpack.Decoder(Index)
_version_decoder = msgspec.msgpack.Decoder(_Version)


class IncompatibleState(RuntimeError):  # noqa: N818
    """State written by another version of the job that this one cannot read."""


class ShardLog(Generic[T]):
    """One shard's entries; the caller passes the store of the shard that is the current key.

    Parameters
    ----------
    chunks
        How many chunks an entry may have; then they are written again as one.
    growth
        By what that is multiplied each time: 2 where entries grow with every chunk, so that what is written again
        stays in proportion to what is new.
    """

    def __init__(self, store: KeyedStore, codec: Codec[T], kind: str, *, chunks: int = 48, growth: int = 1) -> None:
        self._codec = codec
        self._first_limit, self._growth = chunks, growth
        self._limits: dict[str, int] = {}
        self._kind = kind
        self._warm: dict[str, T] = {}
        self._changed = False
        data = store.get(f"{kind}/index")
        index = Index(names=[], marks={}) if data is None else _read_index(data, kind)
        self._chunks: dict[str, int | None] = dict.fromkeys(index.names)  # None: not counted since the restore
        self._marks = index.marks
        watermark = store.get(f"{kind}/watermark")
        self._watermark_ms = NO_WATERMARK if watermark is None else int.from_bytes(watermark, "little", signed=True)

    def __contains__(self, name: str) -> bool:
        return name in self._chunks

    def names(self) -> list[str]:
        return list(self._chunks)

    def watermark_ms(self, current_ms: int) -> int:
        """The larger of the current watermark and the kept one: after a restore the current one starts again."""
        return max(current_ms, self._watermark_ms)

    def keep_watermark(self, store: KeyedStore, watermark_ms: int) -> None:
        if watermark_ms > self._watermark_ms:
            self._watermark_ms = watermark_ms
            store.put(f"{self._kind}/watermark", watermark_ms.to_bytes(8, "little", signed=True))

    def mark(self, name: str) -> int:
        return self._marks.get(name, NO_WATERMARK)

    def raise_mark(self, name: str, value: int) -> None:
        if value > self.mark(name):
            self._marks[name] = value
            self._changed = True

    def value(self, store: KeyedStore, name: str) -> T:
        """The entry's value, rebuilt from its chunks when it is not in memory; a new entry starts empty."""
        value = self._warm.get(name)
        if value is None:
            value = self._warm[name] = self._codec.empty()
            if name not in self._chunks:
                self._chunks[name] = 0
                self._changed = True
            else:
                count = 0
                while (chunk := store.get(self._key(name, count))) is not None:
                    self._codec.absorb(value, chunk)
                    count += 1
                self._chunks[name] = count
        return value

    def append(self, store: KeyedStore, name: str, chunk: bytes) -> None:
        """Write one more chunk of an entry whose value in memory (see `value`) already holds it."""
        count = self._count(store, name)
        limit = self._limits.get(name, self._first_limit)
        if count >= limit:
            self._limits[name] = limit * self._growth
            chunk = self._codec.dump(self.value(store, name))
            for number in range(1, count):
                store.remove(self._key(name, number))
            count = 0
        store.put(self._key(name, count), chunk)
        self._chunks[name] = count + 1

    def drop(self, store: KeyedStore, name: str) -> None:
        for number in range(self._count(store, name)):
            store.remove(self._key(name, number))
        del self._chunks[name]
        self._limits.pop(name, None)
        self._warm.pop(name, None)
        self._changed = True

    def cool(self, name: str) -> None:
        """Forget the copy in memory; every change is already in the store."""
        self._warm.pop(name, None)

    @property
    def warm(self) -> dict[str, T]:
        """What is in memory, the longest unused first where the owner calls `touch`."""
        return self._warm

    def touch(self, name: str) -> None:
        self._warm[name] = self._warm.pop(name)

    def save(self, store: KeyedStore) -> None:
        """Write the index where it has changed; call it before the current key changes."""
        if self._changed:
            store.put(f"{self._kind}/index", _encoder.encode(Index(INDEX_VERSION, list(self._chunks), self._marks)))
            self._changed = False

    def _count(self, store: KeyedStore, name: str) -> int:
        count = self._chunks[name]
        if count is None:
            count = 0
            while store.get(self._key(name, count)) is not None:
                count += 1
        return count

    def _key(self, name: str, number: int) -> str:
        return f"{self._kind}/{name}#{number}"


def _read_index(data: bytes, kind: str) -> Index:
    version = _version_decoder.decode(data).version
    if version != INDEX_VERSION:
        raise IncompatibleState(f"state {kind!r} has version {version}; this job reads {INDEX_VERSION}")
    return _index_decoder.decode(data)
