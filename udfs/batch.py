"""A batch of records on its way through the align stage: columns with one place for each record.

A record has the same place in the raw columns and in the aligned ones, whichever way it took between them. So nobody
has to care for the order of the batch until the end, when a stable sort puts each shard's readings together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from udfs.aligned import Head, aligned_head
from udfs.frame import FRAME_VERSION, Frame, Letter, index_stations
from udfs.identity import content_digest, derive_event_id, id_digest
from udfs.packed import pack
from udfs.series import Series, SeriesKey, Site

T = TypeVar("T")


class RawRecord(NamedTuple):
    """One Kafka record of the raw topic; `headers` are those of ENVELOPE_HEADERS, then the attribute headers."""

    value: bytes | None
    key: bytes | None
    partition: int
    offset: int
    append_time_ms: int
    headers: tuple[bytes | None, ...]


class RawColumns(NamedTuple):
    """The records of a batch, with a column for each header."""

    value: Sequence[bytes | None]
    key: Sequence[bytes | None]
    partition: Sequence[int]
    offset: Sequence[int]
    append_time_ms: Sequence[int]
    headers: Sequence[Sequence[bytes | None]]

    @classmethod
    def of(cls, records: Sequence[RawRecord]) -> RawColumns:
        value, key, partition, offset, append_time_ms, headers = zip(*records, strict=True)
        return cls(value, key, partition, offset, append_time_ms, list(zip(*headers, strict=True)))

    def record(self, place: int) -> RawRecord:
        value, key, partition, offset, append_time_ms, headers = self
        sent = tuple([column[place] for column in headers])
        return RawRecord(value[place], key[place], partition[place], offset[place], append_time_ms[place], sent)


class Pending(NamedTuple):
    """A reading whose site has to be located."""

    place: int
    key: SeriesKey
    series: Series
    site: Site

    @property
    def location(self) -> tuple[str, float, float, str]:
        return (self.series.crs, self.site.x, self.site.y, self.series.region)


class AlignedColumns:
    """What has become of each record so far.

    Parameters
    ----------
    shards
        How many there are; a record without a reading is in the one after the last.
    stale_after_ms
        Older than this when Kafka got it, a reading is marked `stale`, not refused.
    """

    def __init__(self, size: int, shards: int, stale_after_ms: int) -> None:
        self.shards = shards
        self._stale_after_ms = stale_after_ms
        # Lists and not arrays, which take longer to write to one by one than to be made of a list.
        self.shard = [shards] * size
        self.site: list[Site | None] = [None] * size
        self.event_id = [""] * size
        self.event_time_ms = [0] * size
        self.value = [0.0] * size
        self.id_digest = [0] * size
        self.content_digest = [0] * size
        self.head = [b""] * size
        self.fraction: dict[int, float] = {}  # of sampled readings, which most batches have none of

    def put(
        self,
        place: int,
        series: Series,
        site: Site,
        event_id: str | None,
        event_time_ns: int,
        value: float,
        value_original: float,
        quality: str | int | float | None,
        z: float | None,
        attributes: dict[str, Any] | None,
        ingest_time_ms: int,
        append_time_ms: int,
        partition: int,
        offset: int,
        fraction: float | None,
    ) -> None:
        """Write an accepted reading; an event id that it lacks is derived."""
        event_time_ms = event_time_ns // 1_000_000
        derived = event_id is None
        if event_id is None:
            event_id = derive_event_id(series.event_id_start, event_time_ns, value_original)
        stale = append_time_ms - event_time_ms > self._stale_after_ms
        head = Head(
            event_id, derived, value, value_original, quality, event_time_ms, ingest_time_ms, append_time_ms, stale, z,
            partition, offset,
        )  # fmt: skip
        self.head[place] = aligned_head(head, attributes, fraction)  # first, since attributes can hold what JSON cannot
        self.event_id[place] = event_id
        self.event_time_ms[place] = event_time_ms
        self.value[place] = value
        self.id_digest[place] = id_digest(series.id_seed, event_id)
        self.content_digest[place] = content_digest(site.content_seed, event_time_ns, value_original)
        self.site[place] = site
        self.shard[place] = series.shard
        if fraction is not None:
            self.fraction[place] = fraction

    def drop(self, place: int) -> None:
        """Take back a reading that turned out to be refused."""
        self.shard[place] = self.shards


def encode_frames(
    raw: RawColumns, aligned: AlignedColumns, letters: Mapping[int, list[Letter]], probes: Mapping[int, list[bytes]]
) -> list[tuple[int, bytes]]:
    """Pack a batch into frames, one for each shard that has a reading, a letter or a probe.

    Parameters
    ----------
    letters, probes
        Dead letters and probes (`udfs.probe`) by shard.

    Returns
    -------
        (shard, frame), see `udfs.frame`; the readings of a frame are in the order of the batch.
    """
    shard_at = np.array(aligned.shard, np.int32)
    order = shard_at.argsort(kind="stable")
    ends = shard_at[order].searchsorted(np.arange(aligned.shards), side="right").tolist()
    places = order.tolist()
    columns = [
        np.asarray(column, dtype)[order].tobytes()
        for column, dtype in (
            (aligned.event_time_ms, np.int64),
            (aligned.value, np.float64),
            (aligned.id_digest, np.uint64),
            (aligned.content_digest, np.uint64),
            (raw.partition, np.int64),
            (raw.offset, np.int64),
            (raw.append_time_ms, np.int64),
        )
    ]
    fractions = _fractions(aligned, order)
    frames = []
    begin = 0
    for shard, end in enumerate(ends):
        if begin < end or shard in letters or shard in probes:
            mine = places[begin:end]
            event_time_ms, value, id_digest, content_digest, partition, offset, append_time_ms = (
                column[8 * begin : 8 * end] for column in columns
            )
            frame = Frame(
                FRAME_VERSION,
                *index_stations(site.station for site in _pick(aligned.site, mine) if site),
                _pick(aligned.event_id, mine),
                event_time_ms,
                value,
                id_digest,
                content_digest,
                partition,
                offset,
                append_time_ms,
                [value or b"" for value in _pick(raw.value, mine)],
                _pick(aligned.head, mine),
                letters.get(shard, []),
                fractions[8 * begin : 8 * end],
                probes.get(shard, []),
            )
            frames.append((shard, pack(frame)))
        begin = end
    return frames


def _fractions(aligned: AlignedColumns, order: npt.NDArray[np.intp]) -> bytes:
    """The column of sampling fractions; empty without sampled readings."""
    if not aligned.fraction:
        return b""
    column = np.ones(len(order))
    column[list(aligned.fraction)] = list(aligned.fraction.values())
    return column[order].tobytes()


def _pick(column: Sequence[T], places: Sequence[int]) -> list[T]:
    return list(map(column.__getitem__, places))
