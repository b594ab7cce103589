"""Pagination: each kind finds its next page, its end, and says when a page cannot be understood."""

from __future__ import annotations

import json

import pytest
from pydantic import TypeAdapter

from jobs.bridge.rest.config import Feed
from jobs.bridge.rest.pages import MalformedPage, NoPages, Page, Pagination
from jobs.bridge.rest.request import Request, format_time, page_request, plain_url
from jobs.bridge.rest.span import Span

URL = "https://api.example.org/v3/items?limit=2"
SPAN = Span(1_700_000_000_000, 1_700_003_600_000)


def pager(**options: object) -> NoPages:
    return TypeAdapter(Pagination).validate_python(options)


def page(document: object, link: str | None = None) -> Page:
    return Page(URL, link, json.dumps(document).encode())


def feed(url: str = "https://api.example.org/v3/items", **options: object) -> Feed:
    return Feed.model_validate({"name": "f", "adapter": "meridian", "url": url, "every": "1 min", **options})


def test_one_page_is_all() -> None:
    assert pager(kind="none").following("", page({"next": "x"})) is None


def test_link_header() -> None:
    link = pager(kind="link-header")
    assert link.following("", page([], '</v3/items?page=2>; rel="next", </v3/items?page=9>; rel="last"')) == (
        "https://api.example.org/v3/items?page=2"
    )
    assert link.following("", page([], '</v3/items?page=1>; rel="prev"')) is None
    assert link.following("", page([])) is None
    assert link.following("", page([], "nonsense;;;<")) is None


def test_next_url_may_have_a_dot_in_its_name() -> None:
    following = pager(kind="next-url", path="@iot.nextLink").following
    assert following("", page({"@iot.nextLink": "?$skip=100"})) == "https://api.example.org/v3/items?$skip=100"
    assert following("", page({"value": []})) is None
    assert pager(kind="next-url", path="meta.next").following("", page({"meta": {"next": None}})) is None


def test_page_numbers_end_with_a_page_that_is_not_full() -> None:
    numbers = pager(kind="page", items="results", size=2)
    assert numbers.variables("") == {"page": "1"}
    assert numbers.following("", page({"results": [1, 2]})) == "2"
    assert numbers.following("2", page({"results": [1, 2]})) == "3"
    assert numbers.following("3", page({"results": [1]})) is None


def test_offsets_step_by_the_size() -> None:
    offsets = pager(kind="offset", items="", size=2)
    assert offsets.variables("") == {"offset": "0"}
    assert offsets.following("", page([1, 2])) == "2"
    assert offsets.following("2", page([1, 2])) == "4"
    assert offsets.following("4", page([])) is None


def test_cursor_tokens_end_where_there_is_none() -> None:
    tokens = pager(kind="cursor", path="meta.cursor")
    assert tokens.following("", page({"meta": {"cursor": "abc"}})) == "abc"
    assert tokens.following("", page({"meta": {"cursor": 7}})) == "7"
    assert tokens.following("abc", page({"meta": {"cursor": ""}})) is None
    assert tokens.following("abc", page({})) is None


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "next-url", "path": "next"},
        {"kind": "page", "items": "results", "size": 2},
        {"kind": "offset", "items": "results", "size": 2},
        {"kind": "cursor", "path": "cursor"},
    ],
)
@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"null", b'"x"', b"\xff\xfe"])
def test_a_page_that_is_no_json_object_is_malformed(options: dict[str, object], body: bytes) -> None:
    with pytest.raises(MalformedPage):
        pager(**options).following("", Page(URL, None, body))


@pytest.mark.parametrize("document", [{"results": {}}, {"results": "x"}, {}])
def test_a_page_without_its_list_is_malformed(document: object) -> None:
    with pytest.raises(MalformedPage):
        pager(kind="page", items="results", size=2).following("", page(document))


def test_the_range_goes_where_the_template_says() -> None:
    wanted = feed(
        "https://api.example.org/{from}/items",
        params={"end": "{to}", "q": "a b"},
        time_format="epoch-s",
        overlap="1 min",
    )
    assert page_request(wanted, SPAN, "") == Request(
        "https://api.example.org/1700000000/items", {"end": "1700003600", "q": "a b"}
    )


def test_a_path_is_quoted() -> None:
    assert page_request(feed("https://api.example.org/{from}/x"), SPAN, "").url.endswith("/2023-11-14T22%3A13%3A20Z/x")


def test_an_empty_cursor_is_left_out() -> None:
    wanted = feed(params={"c": "{cursor}"}, pagination={"kind": "cursor", "path": "next"})
    assert page_request(wanted, SPAN, "").params == {}
    assert page_request(wanted, SPAN, "a/b").params == {"c": "a/b"}


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/x", "http://api.example.org/x", "https://api.example.org:444/x", "file:///etc/passwd",
     "https://api.example.org:bad/x"],
)  # fmt: skip
def test_a_next_page_on_another_server_is_not_followed(url: str) -> None:
    wanted = feed(pagination={"kind": "link-header"})
    with pytest.raises(MalformedPage):
        page_request(wanted, SPAN, url)
    assert page_request(wanted, SPAN, "https://api.example.org:443/y?page=2").params == {}


def test_times_are_utc_whatever_the_format() -> None:
    assert format_time(SPAN.from_ms, "iso") == "2023-11-14T22:13:20Z"
    assert format_time(SPAN.from_ms, "epoch-ms") == "1700000000000"
    assert format_time(SPAN.from_ms, "%Y-%m-%d %H:%M") == "2023-11-14 22:13"
    assert format_time(-1, "epoch-s") == "-1"


def test_a_plain_url_holds_no_secret() -> None:
    assert plain_url("https://h:1/p?key=SECRET#x") == "https://h:1/p"
