"""What a grid job says of itself, so that a savepoint can be judged before a job starts from it.

As with `jobs.pipeline.manifest`, it travels in the job's global parameters and is kept with each submission.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from jobs import __version__
from jobs.pipeline.durations import format_duration
from jobs.pipeline.grid_config import Grid, GridDeployment

STATE_VERSION = 1  # of the keyed state of `udfs.grid` as this code writes it
READS_STATE_FROM = 1  # the oldest version that it still reads; raising it is STATE-BREAKING
KIND = "grid"

Fingerprint = dict[str, str]  # what the state of a grid depends on, by name


class GridManifest(NamedTuple):
    """The facts that decide whether state can be carried over."""

    kind: str
    version: str
    state_version: int
    shards: int
    sources: dict[str, str]  # name: topic
    grids: dict[str, Fingerprint]

    def dump(self) -> str:
        return json.dumps(self._asdict())

    @classmethod
    def parse(cls, text: str) -> GridManifest:
        """Read a manifest of this version or of another one, whose further facts are left out.

        Raises
        ------
        ValueError : it is of a job of another kind.
        """
        fields: dict[str, Any] = json.loads(text)
        if fields.get("kind") != KIND:
            raise ValueError("it is of a job that is no grid job")
        return cls(**{name: fields[name] for name in cls._fields})


def grid_manifest_of(deployment: GridDeployment) -> GridManifest:
    return GridManifest(
        KIND,
        __version__,
        STATE_VERSION,
        deployment.shards,
        {source.name: source.topic for source in deployment.sources},
        {grid.name: _fingerprint(grid) for grid in deployment.grids},
    )


def _fingerprint(grid: Grid) -> Fingerprint:
    """Waiting and lateness are not part of it: they say when a row is published, not what it holds. Nor are metrics:
    readings are kept by metric, and those that have left the configuration are passed over."""
    return {
        "place": grid.place,
        "period": format_duration(grid.period),
        "offset": format_duration(grid.offset),
        "feeds": ", ".join(feed.name for feed in grid.feeds) or "none",
    }


def grid_obstacles(old: GridManifest, new: GridManifest, reads_state_from: int = READS_STATE_FROM) -> list[str]:
    """Why the new job cannot take over the old one's state; empty when it can."""
    found = []
    if old.state_version < reads_state_from:
        found.append(f"state version {old.state_version} is older than what this code reads ({reads_state_from})")
    if new.state_version < old.state_version:
        found.append(f"state version {old.state_version} is newer than what this code reads ({new.state_version})")
    if old.shards != new.shards:
        found.append(f"shards: {old.shards} -> {new.shards} would look for every place in the wrong shard")
    for name, topic in old.sources.items():
        if name not in new.sources:
            found.append(f"sources: {name} would lose its offsets")
        elif new.sources[name] != topic:
            found.append(f"sources: {name}: offsets of {topic} say nothing about {new.sources[name]}")
    for name in sorted(old.grids.keys() & new.grids.keys()):
        was, becomes = old.grids[name], new.grids[name]
        changes = [f"{fact} {was.get(fact)} -> {becomes[fact]}" for fact in becomes if was.get(fact) != becomes[fact]]
        if changes:
            found.append(f"grid {name}: {'; '.join(changes)} under the same name")
    return found


def grids_that_end(old: GridManifest, new: GridManifest) -> list[str]:
    """Allowed, and worth a line each."""
    ended = sorted(old.grids.keys() - new.grids.keys())
    return [f"grid {name} ends: rows of it that wait for their neighbours are not published" for name in ended]
