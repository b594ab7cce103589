"""A cache of bounded memory whose hits cost no more than those of a dict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Two generations of entries; the older one goes when the recent one is full, less what was looked up since.

    An ordered dict would make each hit a write. Here only the first hit after a change of generation is one.

    Parameters
    ----------
    limit_bytes
        Of one generation, by `weigh`; twice as much can be held. 0 remembers nothing.
    weigh
        Bytes of an entry, roughly.
    """

    def __init__(self, limit_bytes: int, weigh: Callable[[K, V], int]) -> None:
        self._limit = limit_bytes
        self._weigh = weigh
        self._weight = 0
        self.recent: dict[K, V] = {}  # always the same object, so that a loop may keep its `get`
        self._older: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self.recent) + len(self._older)

    def find(self, key: K) -> V | None:
        """Look a key up in both generations; a caller in a hurry looks in `recent` first."""
        value = self.recent.get(key)
        if value is None:
            value = self._older.pop(key, None)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Remember a value, which is not None; one that replaces another is taken to weigh the same."""
        if key in self.recent:
            self.recent[key] = value
            return
        weight = self._weigh(key, value)
        if weight > self._limit:
            return
        if self._weight + weight > self._limit:
            self._older = self.recent.copy()
            self.recent.clear()
            self._weight = 0
        self._older.pop(key, None)
        self.recent[key] = value
        self._weight += weight
