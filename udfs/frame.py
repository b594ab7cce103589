"""Frames: many readings that cross between the JVM and Python as one element.

A crossing costs microseconds per element whatever its size (ARCHITECTURE.md, "Frames"), so the align stage packs the
readings of one shard of a batch into a frame, and the keyed operators work on whole frames. A frame never outlives a
checkpoint barrier except inside Kafka's own topics, but unaligned checkpoints could store one, so it carries a version.
"""

from __future__ import annotations

import msgspec

FRAME_VERSION = 1


class Accepted(msgspec.Struct, array_like=True, gc=False):
    """A reading that passed every stage up to the cell; `aligned` lacks its closing brace."""

    stream: str
    sensor_id: str
    metric: str
    region: str
    cell: str
    event_id: str
    event_time_ms: int
    value: float
    lon_deg: float
    lat_deg: float
    x: float
    y: float
    id_digest: int  # 64 bits of (sensor id, event id)
    content_digest: int  # 64 bits of all that makes the measurement
    partition: int
    offset: int
    append_time_ms: int
    key: bytes  # the raw record's key: spatial, and so the key of the aligned record too
    raw: bytes  # the value as received, for dead letters
    aligned: bytes = b""


class Frame(msgspec.Struct, array_like=True, gc=False):
    """The accepted readings of one shard and the dead letters `(reason, key, record)` that travel with them."""

    version: int = FRAME_VERSION
    accepted: list[Accepted] = []
    invalid: list[tuple[str, bytes, bytes]] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def encode_frame(frame: Frame) -> bytes:
    return _encoder.encode(frame)


def decode_frame(data: bytes) -> Frame:
    frame = _decoder.decode(data)
    if frame.version != FRAME_VERSION:
        raise ValueError(f"frame version {frame.version}, this job reads {FRAME_VERSION}")
    return frame
