"""What a running job says of itself, so that an upgrade can be judged before anything is stopped.

It travels in the job's global parameters, which Flink's REST API shows under `execution-config.user-config`.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from jobs import __version__
from jobs.pipeline.config import Cell, Deployment
from jobs.pipeline.durations import format_duration
from jobs.pipeline.operators import READS_STATE_FROM, STATE_VERSION

PARAMETER = "meridian.manifest"

Fingerprint = dict[str, str]  # what the aggregates in an open window depend on, by name


class Manifest(NamedTuple):
    """The facts that decide whether state can be carried over; None: the job is older than the record of that fact."""

    version: str
    state_version: int
    raw_topic: str
    shards: int
    dedup_bucket_ms: int
    uids: tuple[str, ...]
    windows: dict[str, Fingerprint] | None = None  # by `stream/definition`, their name in state
    cell: str | None = None
    target_crs: str | None = None

    def dump(self) -> str:
        return json.dumps(self._asdict())

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Read a manifest of this version or of another one, whose further facts are left out.

        Raises
        ------
        ValueError : it is of a job of another kind.
        """
        fields: dict[str, Any] = {name: value for name, value in json.loads(text).items() if name in cls._fields}
        if "uids" not in fields:
            raise ValueError("it is of a job that is no align job")
        fields["uids"] = tuple(fields["uids"])
        return cls(**fields)


def manifest_of(deployment: Deployment, uids: list[str]) -> Manifest:
    return Manifest(
        __version__,
        STATE_VERSION,
        deployment.topics.raw.name,
        deployment.shards,
        deployment.dedup.bucket,
        tuple(sorted(uids)),
        window_fingerprints(deployment),
        cell_scheme(deployment.cell),
        deployment.position.target_crs,
    )


def window_fingerprints(deployment: Deployment) -> dict[str, Fingerprint]:
    """Allowed lateness and early firing are not part of it: they say when a window is published, not what it holds."""
    return {
        f"{stream.name}/{window.name}": {
            "key": window.key,
            "size": format_duration(window.size),
            "slide": format_duration(window.slide or window.size),
            "offset": format_duration(window.offset),
            "unit": stream.unit,
        }
        for stream in deployment.streams
        for window in stream.windows
    }


def cell_scheme(cell: Cell) -> str:
    parameter = {"region": "", "grid": f" {cell.grid_m} m", "h3": f" {cell.h3_resolution}"}
    return cell.scheme + parameter[cell.scheme]


def obstacles(old: Manifest, new: Manifest, reads_state_from: int = READS_STATE_FROM) -> list[str]:
    """Why the new job cannot take over the old one's state at all; empty when it can."""
    found = []
    if old.state_version < reads_state_from:
        found.append(f"state version {old.state_version} is older than what this code reads ({reads_state_from})")
    if new.state_version < old.state_version:
        found.append(f"state version {old.state_version} is newer than what this code reads ({new.state_version})")
    if old.raw_topic != new.raw_topic:
        found.append(f"topics.raw: offsets of {old.raw_topic} say nothing about {new.raw_topic}")
    if old.shards != new.shards:
        found.append(f"shards: {old.shards} -> {new.shards} would look for every sensor in the wrong place")
    if old.dedup_bucket_ms != new.dedup_bucket_ms:
        found.append(f"dedup.bucket: {old.dedup_bucket_ms} ms -> {new.dedup_bucket_ms} ms would lose the ids seen")
    gone = sorted(set(old.uids) - set(new.uids))
    if gone:
        found.append(f"operators {', '.join(gone)} would lose their state")
    return found


def mixed_windows(old: Manifest, new: Manifest) -> list[str]:
    """Which windows that are open now would end as a mixture of two definitions; nothing is mixed when none is open."""
    if old.windows is None or new.windows is None:
        return []
    kept = {name: old.windows[name] for name in sorted(old.windows.keys() & new.windows.keys())}
    found = []
    for name, was in kept.items():
        becomes = new.windows[name]
        changes = [
            f"{fact} {was.get(fact)} -> {becomes.get(fact)}" for fact in becomes if was.get(fact) != becomes[fact]
        ]
        if changes:
            found.append(f"window {name}: {', '.join(changes)} under the same name")
    by_cell = [name for name, fingerprint in kept.items() if fingerprint["key"] == "cell"]
    if old.cell != new.cell and by_cell:
        found.append(f"cell: {old.cell} -> {new.cell} under windows keyed by cell ({', '.join(by_cell)})")
    if old.target_crs != new.target_crs and kept:
        found.append(f"position.target_crs: {old.target_crs} -> {new.target_crs} under windows that average positions")
    return found


def cut_windows(old: Manifest, new: Manifest) -> list[str]:
    """What becomes of definitions that end or begin with the new job: allowed, and worth a line.

    State knows a window by stream, definition, start and end, and what is due there is published whether or not the
    definition is still configured. So a definition that is gone ends with windows that hold what came before, and a
    new one begins with windows that hold what came after.
    """
    if old.windows is None or new.windows is None:
        return []
    ends, begins = sorted(old.windows.keys() - new.windows.keys()), sorted(new.windows.keys() - old.windows.keys())
    found = [f"window {name} ends: its open windows are published with what they hold now" for name in ends]
    return found + [f"window {name} begins: its first windows lack what came before now" for name in begins]
