"""The socket between paho and the network: the same bytes in the same order, in fewer calls."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.bridge.mqtt.read_ahead import ReadAheadSocket


@pytest.fixture
def pair() -> Iterator[tuple[ReadAheadSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    wrapped = ReadAheadSocket(ours)
    yield wrapped, theirs
    wrapped.close()
    theirs.close()


@given(chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=20), size=st.integers(1, 70))
def test_what_is_read_is_what_was_sent(chunks: list[bytes], size: int) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    wrapped, found = ReadAheadSocket(ours), b""
    for chunk in chunks:
        theirs.sendall(chunk)
        found += wrapped.recv(size)
        assert wrapped.pending() + len(found) <= sum(map(len, chunks))
    theirs.close()
    while part := wrapped.recv(size):
        found += part
    assert found == b"".join(chunks)
    wrapped.close()


def test_reading_nothing_would_block(pair: tuple[ReadAheadSocket, socket.socket]) -> None:
    ours, theirs = pair
    with pytest.raises(BlockingIOError):
        ours.recv(1)
    theirs.sendall(b"abc")
    assert (ours.recv(1), ours.pending(), ours.recv(10), ours.pending()) == (b"a", 2, b"bc", 0)
    with pytest.raises(BlockingIOError):
        ours.recv(1)


def test_writes_wait_for_a_flush_and_keep_their_order(pair: tuple[ReadAheadSocket, socket.socket]) -> None:
    ours, theirs = pair
    assert (ours.send(b"one"), ours.send(b"two"), ours.has_unsent) == (3, 3, True)
    ours.flush()
    assert (theirs.recv(10), ours.has_unsent) == (b"onetwo", False)


def test_a_peer_that_does_not_read_loses_nothing(
    pair: tuple[ReadAheadSocket, socket.socket],
) -> None:
    ours, theirs = pair
    sent = sum(ours.send(b"x" * 1_000) for _ in range(5_000))
    ours.flush()
    assert ours.has_unsent
    theirs.setblocking(False)
    received = 0
    while ours.has_unsent or received < sent:
        received += len(theirs.recv(1_000_000))
        ours.flush()
    assert received == sent


def test_closing_sends_what_waits(pair: tuple[ReadAheadSocket, socket.socket]) -> None:
    ours, theirs = pair
    ours.send(b"goodbye")
    ours.close()
    assert theirs.recv(100) == b"goodbye"
