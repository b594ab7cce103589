"""Frames of the grid job: the readings of one shard of one batch as one element, and the batch's tallies.

See `udfs.frame` for why; this one has the aligned readings' own columns.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import msgspec

from udfs import packed

FRAME_VERSION = 1

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


class FrameBuilder:
    """Collects the readings of one shard."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, int] = {}
        self._columns = [array(code) for code in "IqqdQqqqq"]
        self._raw: list[bytes] = []
        self.tallies: list[Tally] = []

    def add(self, lane: Lane, raw: bytes, *columns: float) -> None:
        """Add a reading; columns as in `GridFrame`, from `time_ms` to `append_ms`."""
        self._columns[0].append(self._lanes.setdefault(lane, len(self._lanes)))
        for column, value in zip(self._columns[1:], columns, strict=True):
            column.append(value)  # type: ignore[arg-type]
        self._raw.append(raw)

    def encode(self) -> bytes:
        lane, time_ms, correction_ms, value, tie, arrival_ms, partition, offset, append_ms = (
            column.tobytes() for column in self._columns
        )
        frame = GridFrame(
            FRAME_VERSION, list(self._lanes), lane, time_ms, correction_ms, value, tie, arrival_ms, partition, offset,
            append_ms, self._raw, self.tallies,
        )  # fmt: skip
        return packed.pack(frame)


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
