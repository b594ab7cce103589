"""Which parallelisms a job can be scaled to, and which one an upgrade keeps."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from udfs.shard_keys import key_group, max_parallelism, shard_keys


class Room(NamedTuple):
    """What bounds the parallelism of a running job; `slots` are those that are free and those that it has."""

    partitions: int
    shards: int
    slots: int

    @property
    def even(self) -> tuple[int, ...]:
        """With these each subtask reads as many partitions and holds as many shards; ascending, from 1.

        Shards are counted where Flink puts their keys. Its maximum parallelism is no further bound, since a job never
        has fewer key groups than shards.
        """
        most = min(self.partitions, self.shards)
        divisors = [n for n in range(1, most + 1) if self.partitions % n == 0 and self.shards % n == 0]
        return tuple(n for n in divisors if len(set(_shards_by_subtask(self.shards, n))) == 1)


def _shards_by_subtask(shards: int, parallelism: int) -> list[int]:
    key_groups = max_parallelism(shards)
    keys = shard_keys(shards, key_groups)
    held = Counter(key_group(key, key_groups) * parallelism // key_groups for key in keys)
    return [held[subtask] for subtask in range(parallelism)]


def obstacles(wanted: int, room: Room) -> list[str]:
    """Why a job cannot run with so many subtasks: key, value and what is allowed; empty when it can."""
    found = []
    if wanted not in room.even:
        allowed = ", ".join(map(str, room.even))
        found.append(
            f"parallelism = {wanted}: one of {allowed}; with others, subtasks get unequal shares of "
            f"topics.raw.partitions = {room.partitions} and shards = {room.shards}"
        )
    if wanted > room.slots:
        found.append(
            f"parallelism = {wanted}: at most {room.slots}, the slots that are free or the job's own; "
            "start more TaskManagers"
        )
    return found


def kept_by_upgrade(running: int, was_configured: int | None, configured: int) -> int:
    """The parallelism of the next version: what `meridian scale` made of it, until somebody changes the deployment.

    Parameters
    ----------
    was_configured : `parallelism` of the deployment that the running job was started from; None where it is not known.
    configured : the same of the deployment that comes.
    """
    return running if configured == was_configured else configured
