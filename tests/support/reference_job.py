"""The align job in one process, without Flink: the same stages, watermarks per partition, timers in order.

It stands in for the cluster where the audit and the generator are tested; what Flink itself does is tested elsewhere.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from tests.support.shards import DictStore
from udfs.align import ENVELOPE_HEADERS, Aligner, RawRecord, shard_of
from udfs.deduplicate import Deduplicator
from udfs.event_time import normalise_event_time
from udfs.frame import Readings, decode_frame, encode_part
from udfs.outputs import Outputs
from udfs.reasons import Rejected
from udfs.rules import Rules
from udfs.window import Windowed, Windows


@dataclass
class RawMessage:
    value: bytes | None
    key: bytes
    partition: int
    offset: int
    append_time_ms: int
    headers: list[tuple[str, bytes]]


@dataclass
class _Shard:
    store: DictStore
    windows: Windows
    deduplicator: Deduplicator | None
    timers: list[int] = field(default_factory=list)


class ReferenceJob:
    """Feed it batches; `records` holds what it published, by sink name."""

    def __init__(self, rules: Rules, topic: str, partitions: int) -> None:
        self._rules = rules
        self._aligner = Aligner(rules, topic)
        self._outputs = Outputs(rules, topic)
        self._highest: dict[int, int] = dict.fromkeys(range(partitions), -(2**62))
        self._shards: dict[tuple[str, int], _Shard] = {}
        self._oldest_ms = max(s.max_age_ms for s in rules.streams)
        self.watermark_ms = -(2**62)
        self.records: dict[str, list[tuple[bytes, bytes]]] = {}

    def run(self, messages: Sequence[RawMessage], batch: int = 500) -> None:
        for begin in range(0, len(messages), batch):
            part = messages[begin : begin + batch]
            self._process(part)
            for message in part:
                claimed_ms = self._claimed(message)
                if claimed_ms is not None:
                    self._highest[message.partition] = max(self._highest[message.partition], claimed_ms)
            self._advance(min(self._highest.values()) - self._rules.time.out_of_orderness_ms - 1)

    def _process(self, messages: Sequence[RawMessage]) -> None:
        raw = [
            RawRecord(
                m.value, m.key, m.partition, m.offset, m.append_time_ms, tuple(map(dict(m.headers).get, self._names()))
            )
            for m in messages
        ]
        outputs = self._outputs
        for number, data in self._aligner.align(raw):
            readings, invalid = decode_frame(data)
            shard = self._shard("sensor", number)
            outputs.invalid(invalid)
            assert shard.deduplicator is not None
            fate = shard.deduplicator.deduplicate(shard.store, readings, self.watermark_ms)
            shard.timers.extend(fate.purge_at_ms)
            outputs.deduplicated(readings, fate)
            self._add(shard, readings, fate.unique)
            for kind in ("cell", "region"):
                self._places(kind, readings, fate.unique)
        self._publish()

    def _places(self, kind: str, readings: Readings, rows: Sequence[int]) -> None:
        by_shard: dict[int, list[int]] = {}
        for row in rows:
            place = getattr(readings.row(row).station, kind)
            by_shard.setdefault(shard_of(place, self._rules.shards), []).append(row)
        for number, group in by_shard.items():
            part, _ = decode_frame(encode_part(readings, group))
            self._add(self._shard(kind, number), part, range(len(part)))

    def _advance(self, watermark_ms: int) -> None:
        if watermark_ms <= self.watermark_ms:
            return
        self.watermark_ms = watermark_ms
        for shard in self._shards.values():
            heapq.heapify(shard.timers)
            last = None
            while shard.timers and shard.timers[0] <= watermark_ms:
                timer = heapq.heappop(shard.timers)
                if timer == last:
                    continue
                last = timer
                if shard.deduplicator is not None:
                    shard.timers.extend(shard.deduplicator.expire(shard.store, watermark_ms))
                self._windowed(shard, shard.windows.advance(shard.store, watermark_ms))
                heapq.heapify(shard.timers)
        self._publish()

    def _add(self, shard: _Shard, readings: Readings, rows: Sequence[int]) -> None:
        self._windowed(shard, shard.windows.add(shard.store, readings, rows, self.watermark_ms), readings)

    def _windowed(self, shard: _Shard, windowed: Windowed, readings: Readings | None = None) -> None:
        self._outputs.windowed(windowed, readings)
        shard.timers.extend(windowed.timers_ms)

    def _publish(self) -> None:
        for sink, key, values in self._outputs.take():
            self.records.setdefault(sink, []).extend((key, value) for value in values)

    def _shard(self, kind: str, number: int) -> _Shard:
        shard = self._shards.get((kind, number))
        if shard is None:
            store = DictStore()
            deduplicator = Deduplicator(self._rules.dedup, store) if kind == "sensor" else None
            windows = Windows(self._rules.streams, (kind,), store)  # type: ignore[arg-type]
            shard = self._shards[kind, number] = _Shard(store, windows, deduplicator)
        return shard

    def _names(self) -> tuple[str, ...]:
        return ENVELOPE_HEADERS + self._rules.attribute_headers

    def _claimed(self, message: RawMessage) -> int | None:
        stamp = dict(message.headers).get("event_timestamp")
        try:
            if stamp is not None:
                claimed_ms = int(stamp)
            else:
                claimed_ms = (
                    normalise_event_time(msgspec.json.decode(message.value or b"")["event_time"], None) // 10**6
                )
        except (ValueError, KeyError, TypeError, Rejected, msgspec.DecodeError):
            return None
        append_ms, rule = message.append_time_ms, self._rules.time
        if (
            claimed_ms < rule.floor_ms
            or not append_ms - self._oldest_ms <= claimed_ms <= append_ms + rule.max_future_ms
        ):
            return None
        return claimed_ms
