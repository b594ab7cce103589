"""Frames: many readings that cross between the JVM and Python as one element.

A crossing costs microseconds per element whatever its size (ARCHITECTURE.md, "Frames"), so the align stage packs the
readings of one shard of a batch into a frame, and the keyed operators work on whole frames. Inside, a frame is a
table: columns of numbers as raw arrays, and what does not change from reading to reading of a stationary sensor once,
as a station. A frame never outlives a checkpoint barrier except inside Kafka's own topics, but unaligned checkpoints
could store one, so it carries a version.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from udfs.packed import pack, unpack

FRAME_VERSION = 2


class Station(msgspec.Struct, array_like=True, gc=False, eq=False):
    """What the readings of a sensor at one place have in common; two of them are the same only as one object."""

    stream: str
    sensor_id: str
    metric: str
    region: str
    cell: str
    lon_deg: float
    lat_deg: float
    x: float
    y: float
    key: bytes  # the raw record's key: spatial, and so the key of the aligned record too
    aligned: bytes  # the end of the aligned record's JSON: `,"sensor_id":…}`


class Row(NamedTuple):
    """One accepted reading of a frame."""

    station: Station
    event_id: str
    event_time_ms: int
    value: float
    id_digest: int  # 64 bits of (sensor id, event id)
    content_digest: int  # 64 bits of all that makes the measurement
    partition: int
    offset: int
    append_time_ms: int
    raw: bytes  # the value as received, for dead letters
    aligned: bytes  # the start of the aligned record's JSON: `{"event_id":…` without a closing brace
    fraction: float = 1.0  # see `udfs.sampling`


Letter = tuple[str, bytes, bytes]  # (reason, key, record)


class Frame(msgspec.Struct, array_like=True, gc=False):
    """The accepted readings of one shard as columns, and the dead letters that travel with them."""

    version: int
    stations: list[Station]
    station: bytes  # uint32: index into `stations`
    event_id: Sequence[str]
    event_time_ms: bytes  # int64
    value: bytes  # float64
    id_digest: bytes  # uint64
    content_digest: bytes  # uint64
    partition: bytes  # int64
    offset: bytes  # int64
    append_time_ms: bytes  # int64
    raw: Sequence[bytes]
    aligned: Sequence[bytes]
    invalid: list[Letter]
    fraction: bytes = b""  # float64; none where all are 1, and in frames of versions that knew no sampling
    probes: list[bytes] = []  # starts of their accounting records, see `udfs.probe`


class Readings:
    """The accepted readings of a frame as columns of Python values, all of one length."""

    __slots__ = (
        "aligned",
        "append_time_ms",
        "content_digest",
        "event_id",
        "event_time_ms",
        "fraction",
        "id_digest",
        "offset",
        "partition",
        "probes",
        "raw",
        "station",
        "stations",
        "value",
    )

    def __init__(self, frame: Frame) -> None:
        self.stations = frame.stations
        self.station = array("I", frame.station)
        self.event_id = frame.event_id
        self.event_time_ms = array("q", frame.event_time_ms)
        self.value = array("d", frame.value)
        self.id_digest = array("Q", frame.id_digest)
        self.content_digest = array("Q", frame.content_digest)
        self.partition = array("q", frame.partition)
        self.offset = array("q", frame.offset)
        self.append_time_ms = array("q", frame.append_time_ms)
        self.raw = frame.raw
        self.aligned = frame.aligned
        self.fraction = array("d", frame.fraction) if frame.fraction else None
        self.probes = frame.probes  # no readings: they only travel with them

    def __len__(self) -> int:
        return len(self.event_id)

    def row(self, index: int) -> Row:
        return Row(
            self.stations[self.station[index]],
            self.event_id[index],
            self.event_time_ms[index],
            self.value[index],
            self.id_digest[index],
            self.content_digest[index],
            self.partition[index],
            self.offset[index],
            self.append_time_ms[index],
            self.raw[index],
            self.aligned[index],
            1.0 if self.fraction is None else self.fraction[index],
        )


_decoder = msgspec.msgpack.Decoder(Frame)


def encode_frame(rows: Sequence[Row], invalid: Sequence[Letter] = ()) -> bytes:
    """Pack rows, in their order, and dead letters."""
    if not rows:
        return pack(Frame(FRAME_VERSION, [], b"", [], b"", b"", b"", b"", b"", b"", b"", [], [], list(invalid)))
    station, event_id, time_ms, value, digest, content, partition, offset, append_ms, raw, aligned, fraction = zip(
        *rows, strict=True
    )
    return pack(
        Frame(
            FRAME_VERSION,
            *index_stations(station),
            event_id,
            _column("q", time_ms),
            _column("d", value),
            _column("Q", digest),
            _column("Q", content),
            _column("q", partition),
            _column("q", offset),
            _column("q", append_ms),
            raw,
            aligned,
            list(invalid),
            b"" if min(fraction) == 1.0 else _column("d", fraction),
        )
    )


def encode_part(readings: Readings, rows: Sequence[int]) -> bytes:
    """Pack these rows of a frame as a frame of their own, without the starts of their aligned records."""

    def part(column: array[int] | array[float]) -> bytes:
        return np.frombuffer(column, column.typecode)[rows].tobytes()

    used, station = np.unique(np.frombuffer(readings.station, np.uint32)[rows], return_inverse=True)
    return pack(
        Frame(
            FRAME_VERSION,
            [readings.stations[i] for i in used],
            station.astype(np.uint32).tobytes(),
            [readings.event_id[row] for row in rows],
            part(readings.event_time_ms),
            part(readings.value),
            part(readings.id_digest),
            part(readings.content_digest),
            part(readings.partition),
            part(readings.offset),
            part(readings.append_time_ms),
            [readings.raw[row] for row in rows],
            [b""] * len(rows),
            [],
            b"" if readings.fraction is None else part(readings.fraction),
        )
    )


def index_stations(stations: Iterable[Station]) -> tuple[list[Station], bytes]:
    """The first two columns of a frame: each station once, and for each reading the index of its own."""
    index: dict[Station, int] = {}
    of_reading = [index.setdefault(station, len(index)) for station in stations]
    return list(index), _column("I", of_reading)


def decode_frame(data: bytes) -> tuple[Readings, list[Letter]]:
    frame = _decoder.decode(unpack(data))
    if frame.version != FRAME_VERSION:
        raise ValueError(f"frame version {frame.version}, this job reads {FRAME_VERSION}")
    return Readings(frame), frame.invalid


def _column(code: str, values: Iterable[float]) -> bytes:
    return array(code, values).tobytes()
