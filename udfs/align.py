"""From a batch of raw records to frames: decode → validate → normalise time → transform CRS → assign cell.

The stages are independent modules; this is the only place that knows their order. It runs row by row in one
process, except that positions are looked up for the whole batch at once (a transform of an array costs little more
than one of a point).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from udfs.aligned import accept
from udfs.cell import CellAssigner
from udfs.crs import Locator
from udfs.dead_letter import Source, dead_letter
from udfs.decode import Decoder
from udfs.envelope import read_headers
from udfs.event_time import check_event_time, check_header_time, normalise_event_time
from udfs.frame import Frame, encode_frame
from udfs.reading import Headers, Reading
from udfs.reasons import Reason, Rejected
from udfs.rules import Rules
from udfs.validate import Validator

ENVELOPE_HEADERS = (
    "sensor_id",
    "ingest_timestamp",
    "event_timestamp",
    "crs_source",
    "payload_version",
    "content-type",
)
MAX_KEY_BYTES = 1_024  # it becomes the key of what is published
CONTROL_CONTENT_TYPE = "application/vnd.meridian.control+json"


class RawRecord(NamedTuple):
    """One Kafka record of the raw topic; `headers` are the six of ENVELOPE_HEADERS, then the attribute headers."""

    value: bytes | None
    key: bytes | None
    partition: int
    offset: int
    append_time_ms: int
    headers: tuple[bytes | None, ...]


class _Candidate(NamedTuple):
    record: RawRecord
    headers: Headers
    reading: Reading
    event_time_ns: int


class Aligner:
    """Aligns batches of raw records; one per worker process, since it holds transformers and caches."""

    def __init__(self, rules: Rules, topic: str) -> None:
        self._rules = rules
        self._topic = topic
        self._header_names = ENVELOPE_HEADERS + rules.attribute_headers
        self._decoder = Decoder(rules.limits, rules.avro_schemas)
        keyed_by_region = any(w.key == "region" for s in rules.streams for w in s.windows)
        self._validator = Validator(rules.streams, region_required=keyed_by_region or rules.cell.scheme == "region")
        self._zones: Mapping[str, ZoneInfo | None] = {
            s.name: ZoneInfo(s.time_zone) if s.time_zone else None for s in rules.streams
        }
        self._locator = Locator(rules.position, CellAssigner(rules.cell).cell)

    def align(self, records: Sequence[RawRecord]) -> list[tuple[int, bytes]]:
        """Turn one batch into `(shard, encoded frame)` pairs, at most one per shard.

        Every record ends in exactly one frame, as accepted or as a dead letter, except control records, which the
        audit accounts for by reading the raw topic itself. Order within a partition is kept.
        """
        frames: dict[int, Frame] = {}
        candidates: list[_Candidate] = []
        positions: list[tuple[str, float, float, str]] = []
        for record in records:
            try:
                candidate = self._read(record)
            except Rejected as rejected:
                self._refuse(frames, record, rejected)
                continue
            except Exception as error:  # one poisonous record must not stop the stream
                self._refuse(frames, record, _unexpected(error))
                continue
            if candidate is not None:
                reading = candidate.reading
                candidates.append(candidate)
                positions.append((reading.crs, reading.x, reading.y, reading.region))

        target_crs = self._rules.position.target_crs
        stale_after_ms = self._rules.time.stale_after_ms
        shards = self._rules.shards
        for candidate, position in zip(candidates, self._locator.locate_many(positions), strict=True):
            record = candidate.record
            if isinstance(position, Rejected):
                self._refuse(frames, record, position)
                continue
            try:
                accepted = accept(
                    candidate.reading,
                    candidate.headers,
                    candidate.event_time_ns,
                    position,
                    Source(self._topic, record.partition, record.offset, record.append_time_ms),
                    record.key or b"",
                    record.value or b"",
                    target_crs,
                    stale_after_ms,
                )
            except Exception as error:  # as above: attributes can hold what JSON cannot
                self._refuse(frames, record, _unexpected(error))
                continue
            shard = shard_of(accepted.sensor_id, shards)
            _frame_of(frames, shard).accepted.append(accepted)
        return [(shard, encode_frame(frame)) for shard, frame in frames.items()]

    def _read(self, record: RawRecord) -> _Candidate | None:
        if record.key is not None and len(record.key) > MAX_KEY_BYTES:
            raise Rejected(Reason.BROKEN_HEADER, f"the key has {len(record.key)} bytes, more than {MAX_KEY_BYTES}")
        headers = read_headers(*record.headers[:6])
        if headers.content_type == CONTROL_CONTENT_TYPE:
            return None
        reading = self._validator.validate(self._decoder.decode(record.value, headers.content_type), headers)
        stream = reading.stream
        event_time_ns = normalise_event_time(reading.event_time, self._zones[stream.name])
        event_time_ms = event_time_ns // 1_000_000
        check_event_time(event_time_ms, record.append_time_ms, stream.max_age_ms, self._rules.time)
        if headers.event_timestamp_ms is not None:
            check_header_time(event_time_ms, headers.event_timestamp_ms)
        if len(record.headers) > len(ENVELOPE_HEADERS):
            self._carry_headers(record, reading)
        return _Candidate(record, headers, reading, event_time_ns)

    def _carry_headers(self, record: RawRecord, reading: Reading) -> None:
        for name, value in zip(self._rules.attribute_headers, record.headers[len(ENVELOPE_HEADERS) :], strict=True):
            if value is not None:
                if reading.attributes is None:
                    reading.attributes = {}
                try:
                    reading.attributes[name] = value.decode()
                except UnicodeDecodeError:
                    raise Rejected(Reason.BROKEN_HEADER, f"header {name!r} is not UTF-8 text") from None

    def _refuse(self, frames: dict[int, Frame], record: RawRecord, rejected: Rejected) -> None:
        source = Source(self._topic, record.partition, record.offset, record.append_time_ms)
        letter = dead_letter(
            rejected.reason,
            rejected.message,
            source,
            record.value,
            payload_limit=self._rules.limits.dlq_payload_bytes,
            job_version=self._rules.job_version,
            key=record.key,
            headers=dict(zip(self._header_names, record.headers, strict=True)),
        )
        shard = record.partition % self._rules.shards
        _frame_of(frames, shard).invalid.append((rejected.reason.value, (record.key or b"")[:MAX_KEY_BYTES], letter))


def _frame_of(frames: dict[int, Frame], shard: int) -> Frame:
    frame = frames.get(shard)
    if frame is None:
        frame = frames[shard] = Frame(accepted=[], invalid=[])
    return frame


def _unexpected(error: Exception) -> Rejected:
    return Rejected(Reason.UNEXPECTED_ERROR, f"{type(error).__name__}: {error}"[:500])


def shard_of(name: str, shards: int) -> int:
    """Spread names (sensors, cells, regions) over keyed-state shards; stable across processes and versions."""
    return zlib.crc32(name.encode()) % shards
