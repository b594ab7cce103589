"""What makes two readings the same: event ids and digests.

Python's `hash()` differs between processes, so all of it is XXH3 (https://xxhash.com). What the readings of a station
have in common is hashed once, into the seeds.
"""

from __future__ import annotations

import struct

import xxhash

_NUL = "\0"  # separates texts that are hashed together
_WORD = (1 << 64) - 1

_pack = struct.Struct("<qd").pack


def event_id_start(sensor_id: str, metric: str) -> str:
    """Give what the texts behind a sensor's derived event ids begin with."""
    return f"{sensor_id}{_NUL}{metric}{_NUL}"


def derive_event_id(start: str, event_time_ns: int, value_original: float) -> str:
    """Name a reading that came without an id by what it measured, its time at full precision."""
    return "d-" + xxhash.xxh3_128_hexdigest(f"{start}{event_time_ns}{_NUL}{value_original!r}".encode())


def id_seed(sensor_id: str) -> int:
    """Give the seed of a sensor's id digests: an event id is unique within its sensor only."""
    return xxhash.xxh3_64_intdigest(sensor_id.encode())


def id_digest(seed: int, event_id: str) -> int:
    """Digest (sensor, event id) to 64 bits."""
    return xxhash.xxh3_64_intdigest(event_id.encode(), seed)


def content_seed(sensor_id: str, metric: str, unit_original: str, crs: str, x: float, y: float) -> int:
    """Give the seed of the content digests of what a sensor measures at one place."""
    return xxhash.xxh3_64_intdigest(_NUL.join((sensor_id, metric, unit_original, crs, repr(x), repr(y))).encode())


def content_digest(seed: int, event_time_ns: int, value_original: float) -> int:
    """Digest all that makes a measurement to 64 bits."""
    try:
        packed = _pack(event_time_ns, value_original)
    except struct.error:  # before 1677 or after 2262
        packed = struct.pack("<Qd", event_time_ns & _WORD, value_original) + b"far"
    return xxhash.xxh3_64_intdigest(packed, seed)
