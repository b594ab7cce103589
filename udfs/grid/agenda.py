"""When rows of a shard are to be looked at: instants that the watermark has yet to reach, and rows that wait."""

from __future__ import annotations

from collections.abc import Collection
from heapq import heappop, heappush

from udfs.grid.rules import GridRule

_TICKS = 8  # timers are set at eighths of a period, so that the places of a shard share them


class Agenda:
    """In memory only: after a restore it is made again from what is kept."""

    def __init__(self, rule: GridRule) -> None:
        self._rule = rule
        self._tick_ms = max(1, rule.period_ms // _TICKS)
        self._looks: list[int] = []  # heap of instants
        self._scheduled: set[int] = set()  # the same
        self._waiting: dict[str, dict[int, int]] = {}  # by place and instant: the watermark to look again at
        self._due: list[tuple[int, str, int]] = []  # the same as a heap; what `_waiting` does not confirm is over
        self._timers_ms: set[int] = set()

    @property
    def first(self) -> int | None:
        """The first instant that the watermark has yet to reach."""
        return self._looks[0] if self._looks else None

    def look_at(self, instant_ms: int) -> None:
        """Look at all places when the watermark reaches an instant."""
        if instant_ms not in self._scheduled:
            self._scheduled.add(instant_ms)
            heappush(self._looks, instant_ms)
            self._timers_ms.add(self._rule.look_ms(instant_ms))

    def take_instant(self, watermark_ms: int) -> int | None:
        """The first instant that a watermark has reached, which is then off the list."""
        if not self._looks or self._rule.look_ms(self._looks[0]) > watermark_ms:
            return None
        instant_ms = heappop(self._looks)
        self._scheduled.discard(instant_ms)
        return instant_ms

    def wait(self, place: str, instant_ms: int, wait_ms: int) -> None:
        """Look at a row again at a watermark."""
        of_place = self._waiting.setdefault(place, {})
        if of_place.get(instant_ms) != wait_ms:
            of_place[instant_ms] = wait_ms
            heappush(self._due, (wait_ms, place, instant_ms))
            self._timers_ms.add(wait_ms + -wait_ms % self._tick_ms)

    def settle(self, place: str, instant_ms: int) -> None:
        """A row waits no longer."""
        of_place = self._waiting.get(place)
        if of_place is not None:
            of_place.pop(instant_ms, None)
            if not of_place:
                del self._waiting[place]

    def waiting(self, place: str) -> Collection[int]:
        """The instants of a place whose rows are looked at again."""
        return self._waiting.get(place, ())

    def take_due(self, watermark_ms: int) -> list[tuple[str, int]]:
        """Places and instants to be looked at again at a watermark."""
        due = []
        while self._due and self._due[0][0] <= watermark_ms:
            wait_ms, place, instant_ms = heappop(self._due)
            if self._waiting.get(place, {}).get(instant_ms) == wait_ms:
                due.append((place, instant_ms))
        return due

    def wake_at(self, watermark_ms: int) -> None:
        """Ask for a timer."""
        self._timers_ms.add(watermark_ms)

    def take_timers(self, watermark_ms: int) -> list[int]:
        """Timers that are to be set, beyond the watermark that has been reached."""
        timers, self._timers_ms = self._timers_ms, set()
        return sorted(t for t in timers if t > watermark_ms)
