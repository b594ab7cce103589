"""Laws of what a poll asks for and when, on clocks that the tests hold."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from jobs.bridge.rest.span import Schedule, Span, SpanRule, asked_until, first_due_s, next_span

HOUR = 3_600_000
RULE = SpanRule(delay_ms=60_000, overlap_ms=2 * HOUR, longest_ms=24 * HOUR, first_ms=6 * HOUR)
NOW = 1_790_000_000_000


def test_the_first_poll_begins_as_far_back_as_configured() -> None:
    assert next_span(RULE, None, None, NOW) == Span(NOW - 60_000 - 6 * HOUR, NOW - 60_000)


def test_a_poll_asks_again_for_the_overlap() -> None:
    until = NOW - HOUR
    assert next_span(RULE, until, None, NOW) == Span(until - 2 * HOUR, NOW - 60_000)


def test_a_long_outage_is_caught_up_in_steps() -> None:
    until, spans = NOW - 60 * HOUR, []
    while until < NOW - 60_000:
        span = next_span(RULE, until, None, NOW)
        spans.append(span)
        until = span.to_ms
    assert len(spans) == 3
    assert all(later.from_ms == earlier.to_ms - 2 * HOUR for earlier, later in pairwise(spans))


def test_after_the_clock_went_back_the_newest_reading_says_where_to_begin() -> None:
    newest = NOW - 3 * HOUR
    span = next_span(RULE, NOW + HOUR, newest, NOW)
    assert span == Span(newest - 2 * HOUR, NOW - 60_000)


@given(
    until=st.none() | st.integers(NOW - 100 * HOUR, NOW + 100 * HOUR),
    newest=st.none() | st.integers(NOW - 100 * HOUR, NOW + 100 * HOUR),
)
def test_no_span_reaches_into_the_future_or_ends_before_it_begins(until: int | None, newest: int | None) -> None:
    span = next_span(RULE, until, newest, NOW)
    assert span.from_ms <= span.to_ms
    assert span.to_ms <= max(NOW - RULE.delay_ms, min(until or NOW, NOW))


@given(st.lists(st.integers(0, 40 * HOUR), min_size=1, max_size=30))
def test_spans_cover_all_time_whatever_the_pauses(pauses: list[int]) -> None:
    now, until = NOW, next_span(RULE, None, None, NOW).to_ms
    for pause in pauses:
        now += pause
        span = next_span(RULE, until, None, now)
        assert span.from_ms <= until
        until = span.to_ms


def test_a_source_whose_clock_is_behind_has_been_asked_up_to_its_own_time() -> None:
    span = Span(NOW - HOUR, NOW)
    assert asked_until(RULE, span, NOW - 10_000) == NOW - 10_000
    assert asked_until(RULE, span, NOW + 10_000) == NOW
    assert asked_until(RULE, span, None) == NOW


def test_a_source_whose_clock_is_far_behind_is_not_believed() -> None:
    assert asked_until(RULE, Span(NOW - HOUR, NOW), NOW - 24 * HOUR) == NOW


def test_missed_runs_are_not_made_up() -> None:
    schedule = Schedule(60, first_due_s=0)
    schedule.ran(205)
    assert schedule.due_s == 240


def test_a_schedule_keeps_its_beat_when_polls_take_long() -> None:
    schedule = Schedule(60, first_due_s=5)
    due = []
    for _ in range(4):
        due.append(schedule.due_s)
        schedule.ran(schedule.due_s + 59)
    assert due == [5, 65, 125, 185]


def test_retry_after_outlasts_the_schedule() -> None:
    schedule = Schedule(60, first_due_s=0)
    schedule.ran(1, not_before_s=500)
    assert schedule.due_s == 500
    schedule.ran(501, at_once=True, not_before_s=0)
    assert schedule.due_s == 501


def test_a_restart_shortly_after_a_poll_waits_out_the_period() -> None:
    assert first_due_s(100, NOW, NOW - 20_000, every_ms=60_000) == 140
    assert first_due_s(100, NOW, NOW - 90_000, every_ms=60_000) == 100
    assert first_due_s(100, NOW, None, every_ms=60_000) == 100


def test_a_poll_in_the_future_does_not_put_the_next_one_off() -> None:
    assert first_due_s(100, NOW, NOW + HOUR, every_ms=60_000) == 100
