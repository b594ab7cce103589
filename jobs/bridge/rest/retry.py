"""When a request is tried again: which answers are worth it, and how long a source asks to be left alone."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_RETRY_AFTER_S: Final = 86_400.0


def http_date_ms(text: str | None) -> int | None:
    """Epoch milliseconds of an HTTP date; None for none and for what is no date.

    Source: RFC 9110 §5.6.7.
    """
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def retry_after_s(text: str | None, now_ms: int) -> float:
    """Seconds that a `Retry-After` header asks for.

    Parameters
    ----------
    text
        Whole seconds, or an HTTP date.
    now_ms
        Wall time: the source's own `Date` if it sent one, so that clocks need not agree.

    Returns
    -------
        From 0 (also for no header and an unreadable one) to one day.

    Source: RFC 9110 §10.2.3.
    """
    if text is None:
        return 0.0
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_RETRY_AFTER_S)
    due_ms = http_date_ms(text)
    if due_ms is None:
        return 0.0
    return min(max(0.0, (due_ms - now_ms) / 1000), LONGEST_RETRY_AFTER_S)
