"""What a grid file may change while its state goes on, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.pipeline.grid_config import GridDeployment
from jobs.pipeline.grid_manifest import STATE_VERSION, GridManifest, grid_manifest_of, grid_obstacles, grids_that_end

LEVEL = {"metric": "level", "unit": "m", "method": "linear", "max_gap": "1 h"}
GRID = {"name": "five", "period": "5 min", "metrics": [LEVEL]}
FEEDS = [{"name": "operator", "sensors": ["a*"]}, {"name": "collector", "sensors": ["b*"]}]
OLD: dict[str, Any] = {"name": "g", "sources": [{"name": "s", "topic": "t"}], "grids": [GRID]}


def manifest(**changes: Any) -> GridManifest:
    return grid_manifest_of(GridDeployment.model_validate({**OLD, **changes}))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"sources": [*OLD["sources"], {"name": "more", "topic": "u"}]}, []),
        ({"grids": [{**GRID, "allowed_lateness": "9 h", "metrics": [{**LEVEL, "name": "other"}]}]}, []),
        ({"grids": [{**GRID, "name": "new", "period": "10 min"}]}, []),
        ({"shards": 64}, ["shards: 32 -> 64 would look for every place in the wrong shard"]),
        ({"sources": [{"name": "s", "topic": "u"}]}, ["sources: s: offsets of t say nothing about u"]),
        ({"sources": [{"name": "other", "topic": "t"}]}, ["sources: s would lose its offsets"]),
        ({"grids": [{**GRID, "period": "10 min"}]}, ["grid five: period 5 min -> 10 min under the same name"]),
        ({"grids": [{**GRID, "place": "cell"}]}, ["grid five: place station -> cell under the same name"]),
        ({"grids": [{**GRID, "feeds": FEEDS}]}, ["grid five: feeds none -> operator, collector under the same name"]),
    ],
)
def test_state_is_refused_where_it_would_be_lost_or_mixed(change: dict[str, Any], expected: list[str]) -> None:
    assert grid_obstacles(manifest(), manifest(**change)) == expected


def test_state_of_another_version_is_refused_in_both_directions() -> None:
    now, newer = manifest(), manifest()._replace(state_version=STATE_VERSION + 1)
    assert grid_obstacles(now, newer, reads_state_from=STATE_VERSION) == []
    (older,) = grid_obstacles(now, newer, reads_state_from=STATE_VERSION + 1)
    (too_new,) = grid_obstacles(newer, now)
    assert "is older than what this code reads" in older and "is newer than what this code reads" in too_new


def test_a_grid_that_ends_is_told() -> None:
    (line,) = grids_that_end(manifest(), manifest(grids=[{**GRID, "name": "new"}]))
    assert line.startswith("grid five ends")


def test_a_manifest_travels_as_text_and_one_of_the_align_job_is_none() -> None:
    assert GridManifest.parse(manifest().dump()) == manifest()
    with pytest.raises(ValueError, match="no grid job"):
        GridManifest.parse('{"version": "0.1.0", "uids": []}')
