"""Bodies come out whole, or not at all, and never larger than allowed."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.bridge.rest.inflate import Body, BrokenGzip, TooLarge


def read(pieces: list[bytes], limit: int, gzipped: bool = True) -> bytes:
    body = Body(limit, gzipped)
    for piece in pieces:
        body.add(piece)
    return body.end()


@given(st.binary(max_size=5_000), st.integers(1, 700))
def test_what_was_packed_comes_out_however_it_is_cut(data: bytes, step: int) -> None:
    packed = gzip.compress(data)
    assert read([packed[i : i + step] for i in range(0, len(packed), step)], 5_000) == data


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_several_members_are_one_body(parts: list[bytes]) -> None:
    assert read([b"".join(map(gzip.compress, parts))], 5_000) == b"".join(parts)


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 1_000_000])
def test_sizes_around_the_step(size: int) -> None:
    assert read([gzip.compress(bytes(size))], size) == bytes(size)
    with pytest.raises(TooLarge):
        read([gzip.compress(bytes(size))], size - 1)


def test_a_bomb_costs_no_more_than_the_limit() -> None:
    bomb = gzip.compress(bytes(100_000_000))
    tracemalloc.start()
    try:
        body = Body(1_000_000, gzipped=True)
        with pytest.raises(TooLarge):
            body.add(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(body) == 1_000_000
    assert peak < 4_000_000


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(BrokenGzip):
        read([data], 1_000)


def test_a_cut_off_body_is_refused() -> None:
    packed = gzip.compress(b"x" * 1_000)
    for end in (0, 5, len(packed) // 2, len(packed) - 1):
        with pytest.raises(BrokenGzip):
            read([packed[:end]], 2_000)


def test_a_plain_body_is_bounded_too() -> None:
    assert read([b"ab", b"c"], 3, gzipped=False) == b"abc"
    with pytest.raises(TooLarge):
        read([b"ab", b"cd"], 3, gzipped=False)
