"""A PUBLISH packet, read without the objects that paho makes for each."""

from __future__ import annotations

import struct
from typing import NamedTuple

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

_SHORT = struct.Struct("!H").unpack_from


class Publish(NamedTuple):
    """A message as it came."""

    topic: str
    body: bytes
    qos: int
    is_retained: bool
    is_repeat: bool
    mid: int
    """The message's id on its connection; 0 for QoS 0."""
    traceparent: str | None


def parse_publish(first_byte: int, rest: bytes | bytearray, is_v5: bool) -> Publish:
    """Read a packet.

    Parameters
    ----------
    first_byte
        Of the fixed header: type and flags.
    rest
        Everything behind the fixed header.

    Raises
    ------
    ValueError
        It is malformed.

    Source: MQTT 5.0, 3.3; MQTT 3.1.1, 3.3.
    """
    qos = first_byte >> 1 & 3
    try:
        at = 2 + _SHORT(rest)[0]
        topic = rest[2:at]
        mid = 0
        if qos:
            mid = _SHORT(rest, at)[0]
            at += 2
        traceparent = None
        if is_v5:
            if rest[at]:
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                at += properties.unpack(bytes(rest[at:]))[1]  # type: ignore[no-untyped-call]
                traceparent = _traceparent(properties)
            else:
                at += 1
    except (struct.error, IndexError) as error:
        raise ValueError(f"a PUBLISH packet of {len(rest)} bytes: {error}") from None
    except Exception as error:  # paho's own classes for malformed properties
        raise ValueError(f"properties of a PUBLISH packet: {error}") from None
    if at > len(rest) or qos == 3:
        raise ValueError(f"a PUBLISH packet of {len(rest)} bytes with QoS {qos}")
    try:
        text = topic.decode()
    except UnicodeDecodeError:
        text = "(not UTF-8)"  # the broker should have refused it; it fits no template
    return Publish(text, bytes(rest[at:]), qos, bool(first_byte & 1), bool(first_byte & 8), mid, traceparent)


def _traceparent(properties: Properties) -> str | None:
    pairs = getattr(properties, "UserProperty", ())
    return next((value for name, value in pairs if name == "traceparent"), None)
