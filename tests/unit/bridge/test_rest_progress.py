"""What pages do to a cursor, and when a backfill makes way."""

from __future__ import annotations

import msgspec

from jobs.bridge.rest.backfill import pause_s
from jobs.bridge.rest.cursors import Cursor, encode_cursor
from jobs.bridge.rest.progress import PageOutcome, advance
from jobs.bridge.rest.recent import Recent
from jobs.bridge.rest.span import Span

SPAN = Span(1_000, 2_000)


def step(before: Cursor, **page: object) -> Cursor:
    outcome = PageOutcome(SPAN, **{"token": "", **page})  # type: ignore[arg-type]
    return advance(before, outcome, malformed_attempts=3, asked_until_ms=2_000, now_ms=2_500)


def test_a_page_that_is_not_the_last_leaves_the_span_open() -> None:
    after = step(Cursor(until_ms=900), following="2", readings=5, newest_ms=1_500)
    assert (after.open_span, after.page, after.until_ms, after.readings, after.polls) == (SPAN, "2", 900, 5, 0)


def test_the_last_page_closes_it() -> None:
    after = step(Cursor(until_ms=900, span=tuple(SPAN), page="2", malformed=1), token="2", etag='"a"')
    assert (after.open_span, after.page, after.until_ms, after.malformed) == (None, "", 2_000, 0)
    assert (after.polls, after.etag, after.polled_at_ms) == (1, '"a"', 2_500)


def test_a_malformed_page_is_asked_for_again_and_then_passed_over() -> None:
    cursor = Cursor(until_ms=900)
    for attempt in (1, 2):
        cursor = step(cursor, token="7", problem="broken", unreadable=1)
        assert (cursor.open_span, cursor.page, cursor.malformed, cursor.until_ms) == (SPAN, "7", attempt, 900)
    cursor = step(cursor, token="7", problem="broken", unreadable=1)
    assert (cursor.open_span, cursor.malformed, cursor.until_ms, cursor.unreadable) == (None, 0, 2_000, 3)


def test_the_newest_time_never_goes_back() -> None:
    assert step(Cursor(newest_ms=1_800), newest_ms=1_500).newest_ms == 1_800
    assert step(Cursor(newest_ms=1_800)).newest_ms == 1_800
    assert step(Cursor(), newest_ms=1_500).newest_ms == 1_500


def test_a_cursor_survives_the_topic_and_older_and_newer_writers() -> None:
    cursor = Cursor(owner="o", span=(1, 2), page="p", readings=7)
    assert msgspec.json.decode(encode_cursor(cursor), type=Cursor) == cursor
    assert msgspec.json.decode(b'{"readings":7,"of_the_future":[1]}', type=Cursor) == Cursor(readings=7)


def test_a_backfill_makes_way_around_the_live_poll() -> None:
    live = Cursor(polled_at_ms=100_000)

    def pause(now_ms: int, cursor: Cursor | None = live) -> bool:
        return pause_s(cursor, now_ms, every_ms=60_000, guard_ms=5_000, longest_ms=20_000) > 0

    assert [pause(t) for t in (101_000, 154_000, 155_000, 160_000, 179_000, 180_000)] == [
        False, False, True, True, True, False,
    ]  # fmt: skip
    assert not pause(155_000, None)
    assert not pause(90_000)  # the clock went back
    assert pause(101_000, Cursor(polled_at_ms=100_000, span=(1, 2)))  # it is between two pages
    assert not pause(121_000, Cursor(polled_at_ms=100_000, span=(1, 2)))


def test_repeats_are_known_until_they_are_forgotten() -> None:
    recent = Recent(limit=2)
    a, b, c = (recent.digest(value) for value in (b"a", b"b", b"c"))
    assert None not in (a, b, c)
    recent.remember([d for d in (a, b) if d is not None])
    assert recent.digest(b"a") is None
    recent.remember([c] if c is not None else [])
    assert recent.digest(b"b") == b  # the oldest: a was asked for later
    assert recent.digest(b"a") is None
    assert Recent(limit=0).digest(b"a") is not None
