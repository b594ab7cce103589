"""An upgrade that would lose or misread state is refused before anything is stopped."""

from __future__ import annotations

import pytest

from jobs.pipeline.manifest import Manifest, obstacles

OLD = Manifest("0.1.0", 1, "telemetry.raw", 32, 300_000, ("deduplicate", "raw", "sink-aligned"))


def test_a_manifest_survives_its_own_text() -> None:
    assert Manifest.parse(OLD.dump()) == OLD


def test_the_same_job_and_one_with_more_operators_can_take_over() -> None:
    assert obstacles(OLD, OLD) == []
    assert obstacles(OLD, OLD._replace(version="0.2.0", uids=(*OLD.uids, "probe"))) == []


def test_state_older_than_the_new_code_reads_is_refused() -> None:
    newer = OLD._replace(state_version=2)
    assert obstacles(OLD, newer, reads_state_from=1) == []
    assert obstacles(OLD, newer, reads_state_from=2) == ["state version 1 is older than what this code reads (2)"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"state_version": 0}, "state version 1"),
        ({"raw_topic": "other"}, "topics.raw"),
        ({"shards": 64}, "shards: 32 -> 64"),
        ({"dedup_bucket_ms": 60_000}, "dedup.bucket"),
        ({"uids": ("deduplicate", "raw")}, "sink-aligned"),
    ],
)
def test_each_obstacle_is_named(change: dict[str, object], named: str) -> None:
    found = obstacles(OLD, OLD._replace(**change))
    assert len(found) == 1 and named in found[0]
