"""What a running job says of itself, so that an upgrade can be judged before anything is stopped.

It travels in the job's global parameters, which Flink's REST API shows under `execution-config.user-config`.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from jobs import __version__
from jobs.pipeline.config import Deployment
from jobs.pipeline.operators import READS_STATE_FROM, STATE_VERSION

PARAMETER = "meridian.manifest"


class Manifest(NamedTuple):
    """The facts that decide whether state can be carried over."""

    version: str
    state_version: int
    raw_topic: str
    shards: int
    dedup_bucket_ms: int
    uids: tuple[str, ...]

    def dump(self) -> str:
        return json.dumps(self._asdict())

    @classmethod
    def parse(cls, text: str) -> Manifest:
        fields: dict[str, Any] = json.loads(text)
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
    )


def obstacles(old: Manifest, new: Manifest, reads_state_from: int = READS_STATE_FROM) -> list[str]:
    """Why the new job cannot take over the old one's state; empty when it can."""
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
