"""Keep the first reading of each (sensor, event id); name the offset that a duplicate repeats.

Ids are remembered per shard in buckets of event time until the watermark has passed the bucket by the TTL. A repeat
carries the same event time as its original, so it is looked for in one bucket only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from udfs.frame import Readings
from udfs.rules import DedupRule
from udfs.shard_log import KeyedStore, ShardLog

_WORDS = 3  # per id: digest of the id, digest of the content, source
_OFFSET_BITS = 44
_OFFSET_MASK = (1 << _OFFSET_BITS) - 1
_EXPIRED = "expired"  # the mark of the latest bucket forgotten
_CHUNKS = 48  # of a bucket, before they are written as one for the first time
_WARM_IDS = 1_000_000  # per shard, 24 MB; what a late burst repeats is read from the state again

Words = npt.NDArray[np.uint64]


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


class Seen:
    """The ids of a bucket as sorted runs, each at least twice as long as the next one.

    24 bytes an id: as a dict, a bucket of ten thousand sensors did not stay in memory and was read again per frame.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Words, Words]] = []  # ids in order; content digests and sources

    def __len__(self) -> int:
        return sum(len(ids) for ids, _ in self._runs)

    def add(self, words: Words) -> None:
        """Remember ids that are not there yet."""
        order = np.argsort(words[:, 0])
        run = words[order, 0], words[order, 1:]
        while self._runs and len(self._runs[-1][0]) < 2 * len(run[0]):
            run = _merge(self._runs.pop(), run)
        self._runs.append(run)

    def find(self, ids: Words, originals: Words) -> npt.NDArray[np.bool_]:
        """Which of some sorted ids are there; their contents and sources are written into `originals`."""
        found = np.zeros(len(ids), np.bool_)
        for known, rest in self._runs:
            at = np.minimum(known.searchsorted(ids), len(known) - 1)
            hits = known[at] == ids
            originals[hits] = rest[at[hits]]
            found |= hits
        return found

    def words(self) -> Words:
        return np.concatenate([np.column_stack(run) for run in self._runs])


def _merge(long: tuple[Words, Words], short: tuple[Words, Words]) -> tuple[Words, Words]:
    ids = np.concatenate((long[0], short[0]))
    order = np.argsort(ids, kind="stable")  # linear, since both are sorted
    return ids[order], np.concatenate((long[1], short[1]))[order]


class SeenCodec:
    """Chunks of three unsigned 64-bit words an id, in the machine's (little-endian) order."""

    def empty(self) -> Seen:
        return Seen()

    def absorb(self, value: Seen, chunk: bytes) -> None:
        value.add(np.frombuffer(chunk, np.uint64).reshape(-1, _WORDS))

    def dump(self, value: Seen) -> bytes:
        return value.words().tobytes()


class Deduplicator:
    """Keep-first deduplication of one shard."""

    def __init__(self, rule: DedupRule, store: KeyedStore) -> None:
        self._bucket_ms = rule.bucket_ms
        self._ttl_ms = rule.ttl_ms
        self._log: ShardLog[Seen] = ShardLog(store, SeenCodec(), "dedup", chunks=_CHUNKS, growth=2)

    def deduplicate(self, store: KeyedStore, readings: Readings, watermark_ms: int) -> Deduplicated:
        """Sort readings into unique, duplicate and conflicting ones, and remember the unique.

        A reading whose bucket has expired cannot be compared with anything: it passes, marked as beyond the horizon.
        """
        log = self._log
        watermark_ms = log.watermark_ms(watermark_ms)
        result = Deduplicated([], set(), [], [], [])
        words = _words(readings)
        buckets = np.frombuffer(readings.event_time_ms, np.int64) // self._bucket_ms
        is_unique = np.zeros(len(words), np.bool_)
        for bucket in np.unique(buckets).tolist():
            rows = np.flatnonzero(buckets == bucket)
            seen = self._open(store, bucket, watermark_ms, result)
            if seen is None:
                is_unique[rows] = True
                result.beyond_horizon.update(rows.tolist())
                continue
            fresh = _sort_out(seen, words, rows, result)
            if len(fresh):
                is_unique[fresh] = True
                seen.add(words[fresh])
                log.append(store, str(bucket), words[fresh].tobytes())
        result.unique.extend(np.flatnonzero(is_unique).tolist())
        result.duplicates.sort()  # by row
        result.conflicts.sort()
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

    def _open(self, store: KeyedStore, bucket: int, watermark_ms: int, result: Deduplicated) -> Seen | None:
        """The ids of a bucket; None when it has expired."""
        log, name = self._log, str(bucket)
        purge_at_ms = (bucket + 1) * self._bucket_ms + self._ttl_ms
        # A longer TTL after an upgrade does not bring back what was forgotten before it.
        if purge_at_ms <= watermark_ms or bucket <= log.mark(_EXPIRED):
            return None
        if name not in log:
            result.purge_at_ms.append(purge_at_ms)
        seen = log.value(store, name)
        log.touch(name)
        return seen

    def _cool(self) -> None:
        ids = sum(map(len, self._log.warm.values()))
        for name, seen in list(self._log.warm.items())[:-1]:
            if ids <= _WARM_IDS:
                break
            ids -= len(seen)
            self._log.cool(name)


def _sort_out(seen: Seen, words: Words, rows: npt.NDArray[np.int64], result: Deduplicated) -> npt.NDArray[np.int64]:
    """The rows of a bucket whose ids are new, in order; the others repeat what is known or an earlier row."""
    rows = rows[np.argsort(words[rows, 0], kind="stable")]
    ids = words[rows, 0]
    is_first = np.ones(len(ids), np.bool_)
    np.not_equal(ids[1:], ids[:-1], out=is_first[1:])
    first = np.maximum.accumulate(np.where(is_first, np.arange(len(ids)), 0))
    originals = words[rows[first], 1:]
    is_new = ~seen.find(ids, originals) & is_first
    if not is_new.all():
        repeats = rows[~is_new]
        for row, (content, source) in zip(repeats.tolist(), originals[~is_new].tolist(), strict=True):
            repeat = Duplicate(row, source >> _OFFSET_BITS, source & _OFFSET_MASK)
            (result.duplicates if content == int(words[row, 1]) else result.conflicts).append(repeat)
    return np.sort(rows[is_new])


def _words(readings: Readings) -> Words:
    """A chunk's words for each row."""
    partition, offset = (np.frombuffer(c, np.uint64) for c in (readings.partition, readings.offset))
    source = partition << np.uint64(_OFFSET_BITS) | offset
    ids, contents = (np.frombuffer(c, np.uint64) for c in (readings.id_digest, readings.content_digest))
    return np.stack((ids, contents, source), axis=1)
