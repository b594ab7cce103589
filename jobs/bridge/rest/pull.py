"""Pulls the pages of a span: each page's readings and the cursor behind it are one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from jobs.bridge.envelope import Enveloper, Message
from jobs.bridge.feed import Item, Payload, Reading, Unreadable, make_adapter
from jobs.bridge.rest.config import Feed
from jobs.bridge.rest.cursors import Cursor
from jobs.bridge.rest.fetch import Answer, BrokenBody, Fetcher, SourceFailed
from jobs.bridge.rest.gaps import GapDetector, GapReport
from jobs.bridge.rest.pages import MalformedPage, Page
from jobs.bridge.rest.progress import PageOutcome, advance, with_gaps
from jobs.bridge.rest.recent import Recent
from jobs.bridge.rest.request import format_time, page_request, plain_url, request_headers
from jobs.bridge.rest.run import Run
from jobs.bridge.rest.span import Span, asked_until
from jobs.bridge.rest.writer import FeedWriter
from udfs.event_time import normalise_event_time
from udfs.reasons import Rejected


class PullResult(NamedTuple):
    """What became of one pull."""

    is_finished: bool
    """The span has been asked for to its end."""
    pages: int
    seconds: float
    gaps: GapReport | None = None


class _Got(NamedTuple):
    """A page, read as far as it can be before its transaction."""

    items: Callable[[], Iterator[Item]]
    received_ms: int
    following: str | None = None
    problem: str | None = None
    """Why the page is malformed as a whole."""
    answer: Answer | None = None


@dataclass
class _Tally:
    """Counts of one try of one page."""

    readings: int = 0
    unreadable: int = 0
    repeats: int = 0
    newest_ms: int | None = None
    items_readable: int = 0
    items_unreadable: int = 0
    digests: set[int] = field(default_factory=set)


class Puller:
    """Pulls for one feed, live or backfill. Belongs to one thread.

    Parameters
    ----------
    before_page
        Called before each request; a backfill waits in it.
    """

    def __init__(
        self,
        run: Run,
        feed: Feed,
        fetcher: Fetcher,
        writer: FeedWriter,
        before_page: Callable[[], None] = lambda: None,
    ) -> None:
        self._run, self._feed, self._fetcher, self._writer, self._before_page = run, feed, fetcher, writer, before_page
        self._adapter = make_adapter(feed.adapter, feed.options)
        self._enveloper = Enveloper(feed.source or plain_url(feed.url), feed.adapter, run.config.key.key())
        self._recent = Recent(feed.skip_repeats)
        self.passed_over = 0
        """Malformed pages that were given up since the start."""
        expected = feed.expected
        self._gaps = None if expected is None else GapDetector(expected.period, expected.tolerance, expected.max_series)

    def pull(self, span: Span, token: str, now_ms: int, done_at_ms: int | None = None) -> PullResult:
        """Pull a span from a page on; it ends early at the limits of a poll and at a malformed page.

        Parameters
        ----------
        token
            Of the page to begin with.
        now_ms
            Wall time, for the cursor.
        done_at_ms
            The end of a backfill.

        Raises
        ------
        SourceFailed : no page; what came before it is committed.
        Stopped, Replaced : see `FeedWriter.commit`.
        """
        started_s = time.monotonic()
        limits, seen, pages = self._feed.limits, {token}, 0
        while True:
            self._before_page()
            left_s = limits.poll_timeout / 1000 - (time.monotonic() - started_s)
            got = self._get(span, token, now_ms, left_s)
            if got.following is not None and got.following in seen:
                got = got._replace(following=None, problem="the next page is one that came already")
            report = self._commit(got, span, token, now_ms, done_at_ms)
            cursor = self._writer.cursor
            pages += 1
            if cursor.span is None:
                return PullResult(True, pages, time.monotonic() - started_s, report)
            if cursor.malformed:
                break
            token = cursor.page
            seen.add(token)
            if pages >= limits.pages or time.monotonic() - started_s > limits.poll_timeout / 1000:
                self._run.journal.event("poll_at_its_limits", feed=self._feed.name, pages=pages)
                break
        return PullResult(False, pages, time.monotonic() - started_s)

    def _get(self, span: Span, token: str, now_ms: int, budget_s: float) -> _Got:
        """Get a page.

        Raises
        ------
        SourceFailed : there is none.
        """
        feed = self._feed
        try:
            url, params = page_request(feed, span, token)
        except MalformedPage as malformed:
            return _Got(lambda: iter(()), now_ms, problem=str(malformed))
        try:
            headers = {**request_headers(feed, self._run.folder), **self._conditions()}
        except (OSError, UnicodeDecodeError) as error:
            raise SourceFailed(f"secret_headers: {error}") from None
        try:
            answer = self._fetcher.get(url, params, headers, budget_s)
        except BrokenBody as broken:
            part = Unreadable(broken.reason, str(broken), broken.so_far)
            return _Got(lambda: iter((part,)), broken.received_ms, problem=str(broken))
        if answer.status == 304 or answer.status in feed.empty_statuses:
            return _Got(lambda: iter(()), answer.received_ms, answer=answer)
        if answer.status >= 400:
            text = answer.body[:200].decode(errors="replace")
            raise SourceFailed(f"status {answer.status}: {text!r}", is_refusal=True)
        payload = Payload(answer.body, self._context(answer, span, token), answer.received_ms)
        try:
            following = feed.pagination.following(token, Page(answer.url, answer.headers.get("link"), answer.body))
        except MalformedPage as malformed:
            return _Got(lambda: self._adapter.readings(payload), answer.received_ms, problem=str(malformed))
        return _Got(lambda: self._adapter.readings(payload), answer.received_ms, following, answer=answer)

    def _conditions(self) -> dict[str, str]:
        cursor = self._writer.cursor
        if not self._feed.is_conditional:
            return {}
        sent = {"if-none-match": cursor.etag, "if-modified-since": cursor.last_modified}
        return {name: value for name, value in sent.items() if value is not None}

    def _context(self, answer: Answer, span: Span, token: str) -> dict[str, str]:
        return {
            "url": plain_url(answer.url),
            "page": token,
            "from_ms": str(span.from_ms),
            "to_ms": str(span.to_ms),
            **({"last_modified": answer.headers["last-modified"]} if "last-modified" in answer.headers else {}),
        }

    def _commit(self, got: _Got, span: Span, token: str, now_ms: int, done_at_ms: int | None) -> GapReport | None:
        """Commit a page; the report of gaps when the span ends with it."""
        tally, report = _Tally(), None
        before, feed = self._writer.cursor, self._feed

        def messages() -> Iterator[Message]:
            nonlocal tally
            tally = _Tally()  # another try counts anew
            return self._messages(got, tally)

        def cursor() -> Cursor:
            nonlocal report
            page = _outcome(got, span, token, tally)
            until_ms = span.to_ms
            if done_at_ms is None:
                until_ms = asked_until(feed.span_rule, span, got.answer and got.answer.date_ms)
            after = advance(
                before, page, malformed_attempts=feed.malformed_attempts, asked_until_ms=until_ms, now_ms=now_ms
            )
            if after.span is not None:
                return after
            if report is None and self._gaps is not None:
                report = self._gaps.close(span.from_ms, span.to_ms)
            return msgspec.structs.replace(
                with_gaps(after, report), done=done_at_ms is not None and until_ms >= done_at_ms
            )

        self._writer.commit(messages, cursor)
        self._run.figures.of(feed.name).committed(self._writer.cursor)
        self._recent.remember(tally.digests)
        if problem := _outcome(got, span, token, tally).problem:
            fate = "malformed_page_passed_over" if self._writer.cursor.span is None else "malformed_page"
            self.passed_over += self._writer.cursor.span is None
            self._run.journal.event(fate, feed=feed.name, span=describe(span), problem=problem)
        return report

    def _messages(self, got: _Got, tally: _Tally) -> Iterator[Message]:
        fresh: set[int] = set()
        for item in got.items():
            if isinstance(item, Unreadable):
                tally.items_unreadable += 1
            else:
                tally.items_readable += 1
                if isinstance(item, dict):
                    self._note_time(item, got.received_ms, tally)
            message = self._enveloper.message(item, got.received_ms)
            digest = self._recent.digest(message.value)
            if digest is None or digest in fresh:
                tally.repeats += 1
                continue
            fresh.add(digest)
            if isinstance(item, Unreadable):
                tally.unreadable += 1
            else:
                tally.readings += 1
            yield message
        tally.digests = fresh

    def _note_time(self, reading: Reading, received_ms: int, tally: _Tally) -> None:
        try:
            event_ms = normalise_event_time(reading.get("event_time"), None) // 1_000_000
        except Rejected:
            return
        if event_ms > received_ms:
            return  # a clock that is wrong must not say how far the feed is
        tally.newest_ms = event_ms if tally.newest_ms is None else max(tally.newest_ms, event_ms)
        sensor, metric = reading.get("sensor_id"), reading.get("metric")
        if self._gaps is not None and isinstance(sensor, str) and isinstance(metric, str):
            self._gaps.came((sensor, metric), event_ms)


def _outcome(got: _Got, span: Span, token: str, tally: _Tally) -> PageOutcome:
    problem = got.problem
    if problem is None and tally.items_unreadable and not tally.items_readable:
        problem = "nothing in the page is readable"
    headers = got.answer.headers if got.answer else {}
    return PageOutcome(
        span, token, got.following, problem, tally.readings, tally.unreadable, tally.repeats, tally.newest_ms,
        headers.get("etag"), headers.get("last-modified"),
    )  # fmt: skip


def describe(span: Span) -> str:
    """A span for a person."""
    return " to ".join(format_time(t, "iso") for t in span)
