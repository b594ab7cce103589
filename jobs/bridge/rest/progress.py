"""What a page does to the cursor: pure, so that each turn of a poll can be tested."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from jobs.bridge.rest.cursors import Cursor
from jobs.bridge.rest.gaps import GapReport
from jobs.bridge.rest.span import Span


class PageOutcome(NamedTuple):
    """A page and what was made of it."""

    span: Span
    token: str
    """Of this page …"""
    following: str | None = None
    """… and of the next; None: it was the last."""
    problem: str | None = None
    """Why it is malformed as a whole."""
    readings: int = 0
    unreadable: int = 0
    repeats: int = 0
    newest_ms: int | None = None
    etag: str | None = None
    last_modified: str | None = None


def gives_up(before: Cursor, page: PageOutcome, malformed_attempts: int) -> bool:
    """Whether a malformed page is passed over, with the rest of its span, instead of being asked for once more."""
    return page.problem is not None and before.malformed + 1 >= malformed_attempts


def is_last(before: Cursor, page: PageOutcome, malformed_attempts: int) -> bool:
    """Whether the span ends with this page."""
    if page.problem is not None:
        return gives_up(before, page, malformed_attempts)
    return page.following is None


def advance(before: Cursor, page: PageOutcome, *, malformed_attempts: int, asked_until_ms: int, now_ms: int) -> Cursor:
    """Give the cursor that is committed with a page.

    Parameters
    ----------
    malformed_attempts
        Polls after which a malformed page is passed over.
    asked_until_ms
        The cursor's `until_ms` when the span ends here.
    now_ms
        Wall time of the poll.
    """
    counted = msgspec.structs.replace(
        before,
        newest_ms=max((t for t in (before.newest_ms, page.newest_ms) if t is not None), default=None),
        polled_at_ms=now_ms,
        pages=before.pages + 1,
        readings=before.readings + page.readings,
        unreadable=before.unreadable + page.unreadable,
        repeats=before.repeats + page.repeats,
    )
    if is_last(before, page, malformed_attempts):
        return msgspec.structs.replace(
            counted,
            until_ms=asked_until_ms,
            span=None,
            page="",
            malformed=0,
            polls=before.polls + 1,
            etag=page.etag,
            last_modified=page.last_modified,
        )
    if page.problem is not None:
        return msgspec.structs.replace(counted, span=tuple(page.span), page=page.token, malformed=before.malformed + 1)
    return msgspec.structs.replace(counted, span=tuple(page.span), page=page.following or "", malformed=0)


def with_gaps(cursor: Cursor, report: GapReport | None) -> Cursor:
    """Add what a finished span told about gaps."""
    if report is None:
        return cursor
    return msgspec.structs.replace(
        cursor, missing=cursor.missing + report.missing, filled=cursor.filled + report.filled
    )
