"""What the poller has done since it was started, by feed, and how far each feed is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from jobs.bridge.rest.gaps import GapReport
from jobs.bridge.rest.span import Span

if TYPE_CHECKING:
    from jobs.bridge.rest.cursors import Cursor

NO_ANSWER: Final = "none"
"""In place of a status."""

_Labelled = dict[tuple[str, ...], float]


@dataclass
class FeedFigures:
    """Of one feed. One thread writes, others read single numbers."""

    requests: Counter[str] = field(default_factory=Counter)
    """By the status of their answer."""
    retries: int = 0
    failed_polls: int = 0
    readings: int = 0
    """Committed, as all that follow."""
    unreadable: int = 0
    repeats: int = 0
    gaps: int = 0
    missing: int = 0
    filled: int = 0
    silent: int = 0
    cursor: Cursor | None = None
    """The last one committed."""
    backfill: Span | None = None
    """What a backfill is to fetch; the cursor is its own then."""

    def committed(self, after: Cursor) -> None:
        """Take the next cursor; the first one tells where the feed is, and counts nothing."""
        before, self.cursor = self.cursor, after
        if before is not None:
            self.readings += after.readings - before.readings
            self.unreadable += after.unreadable - before.unreadable
            self.repeats += after.repeats - before.repeats
            self.missing += after.missing - before.missing
            self.filled += after.filled - before.filled

    def take(self, report: GapReport) -> None:
        self.gaps += len(report.found)
        self.silent = report.silent

    @property
    def backfill_done(self) -> float | None:
        """Part of a backfill that is done, 0 to 1."""
        if self.backfill is None:
            return None
        from_ms, to_ms = self.backfill
        until_ms = None if self.cursor is None else self.cursor.until_ms
        return 0.0 if until_ms is None else (until_ms - from_ms) / (to_ms - from_ms)

    def live_seconds(self, name: str) -> float | None:
        """A time of the live cursor in epoch seconds."""
        if self.cursor is None or self.backfill is not None:
            return None
        time_ms: int | None = getattr(self.cursor, name)
        return None if time_ms is None else time_ms / 1000


class RestFigures:
    """Of all feeds of a bridge."""

    def __init__(self) -> None:
        self._feeds: dict[str, FeedFigures] = {}

    def of(self, feed: str) -> FeedFigures:
        return self._feeds.setdefault(feed, FeedFigures())

    def snapshot(self) -> dict[str, Any]:
        """By the keys of `jobs/observe/bridges.py`; labelled ones by their labels."""
        feeds = sorted(self._feeds.items())  # of a copy: feeds are added while this is read

        def each(value: Callable[[FeedFigures], float | None]) -> _Labelled:
            found = ((name, value(figures)) for name, figures in feeds)
            return {(name,): number for name, number in found if number is not None}

        return {
            "requests": {(n, status): count for n, f in feeds for status, count in f.requests.copy().items()},
            "retries": each(lambda f: f.retries),
            "failed_polls": each(lambda f: f.failed_polls),
            "readings": each(lambda f: f.readings),
            "repeated_readings": each(lambda f: f.repeats),
            "unreadable": sum(f.unreadable for _, f in feeds),
            "delivered": sum(f.readings + f.unreadable for _, f in feeds),
            "gaps": each(lambda f: f.gaps),
            "missing": each(lambda f: f.missing),
            "filled": each(lambda f: f.filled),
            "silent": each(lambda f: f.silent),
            "cursor_s": each(lambda f: f.live_seconds("until_ms")),
            "newest_s": each(lambda f: f.live_seconds("newest_ms")),
            "polled_s": each(lambda f: f.live_seconds("polled_at_ms")),
            "backfill_done": each(lambda f: f.backfill_done),
        }
