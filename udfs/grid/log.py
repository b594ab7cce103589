"""What a grid keeps in state: readings by spans of event time, and what was published of each instant.

Both are append-only logs (`udfs.shard_log`): a frame appends one chunk to each entry that it touches.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from udfs.grid.series import Point

Kept = tuple[str, str, Point]  # (place, name of the grid's metric, reading)


class Published(NamedTuple):
    """One firing of a row."""

    place: str
    revision: int
    digest: int  # of the row's content, so that nothing is published twice
    settled: bool


_kept_decoder = msgspec.msgpack.Decoder(list[Kept])
_published_decoder = msgspec.msgpack.Decoder(list[Published])
encode = msgspec.msgpack.Encoder().encode


class KeptCodec:
    """Readings of a span, in the order of arrival."""

    def empty(self) -> list[Kept]:
        return []

    def absorb(self, value: list[Kept], chunk: bytes) -> None:
        value.extend(_kept_decoder.decode(chunk))

    def dump(self, value: list[Kept]) -> bytes:
        return encode(value)


class PublishedCodec:
    """The newest firing of each place's row at one instant."""

    def empty(self) -> dict[str, Published]:
        return {}

    def absorb(self, value: dict[str, Published], chunk: bytes) -> None:
        for published in _published_decoder.decode(chunk):
            value[published.place] = published

    def dump(self, value: dict[str, Published]) -> bytes:
        return encode(list(value.values()))
