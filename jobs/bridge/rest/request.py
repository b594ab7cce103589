"""What to ask a source for: the URL and query of a page of a span."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from jobs.bridge.rest.config import Feed
from jobs.bridge.rest.pages import URL_TOKENS, MalformedPage
from jobs.bridge.rest.span import Span

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Request(NamedTuple):
    """A GET."""

    url: str
    params: dict[str, str]


def format_time(epoch_ms: int, pattern: str) -> str:
    """Write a time as a source wants it: `iso`, `epoch-s`, `epoch-ms`, or a format of strftime; always UTC."""
    if pattern == "epoch-s":
        return str(epoch_ms // 1000)
    if pattern == "epoch-ms":
        return str(epoch_ms)
    moment = _EPOCH + timedelta(milliseconds=epoch_ms)
    if pattern == "iso":
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return moment.strftime(pattern)


def page_request(feed: Feed, span: Span, token: str) -> Request:
    """Build the request for one page.

    Parameters
    ----------
    token
        Of the page; empty: the first.

    Raises
    ------
    MalformedPage
        The token is a URL of another server: following it would send the feed's headers there.
    """
    if token and isinstance(feed.pagination, URL_TOKENS):
        if _origin(token) != _origin(feed.url):
            raise MalformedPage("the next page is on another server")
        return Request(token, {})
    values = {
        "from": format_time(span.from_ms, feed.time_format),
        "to": format_time(span.to_ms, feed.time_format),
        **feed.pagination.variables(token),
    }
    params = {name: text.format_map(values) for name, text in feed.params.items()}
    url = feed.url.format_map({name: quote(value, safe="") for name, value in values.items()})
    return Request(url, {name: text for name, text in params.items() if text})


def request_headers(feed: Feed, base: Path) -> dict[str, str]:
    """The feed's headers; those in files are read now, relative to `base`, so that a secret can be exchanged.

    Raises
    ------
    OSError, UnicodeDecodeError : a file cannot be read.
    """
    secrets = {name: (base / path).read_text("ascii").strip() for name, path in feed.secret_headers.items()}
    return {**feed.headers, **secrets}


def plain_url(url: str) -> str:
    """A URL without its query, which may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    return parts.scheme, parts.hostname, port
