"""`Retry-After` and rates: the waits that a source may ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.bridge.rest.rate import TokenBucket
from jobs.bridge.rest.retry import LONGEST_RETRY_AFTER_S, http_date_ms, retry_after_s

NOW = 1_445_412_480_000  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("٣", 0),
        ("9" * 40, LONGEST_RETRY_AFTER_S),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30),
        ("Wednesday, 21-Oct-15 07:28:30 GMT", 30),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0),
        ("Wed, 21 Oct 2035 07:00:00 GMT", LONGEST_RETRY_AFTER_S),
        ("Wed, 99 Oct 2015 07:00:00 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(text: str | None, seconds: float) -> None:
    assert retry_after_s(text, NOW) == seconds


@given(st.text(max_size=60))
def test_no_header_breaks_the_poller(text: str) -> None:
    assert 0 <= retry_after_s(text, NOW) <= LONGEST_RETRY_AFTER_S
    http_date_ms(text)


def test_a_bucket_lets_a_burst_through_and_then_the_rate() -> None:
    bucket = TokenBucket(10, per_s=60)
    assert [bucket.take(0) for _ in range(10)] == [0] * 10
    assert bucket.take(0) == pytest.approx(6)
    assert bucket.take(6.01) == 0


def test_more_than_the_burst_is_paid_off_later() -> None:
    bucket = TokenBucket(10, per_s=1)
    assert bucket.take(0, 30) == 0
    assert bucket.take(1, 10) == pytest.approx(2)
    assert bucket.take(3.01, 10) == 0
    bucket.owe(3.01, 10)
    assert bucket.take(3.01) == pytest.approx(1.1, abs=0.02)


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 3)), max_size=200))
def test_no_sequence_of_requests_beats_the_rate(requests: list[tuple[float, int]]) -> None:
    bucket, now, latest, taken = TokenBucket(5, per_s=10), 0.0, 0.0, 0
    for pause, count in requests:
        now += pause
        latest = max(latest, now)
        if bucket.take(now, count) == 0:
            taken += count
    elapsed = latest + sum(-pause for pause, _ in requests if pause < 0)
    assert taken <= 5 + elapsed * 0.5 + 1e-6
