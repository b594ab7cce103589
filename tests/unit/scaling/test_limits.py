"""Which parallelisms fit, and which one an upgrade keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.scaling.limits import Room, kept_by_upgrade, obstacles
from udfs.shard_keys import max_parallelism

COUNTS = st.integers(1, 256)


@given(st.integers(0, 8), st.integers(0, 8))
def test_of_powers_of_two_every_divisor_is_even(partitions: int, shards: int) -> None:
    assert Room(1 << partitions, 1 << shards, 0).even == tuple(1 << n for n in range(min(partitions, shards) + 1))


def test_a_parallelism_that_divides_the_shards_may_be_uneven_all_the_same() -> None:
    """Of 3 shards over 128 key groups two fall to the first of three subtasks, and none to the last."""
    assert Room(3, 3, 0).even == (1,)


@given(COUNTS, COUNTS)
def test_one_subtask_always_fits_and_none_has_nothing_to_do(partitions: int, shards: int) -> None:
    even = Room(partitions, shards, 0).even
    assert even[0] == 1 and even[-1] <= min(partitions, shards, max_parallelism(shards))


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (3, ["parallelism = 3", "one of 1, 2, 4;", "topics.raw.partitions = 4", "shards = 32"]),
        (8, ["one of 1, 2, 4;", "at most 4"]),
        (4, []),
        (1, []),
    ],
)
def test_a_refusal_names_key_value_and_what_is_allowed(wanted: int, named: list[str]) -> None:
    found = "\n".join(obstacles(wanted, Room(4, 32, 4)))
    assert all(text in found for text in named) and bool(found) == bool(named)


def test_slots_of_the_job_itself_are_free_for_it() -> None:
    assert obstacles(4, Room(4, 32, 3)) and not obstacles(4, Room(4, 32, 4))


@pytest.mark.parametrize(
    ("running", "was", "now", "kept"),
    [
        (4, 2, 2, 4),  # scaled since; the file is as it was
        (4, 2, 1, 1),  # scaled since; somebody has changed the file
        (2, 2, 4, 4),  # not scaled
        (4, None, 2, 2),  # of which file it was is not known
    ],
)
def test_an_upgrade_keeps_what_a_job_was_scaled_to_until_the_deployment_changes(
    running: int, was: int | None, now: int, kept: int
) -> None:
    assert kept_by_upgrade(running, was, now) == kept
