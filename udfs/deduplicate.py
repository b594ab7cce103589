"""Keep the first reading of each (sensor, event id); name the offset that a duplicate repeats.

Ids are remembered per shard in buckets of event time until the watermark has passed the bucket by the TTL. A repeat
carries the same event time as its original, so it is looked for in one bucket only.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from udfs.frame import Readings
from udfs.rules import DedupRule
from udfs.shard_log import KeyedStore, ShardLog

_WORDS = 3  # per id: digest of the id, digest of the content, source
_OFFSET_BITS = 44
_OFFSET_MASK = (1 << _OFFSET_BITS) - 1
_SOURCE_MASK = (1 << 64) - 1
_EXPIRED = "expired"  # the mark of the latest bucket forgotten
_WARM_IDS = 200_000  # per shard, about 40 MB; what a late burst repeats is read from the state again

Seen = dict[int, int]  # digest of the id -> content digest << 64 | source


class Duplicate(NamedTuple):
    """The frame's row `row` repeats the reading at (`first_partition`, `first_offset`) of the raw topic."""

    row: int
    first_partition: int
    first_offset: int


class Deduplicated(NamedTuple):
    """The fate of each row of a frame; `purge_at_ms` are event times at which `expire` must be called."""

    unique: list[int]  # rows, in order; with those beyond the dedup horizon
    beyond_horizon: set[int]
    duplicates: list[Duplicate]
    conflicts: list[Duplicate]
    purge_at_ms: list[int]


class SeenCodec:
    """Chunks of three unsigned 64-bit words an id, in the machine's (little-endian) order."""

    def empty(self) -> Seen:
        return {}

    def absorb(self, value: Seen, chunk: bytes) -> None:
        words = array("Q")
        words.frombytes(chunk)
        it = iter(words)
        for digest, content, source in zip(it, it, it, strict=True):
            value[digest] = content << 64 | source

    def dump(self, value: Seen) -> bytes:
        words = array("Q")
        for digest, seen in value.items():
            words.extend((digest, seen >> 64, seen & _SOURCE_MASK))
        return words.tobytes()


class Deduplicator:
    """Keep-first deduplication of one shard."""

    def __init__(self, rule: DedupRule, store: KeyedStore) -> None:
        self._bucket_ms = rule.bucket_ms
        self._ttl_ms = rule.ttl_ms
        self._log: ShardLog[Seen] = ShardLog(store, SeenCodec(), "dedup")

    def deduplicate(self, store: KeyedStore, readings: Readings, watermark_ms: int) -> Deduplicated:
        """Sort readings into unique, duplicate and conflicting ones, and remember the unique.

        A reading whose bucket has expired cannot be compared with anything: it passes, marked as beyond the horizon.
        """
        log = self._log
        watermark_ms = log.watermark_ms(watermark_ms)
        bucket_ms = self._bucket_ms
        result = Deduplicated([], set(), [], [], [])
        unique = result.unique
        seen_in: dict[int, tuple[Seen, array[int]] | None] = {}
        columns = (readings.event_time_ms, readings.id_digest, readings.content_digest)
        sources = (readings.partition, readings.offset)
        for row, (time_ms, digest, content, partition, offset) in enumerate(zip(*columns, *sources, strict=True)):
            bucket = time_ms // bucket_ms
            try:
                open_bucket = seen_in[bucket]
            except KeyError:
                open_bucket = seen_in[bucket] = self._open(store, bucket, watermark_ms, result)
            if open_bucket is None:
                unique.append(row)
                result.beyond_horizon.add(row)
                continue
            seen, fresh = open_bucket
            first = seen.get(digest)
            if first is None:
                source = partition << _OFFSET_BITS | offset
                seen[digest] = content << 64 | source
                fresh.extend((digest, content, source))
                unique.append(row)
                continue
            source = first & _SOURCE_MASK
            repeat = Duplicate(row, source >> _OFFSET_BITS, source & _OFFSET_MASK)
            (result.duplicates if first >> 64 == content else result.conflicts).append(repeat)
        for bucket, open_bucket in seen_in.items():
            if open_bucket is not None and open_bucket[1]:
                log.append(store, str(bucket), open_bucket[1].tobytes())
        self._cool()
        log.keep_watermark(store, watermark_ms)
        log.save(store)
        return result

    def expire(self, store: KeyedStore, watermark_ms: int) -> list[int]:
        """Forget the buckets that the watermark has passed by the TTL.

        Returns event times at which to call again: a TTL that became longer leaves buckets whose timer has gone off.
        """
        log = self._log
        buckets = [int(name) for name in log.names()]
        expired = [b for b in buckets if (b + 1) * self._bucket_ms + self._ttl_ms <= watermark_ms]
        for bucket in expired:
            log.drop(store, str(bucket))
        if expired:
            log.raise_mark(_EXPIRED, max(expired))
            log.save(store)
        if len(expired) == len(buckets):
            return []
        return [(min(set(buckets) - set(expired)) + 1) * self._bucket_ms + self._ttl_ms]

    def _open(
        self, store: KeyedStore, bucket: int, watermark_ms: int, result: Deduplicated
    ) -> tuple[Seen, array[int]] | None:
        """The ids of a bucket, and room for new ones; None when it has expired."""
        log, name = self._log, str(bucket)
        purge_at_ms = (bucket + 1) * self._bucket_ms + self._ttl_ms
        # A longer TTL after an upgrade does not bring back what was forgotten before it.
        if purge_at_ms <= watermark_ms or bucket <= log.mark(_EXPIRED):
            return None
        if name not in log:
            result.purge_at_ms.append(purge_at_ms)
        seen = log.value(store, name)
        log.touch(name)
        return seen, array("Q")

    def _cool(self) -> None:
        ids = sum(map(len, self._log.warm.values()))
        for name, seen in list(self._log.warm.items())[:-1]:
            if ids <= _WARM_IDS:
                break
            ids -= len(seen)
            self._log.cool(name)
