"""Keep the first reading of each (sensor, event id); name the offset that a duplicate repeats.

Ids are remembered per shard in buckets of event time until the watermark has passed the bucket by the TTL. A repeat
carries the same event time as its original, so it is looked for in one bucket only.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from udfs.frame import Accepted
from udfs.rules import DedupRule
from udfs.shard_log import KeyedStore, ShardLog

_WORDS = 3  # per id: digest of the id, digest of the content, source
_OFFSET_BITS = 44
_OFFSET_MASK = (1 << _OFFSET_BITS) - 1
_SOURCE_MASK = (1 << 64) - 1
_EXPIRED = "expired"  # the mark of the latest bucket forgotten
_WARM_BUCKETS = 3  # per shard: more than the disorder of a healthy stream spans

Seen = dict[int, int]  # digest of the id -> content digest << 64 | source


class Duplicate(NamedTuple):
    """A reading that repeats the one at (`first_partition`, `first_offset`) of the raw topic."""

    reading: Accepted
    first_partition: int
    first_offset: int


class Deduplicated(NamedTuple):
    """The fate of each reading of a frame; `purge_at_ms` are event times at which `expire` must be called."""

    unique: list[tuple[Accepted, bool]]  # with: beyond the dedup horizon
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

    def deduplicate(self, store: KeyedStore, readings: list[Accepted], watermark_ms: int) -> Deduplicated:
        """Sort readings into unique, duplicate and conflicting ones, and remember the unique.

        A reading whose bucket has expired cannot be compared with anything: it passes, marked as beyond the horizon.
        """
        log = self._log
        watermark_ms = log.watermark_ms(watermark_ms)
        bucket_ms, ttl_ms = self._bucket_ms, self._ttl_ms
        result = Deduplicated([], [], [], [])
        forgotten = log.mark(_EXPIRED)
        seen_in: dict[int, Seen] = {}
        fresh: dict[int, array[int]] = {}
        for reading in readings:
            bucket = reading.event_time_ms // bucket_ms
            seen = seen_in.get(bucket)
            if seen is None:
                # A longer TTL after an upgrade does not bring back what was forgotten before it.
                if (bucket + 1) * bucket_ms + ttl_ms <= watermark_ms or bucket <= forgotten:
                    result.unique.append((reading, True))
                    continue
                name = str(bucket)
                if name not in log:
                    result.purge_at_ms.append((bucket + 1) * bucket_ms + ttl_ms)
                seen = seen_in[bucket] = log.value(store, name)
                fresh[bucket] = array("Q")
            first = seen.get(reading.id_digest)
            if first is None:
                source = reading.partition << _OFFSET_BITS | reading.offset
                seen[reading.id_digest] = reading.content_digest << 64 | source
                fresh[bucket].extend((reading.id_digest, reading.content_digest, source))
                result.unique.append((reading, False))
                continue
            source = first & _SOURCE_MASK
            repeat = Duplicate(reading, source >> _OFFSET_BITS, source & _OFFSET_MASK)
            if first >> 64 == reading.content_digest:
                result.duplicates.append(repeat)
            else:
                result.conflicts.append(repeat)
        for bucket, words in fresh.items():
            if words:
                log.append(store, str(bucket), words.tobytes())
        if fresh:
            self._cool()
            log.keep_watermark(watermark_ms)
            log.save_index(store)
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
            log.save_index(store)
        if len(expired) == len(buckets):
            return []
        return [(min(set(buckets) - set(expired)) + 1) * self._bucket_ms + self._ttl_ms]

    def _cool(self) -> None:
        names = self._log.warm_names()
        if len(names) > _WARM_BUCKETS:
            for name in sorted(names, key=int)[:-_WARM_BUCKETS]:
                self._log.cool(name)
