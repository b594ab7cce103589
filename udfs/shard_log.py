"""Keyed state of a shard as append-only chunks under named entries, with a materialised copy in memory.

Rewriting a growing value (a set of ids, the aggregates of a window) at the end of every bundle cost more than all
other work (ARCHITECTURE.md, "Frames"). So each frame appends one small chunk to each entry that it touches, writes are
never read back on the hot path, and the entry is rebuilt from its chunks only after a restore or when it had left
the cache.

    index          -> Index: the entries' names, chunk counts and notes, and the watermark kept with them
    <name>#<n>     -> the n-th chunk of an entry
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

import msgspec

INDEX_VERSION = 1
NO_WATERMARK = -(2**63)
_COMPACT_AT = 48  # chunks of one entry; then they are written again as one

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


class Entry(msgspec.Struct, array_like=True):
    """An entry's persistent part; fields may be appended (with defaults), never reordered."""

    chunks: int = 0
    note: int = 0  # a few bits for the owner of the log (windows: fired or not)


class Index(msgspec.Struct, array_like=True):
    """The shard's table of contents; `kept_watermark_ms` survives a restore, unlike Flink's watermark."""

    version: int = INDEX_VERSION
    kept_watermark_ms: int = NO_WATERMARK
    entries: dict[str, Entry] = {}
    marks: dict[str, int] = {}  # high-water marks of the log's owner


class _Version(msgspec.Struct, array_like=True):
    """The first field of any index, readable whatever a newer version made of the others."""

    version: int


_encoder = msgspec.msgpack.Encoder()
_index_decoder = msgspec.msgpack.Decoder(Index)
_version_decoder = msgspec.msgpack.Decoder(_Version)


class IncompatibleState(RuntimeError):  # noqa: N818
    """State written by a newer version of the job."""


class ShardLog(Generic[T]):
    """One shard's entries; the caller passes the store of the shard that is the current key."""

    def __init__(self, store: KeyedStore, codec: Codec[T], kind: str) -> None:
        self._codec = codec
        self._kind = kind
        self._warm: dict[str, T] = {}
        data = store.get(f"{kind}/index")
        self._index = Index(entries={}, marks={}) if data is None else _read_index(data, kind)

    def __contains__(self, name: str) -> bool:
        return name in self._index.entries

    def names(self) -> Iterator[str]:
        return iter(list(self._index.entries))

    def entry(self, name: str) -> Entry:
        return self._index.entries[name]

    def watermark_ms(self, current_ms: int) -> int:
        """The larger of the current watermark and the kept one: after a restore the current one starts again."""
        kept = self._index.kept_watermark_ms
        return current_ms if current_ms > kept else kept

    def keep_watermark(self, watermark_ms: int) -> None:
        if watermark_ms > self._index.kept_watermark_ms:
            self._index.kept_watermark_ms = watermark_ms

    def mark(self, name: str) -> int:
        return self._index.marks.get(name, NO_WATERMARK)

    def raise_mark(self, name: str, value: int) -> None:
        if value > self.mark(name):
            self._index.marks[name] = value

    def value(self, store: KeyedStore, name: str) -> T:
        """The entry's value, rebuilt from its chunks when it is not in memory; a new entry starts empty."""
        value = self._warm.get(name)
        if value is None:
            value = self._codec.empty()
            entry = self._index.entries.get(name)
            if entry is None:
                self._index.entries[name] = Entry()
            else:
                for number in range(entry.chunks):
                    chunk = store.get(f"{self._kind}/{name}#{number}")
                    if chunk is None:
                        raise IncompatibleState(f"state {self._kind!r} lost chunk {number} of {name!r}")
                    self._codec.absorb(value, chunk)
            self._warm[name] = value
        return value

    def append(self, store: KeyedStore, name: str, chunk: bytes) -> None:
        """Write one more chunk of an entry whose value in memory already holds it."""
        entry = self._index.entries[name]
        if entry.chunks >= _COMPACT_AT:
            self.rewrite(store, name)
            return
        store.put(f"{self._kind}/{name}#{entry.chunks}", chunk)
        entry.chunks += 1

    def rewrite(self, store: KeyedStore, name: str) -> None:
        """Write the whole value as one chunk."""
        entry = self._index.entries[name]
        chunk = self._codec.dump(self.value(store, name))
        for number in range(1, entry.chunks):
            store.remove(f"{self._kind}/{name}#{number}")
        store.put(f"{self._kind}/{name}#0", chunk)
        entry.chunks = 1

    def drop(self, store: KeyedStore, name: str) -> None:
        entry = self._index.entries.pop(name)
        self._warm.pop(name, None)
        for number in range(entry.chunks):
            store.remove(f"{self._kind}/{name}#{number}")

    def cool(self, name: str) -> None:
        """Forget the copy in memory; every change is already in the store."""
        self._warm.pop(name, None)

    def warm_names(self) -> list[str]:
        return list(self._warm)

    def save_index(self, store: KeyedStore) -> None:
        store.put(f"{self._kind}/index", _encoder.encode(self._index))


def _read_index(data: bytes, kind: str) -> Index:
    version = _version_decoder.decode(data).version
    if version > INDEX_VERSION:
        raise IncompatibleState(f"state {kind!r} has version {version}; this job reads up to {INDEX_VERSION}")
    index = _index_decoder.decode(data)
    index.version = INDEX_VERSION  # what is written from now on
    return index
