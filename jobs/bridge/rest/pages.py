"""Pagination: how the next page of an answer is asked for, and where the pages end.

A page has a token: empty for the first, else whatever finds it again. The cursor remembers the token of the page
that is next, so a restart goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urljoin

import httpx
import orjson
from pydantic import Field

from jobs.pipeline.section import Section
from jobs.replay.source import BadRow, find_cell


class MalformedPage(ValueError):  # noqa: N818
    """A page that does not say whether there is another, or that points in a circle."""


class Page(NamedTuple):
    """What pagination looks at."""

    url: str
    link: str | None
    """The `Link` header."""
    body: bytes


class NoPages(Section):
    """One answer is all."""

    kind: Literal["none"] = "none"

    def variables(self, token: str) -> Mapping[str, str]:
        return {}

    def following(self, token: str, page: Page) -> str | None:
        return None


class LinkHeader(NoPages):
    """The next page is named by a `Link` header with `rel="next"` (RFC 8288)."""

    kind: Literal["link-header"]  # type: ignore[assignment]

    def following(self, token: str, page: Page) -> str | None:
        links = httpx.Response(200, headers={"link": page.link}).links if page.link else {}
        url = links.get("next", {}).get("url")
        return urljoin(page.url, url) if url else None


class NextUrl(NoPages):
    """The next page is named by a URL in the JSON body, such as `@iot.nextLink` or `meta.next`."""

    kind: Literal["next-url"]  # type: ignore[assignment]
    path: str

    def following(self, token: str, page: Page) -> str | None:
        url = _find(page, self.path)
        if not url:
            return None
        if not isinstance(url, str):
            raise MalformedPage(f"{self.path} is no URL: {str(url)[:100]!r}")
        return urljoin(page.url, url)


class PageNumber(NoPages):
    """Pages are numbered by `{page}`; one with fewer than `size` items is the last."""

    kind: Literal["page"]  # type: ignore[assignment]
    items: str = Field(description="where the list of items is in the JSON body; empty: the body is the list")
    size: int = Field(ge=1, description="items of a full page")
    first: int = Field(default=1, ge=0)

    def variables(self, token: str) -> Mapping[str, str]:
        return {"page": token or str(self.first)}

    def following(self, token: str, page: Page) -> str | None:
        return None if _count(page, self.items) < self.size else str(int(token or self.first) + 1)


class Offset(NoPages):
    """Items are skipped by `{offset}`; a page with fewer than `size` items is the last."""

    kind: Literal["offset"]  # type: ignore[assignment]
    items: str = Field(description="where the list of items is in the JSON body; empty: the body is the list")
    size: int = Field(ge=1, description="items of a full page")

    def variables(self, token: str) -> Mapping[str, str]:
        return {"offset": token or "0"}

    def following(self, token: str, page: Page) -> str | None:
        return None if _count(page, self.items) < self.size else str(int(token or 0) + self.size)


class CursorToken(NoPages):
    """The JSON body holds a token for the next page, which is asked for by `{cursor}`."""

    kind: Literal["cursor"]  # type: ignore[assignment]
    path: str

    def variables(self, token: str) -> Mapping[str, str]:
        return {"cursor": token}

    def following(self, token: str, page: Page) -> str | None:
        found = _find(page, self.path)
        if isinstance(found, dict | list):
            raise MalformedPage(f"{self.path} is no token: {str(found)[:100]!r}")
        return None if found is None or found == "" else str(found)


Pagination = Annotated[NoPages | LinkHeader | NextUrl | PageNumber | Offset | CursorToken, Field(discriminator="kind")]
URL_TOKENS = (LinkHeader, NextUrl)
"""Kinds whose tokens are URLs."""


def _read(page: Page) -> Any:
    try:
        return orjson.loads(page.body)
    except orjson.JSONDecodeError as error:
        raise MalformedPage(f"the page is not JSON: {error}") from None


def _find(page: Page, path: str) -> Any:
    """What is at a path; None where there is nothing."""
    document = _read(page)
    if not isinstance(document, dict):
        raise MalformedPage(f"the page is a JSON {type(document).__name__}, not an object with {path}")
    try:
        return find_cell(document, path)
    except BadRow:
        return None


def _count(page: Page, path: str) -> int:
    items = _find(page, path) if path else _read(page)
    if not isinstance(items, list):
        raise MalformedPage(f"there is no list at {path!r}")
    return len(items)
