"""Laws of reading the envelope's headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.envelope import MAX_CRS_LENGTH, read_headers, with_headers
from udfs.reading import MAX_TEXT_LENGTH, Headers
from udfs.reasons import Reason, Rejected

NAMES = ("sensor_id", "ingest_timestamp", "event_timestamp", "crs_source", "payload_version", "content_type")
TEXTS = ("sensor_id", "crs_source", "payload_version", "content_type")
TIMES = ("ingest_timestamp", "event_timestamp")


def read(**headers: bytes) -> Headers:
    return read_headers(*(headers.get(name) for name in NAMES))


def reason_of(**headers: bytes) -> Reason:
    with pytest.raises(Rejected) as caught:
        read(**headers)
    return caught.value.reason


def test_absent_headers_are_none() -> None:
    assert read() == Headers()


def test_headers_keep_their_places() -> None:
    assert read(
        sensor_id="señal-1".encode(),
        ingest_timestamp=b"1700000000200",
        event_timestamp=b"1700000000123",
        crs_source=b"EPSG:4326",
        payload_version=b"1",
        content_type=b"application/json",
    ) == Headers("señal-1", 1700000000200, 1700000000123, "EPSG:4326", "1", "application/json")


@given(st.integers(-(10**18) + 1, 10**18 - 1), st.sampled_from(TIMES))
def test_decimal_milliseconds_are_read_as_they_stand(time_ms: int, name: str) -> None:
    assert getattr(read(**{name: str(time_ms).encode()}), f"{name}_ms") == time_ms


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(
    "raw",
    [b"", b" ", b"1.5", b"1e3", b"1_000", b" 1", b"1 ", b"+1", b"-", b"--1", b"0x1", b"nan", b"9" * 19, "١".encode()],
)
def test_times_that_are_not_decimal_integers_are_broken(name: str, raw: bytes) -> None:
    assert reason_of(**{name: raw}) is Reason.BROKEN_HEADER


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("raw", [b"", b"  ", b"\xff\xfe", b"\xed\xa0\x80", b"x" * (MAX_CRS_LENGTH + 1)])
def test_text_that_is_empty_or_not_utf8_or_endless_is_broken(name: str, raw: bytes) -> None:
    assert reason_of(**{name: raw}) is Reason.BROKEN_HEADER


def test_only_a_crs_may_be_longer_than_an_identifier() -> None:
    long = b"x" * (MAX_TEXT_LENGTH + 1)
    assert reason_of(sensor_id=long) is Reason.BROKEN_HEADER
    assert read(crs_source=long).crs_source == long.decode()


@pytest.mark.parametrize("letter", ["x", "ü", "𝛼"])
def test_lengths_count_characters_as_in_the_value(letter: str) -> None:
    for name, longest in (("sensor_id", MAX_TEXT_LENGTH), ("crs_source", MAX_CRS_LENGTH)):
        assert getattr(read(**{name: (letter * longest).encode()}), name) == letter * longest
        assert reason_of(**{name: (letter * longest + letter).encode()}) is Reason.BROKEN_HEADER


@given(st.text(min_size=1, max_size=60).filter(lambda text: not text.isspace()))
def test_text_comes_back_as_it_was_sent(text: str) -> None:
    assert read(sensor_id=text.encode()).sensor_id == text


@given(st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=30)))
def test_any_bytes_are_read_or_rejected(headers: dict[str, bytes]) -> None:
    try:
        read(**headers)
    except Rejected as rejected:
        assert rejected.reason is Reason.BROKEN_HEADER


@given(
    st.none() | st.dictionaries(st.sampled_from("abc"), st.integers()),
    st.lists(st.none() | st.text().map(str.encode), min_size=3, max_size=3),
)
def test_attribute_headers_add_to_the_attributes_of_the_value_and_never_replace_them(
    attributes: dict[str, int] | None, sent: list[bytes | None]
) -> None:
    merged = with_headers(attributes, "abc", sent) or {}
    for name, raw in zip("abc", sent, strict=True):
        if attributes and name in attributes:
            assert merged.pop(name) == attributes[name]
        elif raw is not None:
            assert merged.pop(name) == raw.decode()
    assert merged == {}


def test_an_attribute_header_that_is_no_text_is_broken() -> None:
    with pytest.raises(Rejected) as caught:
        with_headers({"a": 1}, ("a",), (b"\xff",))
    assert caught.value.reason is Reason.BROKEN_HEADER
    assert with_headers(None, ("a",), (None,)) is None
