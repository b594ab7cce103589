"""Polls all feeds of a bridge, each in a thread of its own."""

from __future__ import annotations

import random
import threading
import time
import traceback

from jobs.bridge.rest.config import Feed, Rate
from jobs.bridge.rest.cursors import Cursor, live_key
from jobs.bridge.rest.fetch import Fetcher, SourceFailed
from jobs.bridge.rest.gaps import GapReport
from jobs.bridge.rest.pull import Puller, PullResult, describe
from jobs.bridge.rest.rate import TokenBucket
from jobs.bridge.rest.request import format_time
from jobs.bridge.rest.run import Run
from jobs.bridge.rest.span import Schedule, Span, first_due_s, next_span
from jobs.bridge.rest.writer import FeedWriter, Replaced, Stopped

_SHOWN_GAPS = 5  # per poll; all are counted
_RESTART_S = 30.0  # before a feed that met a defect of ours is started again


def bucket(rate: Rate) -> TokenBucket:
    return TokenBucket(rate.count, rate.per / 1000)


class FeedPoller:
    """Polls one feed on its schedule until the run ends. Belongs to one thread."""

    def __init__(self, run: Run, feed: Feed) -> None:
        self._run, self._feed = run, feed
        self._figures = run.figures.of(feed.name)
        self._writer = FeedWriter(run, live_key(run.config.name, feed.name))
        buckets = () if feed.rate is None else (bucket(feed.rate),)
        self._fetcher = Fetcher(feed.retry, feed.limits, run.stop, self._figures, buckets)
        self._puller = Puller(run, feed, self._fetcher, self._writer)
        self._starts_over = False  # the source refuses the page to go on with: its token may be too old

    def poll_until_stopped(self) -> None:
        """Poll.

        Raises
        ------
        Replaced : another process has taken the feed over.
        """
        feed, stop = self._feed, self._run.stop
        try:
            cursor = self._writer.open()
            self._figures.cursor = cursor
            begin_s = first_due_s(time.monotonic(), _wall_ms(), cursor.polled_at_ms, feed.every)
            schedule = Schedule(feed.every / 1000, begin_s, lambda: random.uniform(0, feed.jitter / 1000))
            while not stop.wait(schedule.wait_s(time.monotonic())):
                at_once, not_before_s = self._poll(self._writer.cursor)
                now_s = time.monotonic()
                schedule.ran(now_s, at_once, now_s + not_before_s)
        except Stopped:
            pass
        finally:
            self._fetcher.close()
            self._writer.close()

    def _poll(self, cursor: Cursor) -> tuple[bool, float]:
        """Poll once; whether there is more to catch up with, and how many seconds the source wants to be left alone."""
        feed, journal, now_ms = self._feed, self._run.journal, _wall_ms()
        if cursor.until_ms is not None and cursor.until_ms > now_ms:
            journal.event("clock_went_back", feed=feed.name, by_ms=cursor.until_ms - now_ms)
        span, token = cursor.open_span, cursor.page
        if span is None or self._starts_over:
            span, token = next_span(feed.span_rule, cursor.until_ms, cursor.newest_ms, now_ms), ""
        self._starts_over = False
        if feed.is_ranged and span.to_ms <= span.from_ms:
            return False, 0.0
        try:
            result = self._puller.pull(span, token, now_ms)
        except SourceFailed as failure:
            self._figures.failed_polls += 1
            self._starts_over = failure.is_refusal and bool(self._writer.cursor.page)
            journal.event("poll_failed", feed=feed.name, span=describe(span), problem=str(failure))
            return False, failure.not_before_s
        self._report(span, cursor, result)
        return feed.is_ranged and result.is_finished and span.to_ms < now_ms - feed.delay, 0.0

    def _report(self, span: Span, before: Cursor, result: PullResult) -> None:
        after = self._writer.cursor
        self._run.journal.event(
            "polled",
            feed=self._feed.name,
            span=describe(span),
            pages=result.pages,
            readings=after.readings - before.readings,
            repeats=after.repeats - before.repeats,
            unreadable=after.unreadable - before.unreadable,
            passed_over=self._puller.passed_over,
            seconds=round(result.seconds, 3),
        )
        if result.gaps is not None:
            report_gaps(self._run, self._feed, result.gaps)


def report_gaps(run: Run, feed: Feed, report: GapReport) -> None:
    """Say what is missing: some of the gaps each, all of them as a count."""
    run.figures.of(feed.name).take(report)
    for gap in report.found[:_SHOWN_GAPS]:
        sensor, metric = gap.series
        span = describe(Span(gap.from_ms, gap.to_ms))
        run.journal.event("gap", feed=feed.name, sensor_id=sensor, metric=metric, between=span)
    for (sensor, metric), newest_ms in report.fell_silent[:_SHOWN_GAPS]:
        since = format_time(newest_ms, "iso")
        run.journal.event("silent", feed=feed.name, sensor_id=sensor, metric=metric, since=since)
    if report.found or report.filled or report.silent:
        run.journal.event(
            "gaps",
            feed=feed.name,
            found=len(report.found),
            missing_readings=report.missing,
            came_late=report.filled,
            silent_series=report.silent,
        )


def run_bridge(run: Run) -> list[str]:
    """Poll all feeds until the run is stopped; returns the feeds that another process has taken over.

    It ends early when no feed is left.
    """
    replaced: list[str] = []

    def poll(feed: Feed) -> None:
        while not run.stop.is_set():
            try:
                FeedPoller(run, feed).poll_until_stopped()
            except Replaced as problem:
                run.journal.event("replaced", feed=feed.name, problem=str(problem))
                replaced.append(feed.name)
                return
            except Exception:  # a defect met by one feed must not end the others
                run.journal.event("defect", feed=feed.name, trace=traceback.format_exc())
                run.stop.wait(_RESTART_S)

    threads = [threading.Thread(target=poll, args=(feed,), name=feed.name) for feed in run.config.feeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.5)
    return replaced


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
