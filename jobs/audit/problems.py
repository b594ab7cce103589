"""Examples of what is wrong, in words: a few of each kind, since a broken run has millions."""

from __future__ import annotations

from collections.abc import Callable

MOST = 20
_MOST_OF_A_KIND = 5


class Problems:
    """Collects up to `MOST` lines, and at most a few from one check."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, kind: str, count: int, describe: Callable[[int], str]) -> None:
        """Note `count` problems of a kind; `describe` puts the i-th of them into words."""
        shown = min(count, _MOST_OF_A_KIND)
        for i in range(shown):
            self._lines.append(f"{kind}: {describe(i)}")
        if count > shown:
            self._lines[-1] += f" (and {count - shown:,} more like it)"

    @property
    def lines(self) -> list[str]:
        return self._lines[:MOST]
