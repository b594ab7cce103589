"""Frames of the grid job: the readings of one shard of one batch as one element, and the batch's tallies.

See `udfs.frame` for why; this one has the aligned readings' own columns.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy.typing as npt

from udfs import packed

FRAME_VERSION = 1

Column = npt.NDArray[Any]
Tally = tuple[str, str, str, int]  # (grid, source, class, count); classes of readings that have no place in the grid


class Lane(msgspec.Struct, array_like=True, gc=False, eq=False):
    """What readings of one sensor and metric have in common on their way to one grid; the same only as one object."""

    grid: str
    place: str
    metrics: tuple[str, ...]  # names of the grid's metrics that take them
    sensor_id: str
    source: str
    feed: int
    metric: str
    stream: str
    unit: str
    tells_clock: bool  # whether it is this copy of a reading that its sensor's clock is judged by


class GridFrame(msgspec.Struct, array_like=True, gc=False):
    """Columns of readings, all of one length but `lanes` and `tallies`."""

    version: int
    lanes: list[Lane]
    lane: bytes  # uint32: index into `lanes`
    time_ms: bytes  # int64, with the clock's correction
    correction_ms: bytes  # int64
    value: bytes  # float64
    tie: bytes  # uint64
    arrival_ms: bytes  # int64
    partition: bytes  # int64
    offset: bytes  # int64
    append_ms: bytes  # int64: of the aligned record
    raw: Sequence[bytes]  # the aligned record, for dead letters
    tallies: list[Tally]


class GridReadings:
    """A frame as columns of Python values."""

    def __init__(self, frame: GridFrame) -> None:
        self.lanes = frame.lanes
        self.lane = array("I", frame.lane)
        self.time_ms = array("q", frame.time_ms)
        self.correction_ms = array("q", frame.correction_ms)
        self.value = array("d", frame.value)
        self.tie = array("Q", frame.tie)
        self.arrival_ms = array("q", frame.arrival_ms)
        self.partition = array("q", frame.partition)
        self.offset = array("q", frame.offset)
        self.append_ms = array("q", frame.append_ms)
        self.raw = frame.raw
        self.tallies = frame.tallies

    def __len__(self) -> int:
        return len(self.lane)


class Columns(NamedTuple):
    """The readings of a batch as NumPy columns, of the types of `GridFrame`."""

    time_ms: Column
    correction_ms: Column
    value: Column
    tie: Column
    arrival_ms: Column
    partition: Column
    offset: Column
    append_ms: Column


class Part:
    """What goes to one shard: rows of the batch, each with its lane, and tallies."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.lanes: list[Lane] = []
        self.tallies: list[Tally] = []

    def encode(self, columns: Columns, raw: Sequence[bytes]) -> bytes:
        """Make a frame of the rows; `raw` has the records of the whole batch."""
        lanes = dict.fromkeys(self.lanes)
        number_of = dict(zip(lanes, range(len(lanes)), strict=True))
        lane = array("I", [number_of[one] for one in self.lanes]).tobytes()
        own = [column[self.rows].tobytes() for column in columns]
        records = [raw[row] for row in self.rows]
        return packed.pack(GridFrame(FRAME_VERSION, list(lanes), lane, *own, records, self.tallies))  # type: ignore[arg-type,call-arg]


_decoder = msgspec.msgpack.Decoder(GridFrame)


def unpack(data: bytes) -> GridReadings:
    """Read a frame.

    Raises
    ------
    ValueError : it is of another version.
    """
    frame = _decoder.decode(packed.unpack(data))
    if frame.version != FRAME_VERSION:
        raise ValueError(f"frame version {frame.version}, this job reads {FRAME_VERSION}")
    return GridReadings(frame)
