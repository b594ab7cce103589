"""Read an event time of any precision and judge its plausibility: the stage `normalise_time`.

A time is `int` nanoseconds since 1970-01-01T00:00:00Z here, and `int` milliseconds (rounded down) everywhere else.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from udfs.reasons import Reason, Rejected
from udfs.rules import TimeRule

# Epoch numbers are told apart by magnitude. An edge belongs to the finer unit: below it seconds, from it milliseconds.
# Seconds reach the year 5138; each finer unit begins on 1973-03-03T09:46:40Z and ends there too. The price is that
# a millisecond (microsecond, nanosecond) count of a time before that day in 1973 is read as a coarser unit.
SECONDS_BELOW = 10**11
MILLISECONDS_BELOW = 10**14
MICROSECONDS_BELOW = 10**17

EARLIEST_NS = -62_135_596_800 * 10**9  # 0001-01-01T00:00:00Z, as far as ISO 8601 and Python go
LATEST_NS = 253_402_300_800 * 10**9  # 10000-01-01T00:00:00Z, excluded

_MAX_TEXT = 64
_LONGEST_DATE = len("2024-05-06")
# Digits alone are an epoch number, unless they are as many as a compact date (YYYY … YYYYMMDDHHMMSS) has.
_EPOCH_DIGITS = frozenset((9, 10, 13, 15, 16, 18, 19))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST_WITH_NS = len("20240506T070809.1234567")


def normalise_event_time(raw: object, zone: tzinfo | None) -> int:
    """Turn an event time as sent into nanoseconds UTC.

    Numbers count seconds (|v| < 1e11), milliseconds (< 1e14), microseconds (< 1e17) or nanoseconds; a fraction is
    rounded to the microsecond, which is all that a float of today's times holds. Text of 9, 10, 13, 15, 16, 18 or 19
    digits is such a number. Other text is ISO 8601 with a date and a time of day; fractions are kept to the nanosecond,
    further digits are cut; `24:00` is not read. A leap second (23:59:60 UTC) gets the number of
    the second after it, as in POSIX.

    A time without an offset is local time in `zone`: one that occurs twice is the first of the two (fold=0), one that
    a clock skipped is as far after the skip as it was into it (PEP 495).

    Parameters
    ----------
    raw
        Number or text; anything else, a bool included, is refused.
    zone
        The feed's zone for times without an offset; None: such a time is refused.

    Returns
    -------
        Nanoseconds since the epoch, UTC, of the years 1 to 9999.

    Raises
    ------
    Rejected
        UNREADABLE_TIME, NAIVE_TIME.

    Source: ISO 8601-1:2019, RFC 3339, PEP 495, POSIX.1-2017 §4.16 "Seconds Since the Epoch".
    """
    if type(raw) is int:
        ns = _scale(raw)
    elif type(raw) is str:
        ns = _read_text(raw, zone)
    elif type(raw) is float:
        ns = _scale_float(raw)
    else:
        raise Rejected(Reason.UNREADABLE_TIME, f"event time is {type(raw).__name__}, neither number nor text")
    if EARLIEST_NS <= ns < LATEST_NS:
        return ns
    raise _unreadable(raw, "is outside the years 1 to 9999")


def check_event_time(event_time_ms: int, append_time_ms: int, max_age_ms: int, rule: TimeRule) -> None:
    """Judge whether an event time is plausible; each limit itself still is.

    Parameters
    ----------
    event_time_ms
        Epoch milliseconds UTC.
    append_time_ms
        Kafka's append time, epoch milliseconds: the one clock that a producer cannot forge.
    max_age_ms
        Oldest age accepted, of the reading's stream.
    rule
        `floor_ms` and `max_future_ms`.

    Raises
    ------
    Rejected
        BEFORE_FLOOR: event < floor. IN_FUTURE: event > append + max_future. TOO_OLD: event < append − max_age.

    Source: DESIGN "Event time rules".
    """
    if event_time_ms < rule.floor_ms:
        raise Rejected(Reason.BEFORE_FLOOR, f"event time {event_time_ms} ms is before the floor {rule.floor_ms} ms")
    ahead_ms = event_time_ms - append_time_ms
    if ahead_ms > rule.max_future_ms:
        raise Rejected(Reason.IN_FUTURE, f"event time {event_time_ms} ms is {ahead_ms} ms ahead of the append time")
    if -ahead_ms > max_age_ms:
        raise Rejected(Reason.TOO_OLD, f"event time {event_time_ms} ms is {-ahead_ms} ms old, more than {max_age_ms}")


def check_header_time(event_time_ms: int, header_ms: int | None) -> None:
    """Check that header and value name the same millisecond.

    The header moves the watermark and the value decides the window: one millisecond apart, a reading could be late for
    a window by the one and in it by the other. A finer time in the value is rounded down, so a producer that rounds its
    header up contradicts itself.

    Parameters
    ----------
    event_time_ms
        Epoch milliseconds UTC of the value, rounded down.
    header_ms
        Epoch milliseconds of the header `event_timestamp`; None: there is none, and the value decides alone.

    Raises
    ------
    Rejected
        HEADER_MISMATCH.

    Source: DESIGN "Event time rules".
    """
    if header_ms is not None and header_ms != event_time_ms:
        raise Rejected(
            Reason.HEADER_MISMATCH, f"header event_timestamp is {header_ms} ms, the value says {event_time_ms} ms"
        )


def _scale(count: int) -> int:
    size = abs(count)
    if size < SECONDS_BELOW:
        return count * 1_000_000_000
    if size < MILLISECONDS_BELOW:
        return count * 1_000_000
    if size < MICROSECONDS_BELOW:
        return count * 1_000
    return count


def _scale_float(count: float) -> int:
    if count - count != 0.0:
        raise Rejected(Reason.UNREADABLE_TIME, f"event time is {count}")
    whole = int(count)
    fraction = count - whole  # exact; count * 1e9 would not be: 1700000000.123 s would end in …122999907
    size = abs(count)
    if size < SECONDS_BELOW:
        return whole * 1_000_000_000 + round(fraction * 1e6) * 1_000
    if size < MILLISECONDS_BELOW:
        return whole * 1_000_000 + round(fraction * 1e3) * 1_000
    if size < MICROSECONDS_BELOW:
        return round(count) * 1_000
    return whole


def _read_text(text: str, zone: tzinfo | None) -> int:
    if text.isdigit():
        if len(text) not in _EPOCH_DIGITS or not text.isascii():
            raise _unreadable(text, "could be a compact date or an epoch number")
        return _scale(int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _read_unusual(text, zone)
    return _from_datetime(moment, text, zone)


def _from_datetime(moment: datetime, text: str, zone: tzinfo | None) -> int:
    if moment.tzinfo is None:
        if len(text) <= _LONGEST_DATE:
            raise _unreadable(text, "is a date without a time of day")
        if zone is None:
            raise Rejected(Reason.NAIVE_TIME, f"event time {text!r} has no offset and its feed no zone")
        moment = moment.replace(tzinfo=zone)
    try:
        since = moment - _EPOCH
    except OverflowError:
        raise _unreadable(text, "is outside the years 1 to 9999") from None
    micros = since.microseconds
    ns = (since.days * 86_400 + since.seconds) * 1_000_000_000 + micros * 1_000
    # The usual text has its fraction at 19; without a 7th digit there, a datetime holds it all.
    if text[19:20] == ".":
        return ns + _beyond_microseconds(text, 19) if text[26:27].isdigit() else ns
    if micros or len(text) >= _LEAST_WITH_NS:
        point = max(text.find("."), text.find(","))
        if point > 0:
            # ISO 8601 also has fractions of hours and minutes (`T07.5`), which Python takes for seconds'.
            if not (text[point - 3] == text[point - 6] == ":" or text[point - 6 : point].isdigit()):
                raise _unreadable(text, "has a fraction of something else than seconds")
            return ns + _beyond_microseconds(text, point)
    return ns


def _beyond_microseconds(text: str, point: int) -> int:
    """Give the nanoseconds of the 7th to 9th digit of the fraction, which Python's datetime cuts."""
    digits = text[point + 7 : point + 10]
    while digits and not digits.isdigit():  # the offset follows
        digits = digits[:-1]
    return int(digits.ljust(3, "0")) if digits else 0


def _read_unusual(text: str, zone: tzinfo | None) -> int:
    """Read what Python 3.11 does not: a lower-case `z`, and the leap second."""
    usual = text[: _MAX_TEXT + 1].upper()
    leap = True
    if usual[16:19] == ":60":
        usual = usual[:16] + ":59" + usual[19:]
    elif usual[8:9] == "T" and usual[13:15] == "60":
        usual = usual[:13] + "59" + usual[15:]
    else:
        leap = False
    try:
        moment = datetime.fromisoformat(usual)
    except ValueError:
        raise _unreadable(text, "is neither ISO 8601 nor an epoch number") from None
    ns = _from_datetime(moment, usual, zone)
    if not leap:
        return ns
    if ns // 1_000_000_000 % 86_400 != 86_399:
        raise _unreadable(text, "has a second 60 that is no leap second")
    return ns + 1_000_000_000


def _unreadable(raw: object, why: str) -> Rejected:
    return Rejected(Reason.UNREADABLE_TIME, f"event time {str(raw)[:_MAX_TEXT]!r} {why}")
