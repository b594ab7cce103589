"""Laws of event time: one instant has one number, in whatever form it was sent."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.event_time import (
    EARLIEST_NS,
    LATEST_NS,
    MICROSECONDS_BELOW,
    MILLISECONDS_BELOW,
    SECONDS_BELOW,
    check_event_time,
    check_header_time,
    normalise_event_time,
)
from udfs.reasons import Reason, Rejected
from udfs.rules import DAY_MS, TimeRule

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONDON, LORD_HOWE, KATHMANDU = map(ZoneInfo, ("Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu"))

# From the day in 1973 when a millisecond count leaves the band of seconds, to the end of 2100.
instants_ms = st.integers(SECONDS_BELOW, 4_133_980_799_999)
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def at(time_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=time_ms)


def reason_of(raw: object, zone: ZoneInfo | None = None) -> Reason:
    with pytest.raises(Rejected) as caught:
        normalise_event_time(raw, zone)
    return caught.value.reason


def ns(text: str, zone: ZoneInfo | None = None) -> int:
    return normalise_event_time(text, zone)


# --- one instant, many forms


@given(instants_ms, offsets)
def test_one_instant_has_one_number_in_every_form(time_ms: int, offset: timezone) -> None:
    local = at(time_ms).astimezone(offset)
    utc = at(time_ms).strftime("%Y-%m-%dT%H:%M:%S") + f".{time_ms % 1000:03d}"
    forms = [
        time_ms, float(time_ms), time_ms * 1_000, time_ms * 1_000_000, time_ms / 1000,
        local.isoformat(), local.isoformat(timespec="milliseconds"), local.isoformat(" "),
        f"{utc}Z", f"{utc}z", f"{utc.lower()}z", f"{utc.replace('.', ',')}Z", f"{utc}000000Z", f"{utc}+00:00",
        f"{utc.replace('-', '').replace(':', '')}Z",
    ]  # fmt: skip
    assert {normalise_event_time(form, None) for form in forms} == {time_ms * 1_000_000}


@given(st.integers(0, 4_133_980_799))
def test_whole_seconds_have_one_number_in_every_form(seconds: int) -> None:
    forms = [seconds, float(seconds), at(seconds * 1000).isoformat(), at(seconds * 1000).strftime("%Y%m%dT%H%M%SZ")]
    assert {normalise_event_time(form, None) for form in forms} == {seconds * 10**9}


@given(st.integers(1_000_000_000_000, 4_133_980_799_999))
def test_digits_alone_are_an_epoch_number(time_ms: int) -> None:
    for digits in (str(time_ms), str(time_ms * 1_000), str(time_ms * 1_000_000)):
        assert ns(digits) == time_ms * 1_000_000
    assert ns(str(time_ms // 1000)) == time_ms // 1000 * 10**9


@given(st.integers(0, 10**9 - 1))
def test_fractions_are_kept_to_the_nanosecond(nanos: int) -> None:
    assert ns(f"2024-05-06T07:08:09.{nanos:09d}Z") == 1_714_979_289 * 10**9 + nanos
    assert ns(f"20240506T090809,{nanos:09d}999+0200") == 1_714_979_289 * 10**9 + nanos


@given(st.integers(EARLIEST_NS // 10**9, LATEST_NS // 10**9 - 1))
def test_iso_times_of_all_years_are_read(seconds: int) -> None:
    assert ns((EPOCH + timedelta(seconds=seconds)).isoformat()) == seconds * 10**9


@given(st.integers(10**9, 4 * 10**9), st.integers(0, 10**6 - 1))
def test_a_float_of_seconds_is_read_to_the_microsecond(seconds: int, micros: int) -> None:
    assert normalise_event_time(float(f"{seconds}.{micros:06d}"), None) == seconds * 10**9 + micros * 1000


def test_epoch_bands_are_told_apart_on_both_sides_of_their_edges() -> None:
    for edge, below, above in (
        (SECONDS_BELOW, 10**9, 10**6),
        (MILLISECONDS_BELOW, 10**6, 10**3),
        (MICROSECONDS_BELOW, 10**3, 1),
    ):
        for number, scale in ((edge - 1, below), (edge, above)):
            assert normalise_event_time(number, None) == number * scale
        assert normalise_event_time(float(edge), None) == edge * above
    assert normalise_event_time(-SECONDS_BELOW, None) == -SECONDS_BELOW * 10**6  # 1966


def test_the_years_1970_and_2100_are_readable() -> None:
    assert normalise_event_time(0, None) == 0
    assert normalise_event_time(86_400, None) == ns("1970-01-02T00:00:00Z")
    end = ns("2100-12-31T23:59:59Z")
    assert {normalise_event_time(end // 10**e, None) for e in (0, 3, 6, 9)} == {end}


# --- leap seconds


def test_a_leap_second_has_the_number_of_the_second_after_it() -> None:
    after = ns("2017-01-01T00:00:00Z")
    for text in ("2016-12-31T23:59:60Z", "20161231T235960Z", "2017-01-01T00:59:60+01:00", "2016-12-31t23:59:60z"):
        assert ns(text) == after
    assert ns("2016-12-31T23:59:60.123456789Z") == after + 123_456_789
    assert ns("2017-01-01T05:44:60", KATHMANDU) == after


def test_a_second_60_elsewhere_is_unreadable() -> None:
    for text in ("2016-12-31T23:58:60Z", "2016-12-31T23:59:61Z", "2016-12-31T22:59:60Z"):
        assert reason_of(text) is Reason.UNREADABLE_TIME


# --- naive times


def test_a_naive_time_without_a_zone_is_named_so() -> None:
    for text in ("2024-05-06T07:08:09", "2024-05-06 07:08", "20240506T070809.5", "2024-W19-1T07:08"):
        assert reason_of(text) is Reason.NAIVE_TIME


def test_a_naive_time_is_local_time_of_the_zone() -> None:
    assert ns("2024-07-01T12:00:00", LONDON) == ns("2024-07-01T11:00:00Z")
    assert ns("2024-01-01T12:00:00", LONDON) == ns("2024-01-01T12:00:00Z")
    assert ns("2024-01-01T12:00:00", LORD_HOWE) == ns("2024-01-01T01:00:00Z")  # +11 in summer
    assert ns("2024-07-01T12:00:00", LORD_HOWE) == ns("2024-07-01T01:30:00Z")  # +10:30: half an hour of DST
    assert ns("2024-07-01T12:00:00", KATHMANDU) == ns("2024-07-01T06:15:00Z")  # +05:45
    assert ns("1985-12-31T12:00:00", KATHMANDU) == ns("1985-12-31T06:30:00Z")  # +05:30 before 1986


def test_an_offset_wins_over_the_zone() -> None:
    assert ns("2024-07-01T12:00:00+05:00", LONDON) == ns("2024-07-01T07:00:00Z")


def test_a_local_time_that_occurs_twice_is_the_first() -> None:
    assert ns("2024-10-27T01:30:00", LONDON) == ns("2024-10-27T01:30:00+01:00")
    assert ns("2024-04-07T01:45:00", LORD_HOWE) == ns("2024-04-07T01:45:00+11:00")


def test_a_local_time_that_was_skipped_is_as_far_after_the_skip() -> None:
    assert ns("2024-03-31T01:30:00", LONDON) == ns("2024-03-31T02:30:00+01:00")
    assert ns("2024-10-06T02:15:00", LORD_HOWE) == ns("2024-10-06T02:45:00+11:00")
    assert ns("1986-01-01T00:05:00", KATHMANDU) == ns("1986-01-01T00:20:00+05:45")  # 15 minutes were skipped


@given(instants_ms, st.sampled_from([LONDON, LORD_HOWE, KATHMANDU]))
def test_local_time_and_back_is_the_same_instant_but_for_the_second_of_two(time_ms: int, zone: ZoneInfo) -> None:
    local = at(time_ms).astimezone(zone)
    read = normalise_event_time(local.replace(tzinfo=None).isoformat(), zone)
    repeated = timedelta(0) if not local.fold else local.replace(fold=0).utcoffset() - local.utcoffset()  # type: ignore[operator]
    assert read == time_ms * 1_000_000 - repeated // timedelta(microseconds=1) * 1000


# --- unreadable


@pytest.mark.parametrize(
    "raw",
    [None, True, False, [], {}, b"2024", math.nan, math.inf, -math.inf, 10**30, -(10**30), 1e300, -99_999_999_999,
     "", " ", "now", "MM", "1.5e9", "1700000000.5", "-1700000000", "+1700000000", "1_700_000_000", "²" * 10, "١" * 10,
     "2024", "202405", "20240506", "202405060708", "20240506070809", "2024-05-06", "2024-W19-1", "07:08:09Z",
     "2024-13-01T00:00:00Z", "2024-02-30T00:00:00Z", "2024-05-06T25:00:00Z", "2024-05-06T24:00:00Z",
     "2024-05-06T07:08:09+25:00", "2024-05-06T07.5Z", "2024-05-06T07:08.5Z", "20240506T0708.5Z", "06/05/2024 07:08",
     "2024-05-06T07:08:09 UTC", "Mon, 06 May 2024 07:08:09 GMT", "0001-01-01T00:00:00+10:00", "\ud800", "x" * 10**6,
     "9999-12-31T23:59:59-10:00", 253_402_300_800 * 10**9],
)  # fmt: skip
def test_what_is_no_time_is_unreadable(raw: object) -> None:
    assert reason_of(raw) is Reason.UNREADABLE_TIME


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet="0123456789-:.,TtZz+ W") | st.text())
@pytest.mark.parametrize("zone", [None, LONDON])
def test_anything_is_a_time_or_rejected(zone: ZoneInfo | None, raw: object) -> None:
    try:
        assert EARLIEST_NS <= normalise_event_time(raw, zone) < LATEST_NS
    except Rejected as rejected:
        assert rejected.reason in (Reason.UNREADABLE_TIME, Reason.NAIVE_TIME)
        assert len(rejected.message) < 600  # 40 characters, each of which may be shown as ten


# --- plausibility

RULE = TimeRule()
APPEND = 1_700_000_000_000


def plausible(event_time_ms: int, append_time_ms: int = APPEND, rule: TimeRule = RULE) -> Reason | None:
    try:
        check_event_time(event_time_ms, append_time_ms, 30 * DAY_MS, rule)
    except Rejected as rejected:
        return rejected.reason
    return None


def test_each_limit_is_still_plausible_and_one_millisecond_beyond_is_not() -> None:
    floor = RULE.floor_ms
    assert plausible(floor, floor) is None
    assert plausible(floor - 1, floor) is Reason.BEFORE_FLOOR
    assert plausible(APPEND + 60_000) is None
    assert plausible(APPEND + 60_001) is Reason.IN_FUTURE
    assert plausible(APPEND - 30 * DAY_MS) is None
    assert plausible(APPEND - 30 * DAY_MS - 1) is Reason.TOO_OLD


def test_the_years_1970_and_2100_are_implausible() -> None:
    assert plausible(ns("1970-06-01T00:00:00Z") // 10**6) is Reason.BEFORE_FLOOR
    assert plausible(ns("2100-06-01T00:00:00Z") // 10**6) is Reason.IN_FUTURE


def test_a_replay_sets_its_own_floor_and_clock() -> None:
    event = ns("2012-06-01T00:00:00Z") // 10**6
    assert plausible(event) is Reason.BEFORE_FLOOR
    assert plausible(event, event + 1000, TimeRule(floor_ms=0)) is None


def test_a_header_must_name_the_same_millisecond() -> None:
    check_header_time(5, 5)
    check_header_time(5, None)
    check_header_time(ns("2024-05-06T07:08:09.123999Z") // 10**6, 1_714_979_289_123)
    for header_ms in (4, 6):
        with pytest.raises(Rejected) as caught:
            check_header_time(5, header_ms)
        assert caught.value.reason is Reason.HEADER_MISMATCH
