"""Records of the six topics as columns of plain numbers: what the audit remembers of them.

No object is kept per reading. A raw record takes about 30 bytes, an aligned one about 85 and its event id.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from jobs.audit.bridges import SEQUENCE_HEADER, BridgeIntake
from jobs.audit.claimed_time import NO_TIME, ClaimedTime, whole
from jobs.audit.records import Accounting, decode_accounting, decode_aligned, decode_letter, decode_window
from udfs.align import CONTROL_CONTENT_TYPE
from udfs.rules import Rules

T = TypeVar("T")

SEQ_HEADER = "meridian_seq"

_CONTROL = CONTROL_CONTENT_TYPE.encode()
_Headers = list[tuple[str, bytes | None]] | None


class Record(NamedTuple):
    """A Kafka record; tests make them from lists."""

    partition: int
    offset: int
    value: bytes | None
    headers: _Headers = None
    append_time_ms: int = 0


class Columns:
    """Named arrays of one number type each, appended in step."""

    def __init__(self, **types: str) -> None:
        self._arrays = {name: array(code) for name, code in types.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A copy, since an array that numpy looks at cannot grow."""
        return np.array(self._arrays[name])

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    def appender(self, name: str) -> array:  # type: ignore[type-arg]
        return self._arrays[name]


class Names:
    """Texts as small numbers, and back."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def code(self, name: str) -> int:
        codes = self._codes
        code = codes.get(name)
        if code is None:
            code = codes[name] = len(codes)
        return code

    def find(self, name: str) -> int:
        """The code of a name seen before, else -1."""
        return self._codes.get(name, -1)

    def all(self) -> list[str]:
        return list(self._codes)


class Intake:
    """What was read so far. Each `add_…` takes the records of one topic, in any batches."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.names = Names()  # sensors, cells, regions, metrics
        self.definitions = Names()  # "stream/definition"
        self.reasons = Names()
        self.raw = Columns(partition="i", offset="q", control="B", digest="Q", seq="q")
        self.aligned = Columns(
            partition="i", offset="q", stream="h", metric="i", sensor="i", cell="i", region="i",
            event_ms="q", value="d", identity="Q", beyond="B", id_end="q", fraction="d",
        )  # fmt: skip
        self.aligned_ids = bytearray()
        self.duplicates = Columns(partition="i", offset="q", first_partition="i", first_offset="q", identity="Q")
        self.shed = Columns(partition="i", offset="q")
        self.probes = Columns(partition="i", offset="q")
        self.invalid = Columns(partition="i", offset="q", reason="h", digest="Q")
        self.late = Columns(
            partition="i", offset="q", definition="h", digest="Q", missed="i", event_ms="q", gap_ms="q"
        )  # fmt: skip
        self.partly_late = Columns(partition="i", offset="q", definition="h", start_ms="q")
        self.windows = Columns(
            definition="h", key="i", metric="i", start_ms="q", end_ms="q", revision="q", early="B", count="q",
            mean="d", min="d", max="d", first="d", last="d", first_ms="q", last_ms="q", estimated_count="d",
            estimated_mean="d", late="q",
        )  # fmt: skip
        self.highest_ms: dict[int, int] = {}  # raw partition -> latest plausible event time, NO_TIME without any
        self.bridges = BridgeIntake()
        self.reports_before: dict[int, int] | None = None
        """Offsets of the accounting topic: what bridges report later may be of later readings than the snapshot's."""
        self.unreadable: list[str] = []
        self._streams = {s.name: i for i, s in enumerate(rules.streams)}
        self._claimed_time = ClaimedTime(rules)

    def add_raw(self, records: Iterable[Record]) -> None:
        raw, claimed_time = self.raw, self._claimed_time.of
        to_partition, to_offset = raw.appender("partition").append, raw.appender("offset").append
        to_control, to_digest = raw.appender("control").append, raw.appender("digest").append
        to_seq = raw.appender("seq").append
        highest = self.highest_ms
        for partition, offset, value, sent_headers, append_ms in records:
            headers = dict(sent_headers) if sent_headers else {}
            seq = headers.get(SEQ_HEADER)
            sequence = headers.get(SEQUENCE_HEADER)
            if sequence is not None:
                self.bridges.add_raw(sequence)
            claimed_ms = claimed_time(headers, value, append_ms)
            if claimed_ms > highest.get(partition, NO_TIME - 1):
                highest[partition] = claimed_ms
            to_partition(partition)
            to_offset(offset)
            to_control(headers.get("content-type") == _CONTROL)
            to_digest(0 if value is None else int.from_bytes(sha256(value).digest()[:8], "big"))
            to_seq(-1 if seq is None else max(whole(seq), -1))

    def add_aligned(self, records: Iterable[Record]) -> None:
        aligned, code, ids = self.aligned, self.names.code, self.aligned_ids
        to = [aligned.appender(n).append for n in ("partition", "offset", "stream", "metric", "sensor", "cell")]
        to += [aligned.appender(n).append for n in ("region", "event_ms", "value", "identity", "beyond", "id_end")]
        partition, offset, stream, metric, sensor, cell, region, event_ms, value, identity, beyond, id_end = to
        fraction = aligned.appender("fraction").append
        digest, streams = xxhash.xxh3_64_intdigest, self._streams
        for record in self._decoded("aligned", decode_aligned, records):
            partition(record.partition)
            offset(record.offset)
            stream(streams.get(record.stream, -1))
            metric(code(record.metric))
            sensor(code(record.sensor_id))
            cell(code(record.cell))
            region(code(record.region))
            event_ms(record.event_time_ms)
            value(record.value)
            identity(digest(f"{record.sensor_id}\0{record.event_id}".encode()))
            beyond(record.beyond_dedup_horizon)
            ids += record.event_id.encode()
            id_end(len(ids))
            fraction(record.sampling_fraction)

    def add_accounting(self, records: Iterable[Record]) -> None:
        for sent in records:
            for record in self._decoded("accounting", decode_accounting, (sent,)):
                self._add_accounting(record, sent[0], sent[1])

    def _add_accounting(self, record: Accounting, partition: int, offset: int) -> None:
        if record.bridge:
            if self.reports_before is None or offset < self.reports_before.get(partition, 0):
                self.bridges.add_report(record)
        elif record.partition < 0 or record.offset < 0:
            self.unreadable.append(f"accounting, partition {partition}, offset {offset}: it names no raw record")
        elif record.kind == "duplicate":
            identity = xxhash.xxh3_64_intdigest(f"{record.sensor_id}\0{record.event_id}".encode())
            first = record.repeats_partition, record.repeats_offset
            _append(self.duplicates, record.partition, record.offset, *first, identity)
        elif record.kind == "shed":
            _append(self.shed, record.partition, record.offset)
        elif record.kind == "control":
            _append(self.probes, record.partition, record.offset)
        elif record.kind == "partly_late":
            definition = self.definitions.code(f"{record.stream}/{record.definition}")
            for start_ms in record.missed_windows:
                _append(self.partly_late, record.partition, record.offset, definition, start_ms)
        else:
            self.unreadable.append(f"accounting: unknown class {record.kind!r}")

    def add_invalid(self, records: Iterable[Record]) -> None:
        for letter in self._decoded("invalid_events", decode_letter, records):
            reason = self.reasons.code(letter.reason)
            _append(self.invalid, letter.partition, letter.offset, reason, _short(letter.payload_sha256))

    def add_late(self, records: Iterable[Record]) -> None:
        for letter in self._decoded("late_events", decode_letter, records):
            definition = self.definitions.code(f"{letter.stream}/{letter.definition}")
            gap_ms = letter.watermark_ms - letter.event_time_ms - letter.lateness_ms
            _append(
                self.late, letter.partition, letter.offset, definition, _short(letter.payload_sha256),
                len(letter.missed_windows), letter.event_time_ms, gap_ms,
            )  # fmt: skip

    def add_windows(self, records: Iterable[Record]) -> None:
        for row in self._decoded("windows", decode_window, records):
            _append(
                self.windows,
                self.definitions.code(f"{row.stream}/{row.definition}"),
                self.names.code(row.key),
                self.names.code(row.metric),
                row.window_start_ms,
                row.window_end_ms,
                row.revision,
                row.timing == "early",
                row.count,
                *(row.mean, row.min, row.max, row.first, row.last),
                row.first_event_time_ms,
                row.last_event_time_ms,
                row.count if row.estimated_count is None else row.estimated_count,
                row.mean if row.estimated_mean is None else row.estimated_mean,
                row.late_readings,
            )

    def event_id(self, index: int) -> bytes:
        """Event id of an aligned record, for ties."""
        ends = self.aligned.appender("id_end")
        return bytes(self.aligned_ids[ends[index - 1] if index else 0 : ends[index]])

    def watermark_ms(self) -> int:
        """The watermark that the raw topic justifies: the minimum over the partitions that hold anything."""
        if not self.highest_ms or min(self.highest_ms.values()) == NO_TIME:
            return NO_TIME
        return min(self.highest_ms.values()) - self.rules.time.out_of_orderness_ms - 1

    def _decoded(self, topic: str, decode: Callable[[bytes], T], records: Iterable[Record]) -> Iterator[T]:
        for record in records:
            try:
                yield decode(record[2] or b"")
            except msgspec.DecodeError as error:
                where = f"{topic}, partition {record[0]}, offset {record[1]}"
                self.unreadable.append(f"{where}: {error}")


def _append(columns: Columns, *values: Any) -> None:
    for column, value in zip(columns._arrays.values(), values, strict=True):
        column.append(value)


def _short(sha256_hex: str | None) -> int:
    return 0 if sha256_hex is None else int(sha256_hex[:16], 16)
