"""Keys that Flink gives to subtasks evenly.

Flink sends a key to a subtask by a hash of it, through one of `max_parallelism` key groups. The keys 0 to 7 at
parallelism 2 go 5 to one subtask and 3 to the other, and work waits for the larger part. So each shard takes a key that
falls into a key group of its choice: any parallelism that divides the number of shards then gets as many for each
subtask.

Source: `KeyGroupRangeAssignment`, `MathUtils.murmurHash` and `Row.hashCode` of Flink 2.2
"""

from __future__ import annotations

from functools import cache

_LEAST_KEY_GROUPS = 128  # Flink's default up to parallelism 85
_ROW_HASH = 62  # of a `Row` of one integer, without the integer
_WORD = 0xFFFF_FFFF


def max_parallelism(shards: int) -> int:
    """How many key groups a job of so many shards has: as many as shards, rounded up to a power of two, or 128."""
    return max(_LEAST_KEY_GROUPS, 1 << (shards - 1).bit_length())


@cache
def shard_keys(count: int, key_groups: int) -> tuple[int, ...]:
    """Choose a key for each of `count` shards; an even shard has an even key, an odd one an odd key."""
    without: dict[tuple[int, int], list[int]] = {}  # shards by key group and parity, the first one last
    for shard in reversed(range(count)):
        without.setdefault((shard * key_groups // count, shard % 2), []).append(shard)
    keys = [0] * count
    key = 0
    while without:
        place = key_group(key, key_groups), key % 2
        if place in without:
            keys[without[place].pop()] = key
            if not without[place]:
                del without[place]
        key += 1
    return tuple(keys)


def key_group(key: int, key_groups: int) -> int:
    """The key group of a `Row` of one integer."""
    return _murmur(_ROW_HASH + key) % key_groups


def _murmur(code: int) -> int:
    code = code * 0xCC9E2D51 & _WORD
    code = _rotated(code, 15) * 0x1B873593 & _WORD
    code = (_rotated(code, 13) * 5 + 0xE6546B64 & _WORD) ^ 4
    code = (code ^ code >> 16) * 0x85EBCA6B & _WORD
    code = (code ^ code >> 13) * 0xC2B2AE35 & _WORD
    code ^= code >> 16
    signed = code - (code >> 31 << 32)
    return abs(signed) if signed != -(1 << 31) else 0


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> 32 - bits) & _WORD
