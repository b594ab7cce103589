"""The ledger: one row per raw record that says what must become of it, as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from jobs.generator import lateness
from jobs.generator.network import Network
from jobs.generator.schedule import Block, Kinds
from udfs.reasons import Reason

EXPECTATIONS = ("aligned", "duplicate", "invalid", "control")
ALIGNED, DUPLICATE, INVALID, CONTROL = range(4)

_TEXT = pa.dictionary(pa.int16(), pa.string())
SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),  # the header `meridian_seq`
        ("partition", pa.int32()),
        ("expect", _TEXT),
        ("reason", _TEXT),  # of invalid ones
        ("original_seq", pa.int64()),  # of duplicates and id conflicts
        ("lateness", _TEXT),  # for the stream's first window definition
        ("stream", _TEXT),
        ("definition", _TEXT),
        ("kind", _TEXT),  # how the generator calls it
        ("event_time_ms", pa.int64()),
    ]
)


class Ledger:
    """Turns blocks into tables, and writes them when there is a file; counts what it saw in any case."""

    def __init__(self, network: Network, kinds: Kinds, path: Path | None) -> None:
        names = ["reading", "resent", "reserialised", "id-conflict", *(k.name for k in kinds.poisons)]
        reasons = [r.value for r in Reason]
        expect = [ALIGNED, DUPLICATE, DUPLICATE, INVALID] + [INVALID] * len(kinds.poisons)
        reason = [None, None, None, Reason.ID_CONFLICT.value, *(k.reason.value for k in kinds.poisons)]
        self._kind_names = pa.array(names)
        self._reason_names = pa.array(reasons)
        self._expect_of = np.array(expect, np.int16)
        self._reason_of = np.array([-1 if r is None else reasons.index(r) for r in reason], np.int16)
        streams = list(dict.fromkeys(s.stream.name for s in network.series))
        self._stream_names = pa.array(streams)
        self._stream_of = np.array([streams.index(s.stream.name) for s in network.series], np.int16)
        first = {s.stream.name: s.stream.windows[0].name if s.stream.windows else "" for s in network.series}
        self._definition_names = pa.array([first[s] for s in streams])
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd") if path else None
        self.counts: dict[str, int] = dict.fromkeys(EXPECTATIONS, 0)
        self.by_reason: dict[str, int] = {}
        self.by_lateness: dict[str, int] = dict.fromkeys(lateness.NAMES, 0)

    def add(self, block: Block, codes: NDArray[Any], sent: NDArray[Any] | None = None) -> None:
        """Write a block; `sent` leaves out rows that an interrupted run never sent."""
        keep = np.arange(len(block.rows)) if sent is None else np.flatnonzero(sent)
        rows = block.rows.take(keep)
        expect, reason = self._expect_of[rows.kind], self._reason_of[rows.kind]
        codes = codes[keep]
        for code, count in zip(*np.unique(expect, return_counts=True), strict=True):
            self.counts[EXPECTATIONS[code]] += int(count)
        for code, count in zip(*np.unique(reason[reason >= 0], return_counts=True), strict=True):
            name = self._reason_names[int(code)].as_py()
            self.by_reason[name] = self.by_reason.get(name, 0) + int(count)
        for code, count in zip(*np.unique(codes[expect == ALIGNED], return_counts=True), strict=True):
            self.by_lateness[lateness.NAMES[code]] += int(count)
        if self._writer is None:
            return
        stream = self._stream_of[rows.series]
        original = block.original_seq[keep]
        columns = [
            pa.array(block.first_seq + keep),
            pa.array(block.partition[keep]),
            _texts(expect, pa.array(EXPECTATIONS)),
            _texts(reason, self._reason_names, reason < 0),
            pa.array(original, mask=original < 0),
            _texts(codes.astype(np.int16), pa.array(lateness.NAMES)),
            _texts(stream, self._stream_names),
            _texts(stream, self._definition_names),
            _texts(rows.kind.astype(np.int16), self._kind_names),
            pa.array(rows.event_ms),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))

    def add_controls(self, first_seq: int, partitions: int, event_time_ms: int) -> None:
        """Note end markers, one a partition in their order."""
        self.counts["control"] += partitions
        if self._writer is None:
            return
        table = pa.table(
            {
                "seq": pa.array(range(first_seq, first_seq + partitions), pa.int64()),
                "partition": pa.array(range(partitions), pa.int32()),
                "expect": pa.array(["control"] * partitions),
                **{n: pa.nulls(partitions, pa.string()) for n in ("reason", "lateness", "stream", "definition")},
                "original_seq": pa.nulls(partitions, pa.int64()),
                "kind": pa.array(["end-marker"] * partitions),
                "event_time_ms": pa.array([event_time_ms] * partitions, pa.int64()),
            }
        )
        self._writer.write_table(table.select(SCHEMA.names).cast(SCHEMA))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _texts(codes: NDArray[Any], names: pa.Array, mask: NDArray[Any] | None = None) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int16(), mask=mask), names)
