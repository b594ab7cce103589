"""Fetches a range of the past, step by step, behind the live polls of the same feed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from confluent_kafka import KafkaException

from jobs.bridge.rest.config import Feed
from jobs.bridge.rest.cursors import Cursor, CursorReader, backfill_key, live_key
from jobs.bridge.rest.fetch import Fetcher, SourceFailed
from jobs.bridge.rest.poller import bucket, report_gaps
from jobs.bridge.rest.pull import Puller, describe
from jobs.bridge.rest.run import Run
from jobs.bridge.rest.span import Span
from jobs.bridge.rest.writer import FeedWriter, Stopped

_LOOK_S = 0.5
_FAILURES = 5  # in a row, each already tried several times
_FIRST_PAUSE_S = 5.0


class BackfillFailed(RuntimeError):  # noqa: N818
    """The source gave up on us; what was fetched is committed, and the same command goes on from there."""


class BackfillSummary(NamedTuple):
    """Totals from the backfill's very first run on."""

    readings: int
    unreadable: int
    missing: int
    yielded_s: float
    """How long this run waited for live polls."""


def pause_s(live: Cursor | None, now_ms: int, every_ms: int, guard_ms: int, longest_ms: int) -> float:
    """How long to leave the source to the live poller.

    Parameters
    ----------
    live
        The live poller's cursor; None: it has never polled.
    every_ms
        From one live poll to the next.
    guard_ms
        How long before the live poll is due to make way.
    longest_ms
        How long a live poll may take: one that is overdue by more is taken for one that does not run.

    Returns
    -------
        Seconds until it is worth asking again; 0.0: go on.
    """
    if live is None or live.polled_at_ms is None or live.polled_at_ms > now_ms:
        return 0.0
    if live.span is not None and now_ms - live.polled_at_ms < min(longest_ms, every_ms):
        return _LOOK_S  # between two pages of a poll
    due_ms = live.polled_at_ms + every_ms
    return _LOOK_S if due_ms - guard_ms <= now_ms < due_ms + longest_ms else 0.0


class _Yielding:
    """Waits before each page while the live poll is due; follows its cursor."""

    def __init__(self, run: Run, feed: Feed) -> None:
        self._run, self._feed = run, feed
        self._key = live_key(run.config.name, feed.name)
        self._reader = CursorReader(run)
        self._reader.read_all()
        self.waited_s = 0.0

    def __call__(self) -> None:
        started_s = time.monotonic()
        while True:
            try:
                self._reader.follow(0)
            except KafkaException as error:
                self._run.journal.event("waiting_for_kafka", cursor=self._key, problem=error.args[0].str())
            live = self._reader.newest.get(self._key)
            feed = self._feed
            wait_s = pause_s(live, _wall_ms(), feed.every, feed.backfill.guard, feed.limits.poll_timeout)
            if not wait_s:
                break
            if self._run.stop.wait(wait_s):
                raise Stopped
        self.waited_s += time.monotonic() - started_s

    def close(self) -> None:
        self._reader.close()


def run_backfill(
    run: Run,
    feed: Feed,
    span: Span,
    progress: Callable[[Span, Cursor], None] = lambda _span, _cursor: None,
) -> BackfillSummary:
    """Fetch a span; what an earlier run of the same span has done is not done again.

    Raises
    ------
    BackfillFailed : the source fails again and again.
    CursorsUnusable : Kafka does not answer.
    Stopped, Replaced : see `FeedWriter`.
    """
    writer = FeedWriter(run, backfill_key(run.config.name, feed.name, span))
    yielding = _Yielding(run, feed)
    figures = run.figures.of(feed.name)
    figures.backfill = span
    fetcher = Fetcher(feed.retry, feed.limits, run.stop, figures, (bucket(feed.backfill.rate),))
    try:
        figures.cursor = writer.open()
        token = figures.cursor.page
        puller = Puller(run, feed, fetcher, writer, before_page=yielding)
        failures = 0
        while (done_ms := span.from_ms if writer.cursor.until_ms is None else writer.cursor.until_ms) < span.to_ms:
            step = writer.cursor.open_span or Span(done_ms, min(done_ms + feed.backfill.step, span.to_ms))
            try:
                result = puller.pull(step, token, _wall_ms(), done_at_ms=span.to_ms)
            except SourceFailed as failure:
                failures += 1
                if failures >= _FAILURES:
                    raise BackfillFailed(f"{describe(step)}: {failure}") from None
                token = "" if failure.is_refusal else writer.cursor.page
                wait_s = max(failure.not_before_s, _FIRST_PAUSE_S * 2 ** (failures - 1))
                run.journal.event("backfill_waits", feed=feed.name, span=describe(step), problem=str(failure))
                if run.stop.wait(wait_s):
                    raise Stopped from None
                continue
            failures, token = 0, writer.cursor.page
            if result.gaps is not None:
                report_gaps(run, feed, result.gaps)
            progress(step, writer.cursor)
        cursor = writer.cursor
        return BackfillSummary(cursor.readings, cursor.unreadable, cursor.missing, yielding.waited_s)
    finally:
        yielding.close()
        fetcher.close()
        writer.close()


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
