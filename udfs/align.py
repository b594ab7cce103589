"""From a batch of raw records to frames: decode → validate → normalise time → transform CRS → assign cell.

The stages are independent modules; this is the only place that knows their order. Most readings do not take them all,
but the shortcut of a known series (`udfs.shortcut`); where it hesitates, the stages decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from udfs.batch import AlignedColumns, Pending, RawColumns, RawRecord, encode_frames
from udfs.cell import CellAssigner
from udfs.crs import Locator
from udfs.dead_letter import Source, dead_letter
from udfs.decode import Decoder
from udfs.envelope import ENVELOPE_HEADERS, read_headers, with_headers
from udfs.event_time import check_event_time, check_header_time, normalise_event_time
from udfs.frame import Letter
from udfs.probe import CONTROL_CONTENT_TYPE, begin_account
from udfs.reasons import Reason, Rejected
from udfs.rules import Rules
from udfs.schema_lookup import SchemaSource
from udfs.series import CACHE_BYTES, KnownSeries, shard_of
from udfs.shortcut import Shortcut
from udfs.validate import Validator

__all__ = [
    "CONTROL_CONTENT_TYPE",
    "ENVELOPE_HEADERS",
    "MAX_KEY_BYTES",
    "Aligner",
    "RawColumns",
    "RawRecord",
    "shard_of",
]

MAX_KEY_BYTES = 1_024  # it becomes the key of what is published


class Aligner:
    """Aligns batches of raw records; one per worker process, since it holds transformers and caches.

    Parameters
    ----------
    cache_bytes
        For the known series, see `udfs.series`; with 0 each record takes all stages, to the same end.
    schema_source
        Asked for schema ids that the rules do not know; None: they are refused.
    """

    def __init__(
        self,
        rules: Rules,
        topic: str,
        *,
        cache_bytes: int = CACHE_BYTES,
        schema_source: SchemaSource | None = None,
    ) -> None:
        self._rules = rules
        self._topic = topic
        self._header_names = ENVELOPE_HEADERS + rules.attribute_headers
        self._decoder = Decoder(rules.limits, rules.schemas, schema_source)
        keyed_by_region = any(w.key == "region" for s in rules.streams for w in s.windows)
        self._validator = Validator(rules.streams, region_required=keyed_by_region or rules.cell.scheme == "region")
        self._locator = Locator(rules.position, CellAssigner(rules.cell).cell)
        self._known = KnownSeries(rules, topic, cache_bytes)
        self._shortcut = Shortcut(rules, self._decoder, self._known)
        self._probes: dict[int, list[bytes]] = {}  # of the batch, by shard

    def align(self, records: Sequence[RawRecord]) -> list[tuple[int, bytes]]:
        """Do what `align_columns` does, with records."""
        return self.align_columns(RawColumns.of(records)) if records else []

    def align_columns(self, raw: RawColumns) -> list[tuple[int, bytes]]:
        """Turn one batch into `(shard, encoded frame)` pairs, at most one per shard.

        Every record ends in exactly one frame, as a reading or as a dead letter, except control records, which the
        audit accounts for by reading the raw topic itself; those of them that are probes travel in frames too. In a
        frame, each kind is in the order of the batch.
        """
        self._probes = {}
        aligned = AlignedColumns(len(raw.value), self._rules.shards, self._rules.time.stale_after_ms)
        pending: list[Pending] = []
        refused: list[tuple[int, Rejected]] = []
        for place in self._shortcut.take(raw, aligned, pending):
            try:
                self._take_stages(place, raw.record(place), aligned, pending)
            except Rejected as rejected:
                refused.append((place, rejected))
            except Exception as error:  # one poisonous record must not stop the stream
                refused.append((place, _unexpected(error)))

        positions = self._locator.locate_many([reading.location for reading in pending])
        for (place, key, series, site), position in zip(pending, positions, strict=True):
            try:
                if isinstance(position, Rejected):  # shared, so it is not to be raised
                    aligned.drop(place)
                    refused.append((place, position))
                else:
                    aligned.site[place] = self._known.settle(key, series, site, position)
            except Exception as error:  # as above
                aligned.drop(place)
                refused.append((place, _unexpected(error)))
        return encode_frames(raw, aligned, self._letters(raw, refused), self._probes)

    def _take_stages(self, place: int, record: RawRecord, aligned: AlignedColumns, pending: list[Pending]) -> None:
        """Take all stages but the last two, which are for a whole batch at once."""
        if record.key is not None and len(record.key) > MAX_KEY_BYTES:
            raise Rejected(Reason.BROKEN_HEADER, f"the key has {len(record.key)} bytes, more than {MAX_KEY_BYTES}")
        headers = read_headers(*record.headers[: len(ENVELOPE_HEADERS)])
        if headers.content_type == CONTROL_CONTENT_TYPE:
            self._note_probe(record)
            return
        fields = self._decoder.decode(record.value, headers.content_type)
        reading = self._validator.validate(fields, headers)
        stream = reading.stream
        event_time_ns = normalise_event_time(reading.event_time, self._known.zones[stream.name])
        event_time_ms = event_time_ns // 1_000_000
        check_event_time(event_time_ms, record.append_time_ms, stream.max_age_ms, self._rules.time)
        check_header_time(event_time_ms, headers.event_timestamp_ms)
        sensor_id, _, _, crs_source, payload_version, content_type, _, *attribute_headers = record.headers
        attributes = with_headers(reading.attributes, self._rules.attribute_headers, attribute_headers)

        get = fields.get
        key = (
            sensor_id, crs_source, payload_version, content_type, record.key,
            get("sensor_id"), get("metric"), get("unit"), get("crs"), get("region"),
        )  # fmt: skip
        series = self._known.of(key, reading, headers, self._validator.plan(reading.metric, reading.unit_original))
        site = series.at(reading.x, reading.y)
        aligned.put(
            place,
            series,
            site,
            reading.event_id,
            event_time_ns,
            reading.value,
            reading.value_original,
            reading.quality,
            reading.z,
            attributes,
            record.append_time_ms if headers.ingest_timestamp_ms is None else headers.ingest_timestamp_ms,
            record.append_time_ms,
            record.partition,
            record.offset,
            headers.sampling_fraction,
        )
        if not site.is_located:
            pending.append(Pending(place, key, series, site))

    def _note_probe(self, record: RawRecord) -> None:
        start = begin_account(record.value, self._topic, record.partition, record.offset, record.append_time_ms)
        if start is not None:
            self._probes.setdefault(record.partition % self._rules.shards, []).append(start)

    def _letters(self, raw: RawColumns, refused: list[tuple[int, Rejected]]) -> dict[int, list[Letter]]:
        letters: dict[int, list[Letter]] = {}
        for place, rejected in sorted(refused, key=itemgetter(0)):
            record = raw.record(place)
            letter = dead_letter(
                rejected.reason,
                rejected.message,
                Source(self._topic, record.partition, record.offset, record.append_time_ms),
                record.value,
                payload_limit=self._rules.limits.dlq_payload_bytes,
                job_version=self._rules.job_version,
                key=record.key,
                headers=dict(zip(self._header_names, record.headers, strict=True)),
            )
            of_shard = letters.setdefault(record.partition % self._rules.shards, [])
            of_shard.append((rejected.reason.value, (record.key or b"")[:MAX_KEY_BYTES], letter))
        return letters


def _unexpected(error: Exception) -> Rejected:
    return Rejected(Reason.UNEXPECTED_ERROR, f"{type(error).__name__}: {error}"[:500])
