"""Read fields of a foreign payload: each function gives what it says or raises `Unfit` with the field's name."""

from __future__ import annotations

import math
import re
from datetime import tzinfo
from typing import Any

from jobs.bridge.feed import Refusal, Unfit
from udfs.event_time import MICROSECONDS_BELOW, normalise_event_time
from udfs.reading import MAX_TEXT_LENGTH
from udfs.reasons import Reason, Rejected

# float() would also read `1_000`, `nan`, `infinity` and digits of other scripts.
_DECIMAL = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_SHOWN = 60
_LARGEST_ID = 1 << 53  # beyond, an id that JSON gave as a float is not the one that was sent


def as_object(value: Any, name: str) -> dict[str, Any]:
    """Raises NOT_AN_OBJECT, or MISSING_FIELD for null."""
    if type(value) is dict:
        return value
    raise _missing(name) if value is None else Unfit(Refusal.NOT_AN_OBJECT, f"{name} is {_kind(value)}, not an object")


def as_list(value: Any, name: str) -> list[Any]:
    """Raises WRONG_TYPE, or MISSING_FIELD for null."""
    if type(value) is list:
        return value
    raise _missing(name) if value is None else Unfit(Refusal.WRONG_TYPE, f"{name} is {_kind(value)}, not an array")


def as_text(value: Any, name: str) -> str:
    """Text of 1 to 256 characters that is not blank. Raises WRONG_TYPE, MISSING_FIELD."""
    if type(value) is not str:
        raise _missing(name) if value is None else Unfit(Refusal.WRONG_TYPE, f"{name} is {_kind(value)}, not text")
    if not value or value.isspace():
        raise Unfit(Refusal.MISSING_FIELD, f"{name} is empty")
    if len(value) > MAX_TEXT_LENGTH:
        raise Unfit(Refusal.WRONG_TYPE, f"{name} has {len(value)} characters, more than {MAX_TEXT_LENGTH}")
    return value


def as_id(value: Any, name: str) -> str:
    """An id as text: text, or an integer that JSON keeps exactly. Raises WRONG_TYPE, MISSING_FIELD."""
    if type(value) is int:
        return str(value)
    if type(value) is float and value.is_integer() and abs(value) < _LARGEST_ID:
        return str(int(value))
    return as_text(value, name)


def as_number(value: Any, name: str) -> float:
    """A finite number. Raises WRONG_TYPE, VALUE_NOT_FINITE, MISSING_FIELD."""
    if type(value) is float:
        if math.isfinite(value):
            return value
        raise Unfit(Refusal.VALUE_NOT_FINITE, f"{name} is {value}")
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise Unfit(Refusal.VALUE_NOT_FINITE, f"{name} has {value.bit_length()} bits") from None
    raise _missing(name) if value is None else Unfit(Refusal.WRONG_TYPE, f"{name} is {_kind(value)}, not a number")


def as_decimal(value: Any, name: str) -> float:
    """A number, or text that is one in decimal, as feeds send that quote all. Raises as `as_number` does."""
    if type(value) is not str:
        return as_number(value, name)
    text = value.strip()
    if not _DECIMAL.fullmatch(text):
        raise _missing(name) if not text else Unfit(Refusal.WRONG_TYPE, f"{name} is {value[:_SHOWN]!r}, not a number")
    return as_number(float(text), name)


def as_event_time(value: Any, zone: tzinfo | None) -> int:
    """An event time as a reading has it: epoch milliseconds, or nanoseconds where it is finer.

    Parameters
    ----------
    value
        What `normalise_event_time` reads.
    zone
        Of times without an offset; None: they are refused.

    Raises
    ------
    Unfit
        UNREADABLE_TIME, NAIVE_TIME, MISSING_FIELD.
    """
    if value is None:
        raise _missing("the time")
    try:
        ns = normalise_event_time(value, zone)
    except Rejected as rejected:
        reason = Refusal.NAIVE_TIME if rejected.reason is Reason.NAIVE_TIME else Refusal.UNREADABLE_TIME
        raise Unfit(reason, rejected.message) from None
    ms, finer = divmod(ns, 1_000_000)
    # Before 1973-03-03 nanoseconds would be taken for a coarser unit.
    return ns if finer and abs(ns) >= MICROSECONDS_BELOW else ms


def shifted(event_time: int, shift_ms: int) -> int:
    """Move an event time of `as_event_time` back by so many milliseconds."""
    return event_time - (shift_ms if abs(event_time) < MICROSECONDS_BELOW else shift_ms * 1_000_000)


def _missing(name: str) -> Unfit:
    return Unfit(Refusal.MISSING_FIELD, f"{name} is missing")


def _kind(value: Any) -> str:
    names = {bool: "a boolean", str: "text", list: "an array", dict: "an object", int: "a number", float: "a number"}
    shown = f" ({value[:_SHOWN]!r})" if type(value) is str else ""
    return names.get(type(value), type(value).__name__) + shown
