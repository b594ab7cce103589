"""Shards are spread evenly over subtasks, by keys that Flink hashes as this code says."""

from __future__ import annotations

from collections import Counter

import pytest

from udfs.shard_keys import key_group, max_parallelism, shard_keys


def test_key_groups_are_those_of_flink() -> None:
    """`KeyGroupRangeAssignment.assignToKeyGroup(Row.of(key), 128)` of Flink 2.2.1."""
    assert [key_group(key, 128) for key in range(4)] == [33, 44, 97, 104]


@pytest.mark.parametrize("shards", [8, 32, 96, 512])
def test_every_parallelism_that_divides_the_shards_gets_as_many_of_them_for_each_subtask(shards: int) -> None:
    groups = max_parallelism(shards)
    for count in (shards, 2 * shards):
        keys = shard_keys(count, groups)
        assert len(set(keys)) == count
        assert [key % 2 for key in keys] == [shard % 2 for shard in range(count)]
        for parallelism in (1, 2, 4, 8):
            load = Counter(key_group(key, groups) * parallelism // groups for key in keys)
            assert set(load.values()) == {count // parallelism} and len(load) == parallelism


def test_key_groups_do_not_change_with_the_parallelism() -> None:
    assert [max_parallelism(shards) for shards in (1, 32, 128, 129, 4_096)] == [128, 128, 128, 256, 4_096]
