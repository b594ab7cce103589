"""PUBLISH packets: read as paho reads them, whatever they hold."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt._packet import MalformedPacket, decode_publish
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from jobs.bridge.mqtt.publish import parse_publish

VERSIONS = {True: MQTTProtocolVersion.MQTTv5, False: MQTTProtocolVersion.MQTTv311}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=10)


def packet(topic: str, body: bytes, qos: int, mid: int, properties: bytes) -> bytes:
    name = topic.encode()
    return struct.pack("!H", len(name)) + name + (struct.pack("!H", mid) if qos else b"") + properties + body


@given(
    topic=TEXT,
    body=st.binary(max_size=50),
    qos=st.integers(0, 2),
    flags=st.sampled_from([0, 1, 8, 9]),
    is_v5=st.booleans(),
    pairs=st.lists(st.tuples(TEXT, TEXT), max_size=3),
)
def test_a_packet_is_read_as_paho_reads_it(
    topic: str, body: bytes, qos: int, flags: int, is_v5: bool, pairs: list[tuple[str, str]]
) -> None:
    properties = Properties(PacketTypes.PUBLISH)
    for pair in pairs:
        properties.UserProperty = pair
    first, rest = 0x30 | flags | qos << 1, packet(topic, body, qos, 513, properties.pack() if is_v5 else b"")
    ours, theirs = parse_publish(first, bytearray(rest), is_v5), decode_publish(first, rest, VERSIONS[is_v5])
    assert ours[:6] == (
        theirs.topic.decode(), theirs.payload, theirs.qos, theirs.retain, theirs.dup, theirs.mid
    )  # fmt: skip


def test_a_trace_comes_in_a_user_property() -> None:
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("other", "x"), ("traceparent", "00-a-b-01")]
    properties.MessageExpiryInterval = 60
    found = parse_publish(0x32, packet("a", b"body", 1, 1, properties.pack()), True)
    assert (found.traceparent, found.body) == ("00-a-b-01", b"body")


@given(first=st.integers(0x30, 0x3F), rest=st.binary(max_size=30), is_v5=st.booleans())
def test_garbage_is_malformed_or_read_but_nothing_else(first: int, rest: bytes, is_v5: bool) -> None:
    try:
        ours = parse_publish(first, rest, is_v5)
    except ValueError:
        return
    try:
        theirs = decode_publish(first, rest, VERSIONS[is_v5])
    except MalformedPacket:
        return  # ours is laxer about an empty topic
    assert (ours.body, ours.mid) == (theirs.payload, theirs.mid)


@pytest.mark.parametrize(
    "rest", [b"", b"\x00", b"\x00\x05ab", b"\x00\x01a\x00", b"\x00\x01a\x00\x01", b"\x00\x01a\x00\x01\x05"]
)
def test_a_packet_that_is_cut_off_is_malformed(rest: bytes) -> None:
    with pytest.raises(ValueError, match="PUBLISH"):
        parse_publish(0x32, rest, True)
