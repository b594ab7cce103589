"""An upgrade that would lose, misread or mix state is refused before anything is stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.pipeline.deployment_file import load_deployment
from jobs.pipeline.manifest import Manifest, cut_windows, manifest_of, mixed_windows, obstacles
from jobs.pipeline.operators import STATE_VERSION
from tests.support.scripts import assert_windows_forgotten
from tests.support.shards import WindowShard, reading, stream, tumbling

DEMO = Path(__file__).resolve().parents[3] / "flink-conf" / "deployments" / "demo.yaml"
UIDS = ["raw", "deduplicate", "sink-aligned"]
WINDOW = {"name": "5min", "size": "5 min"}
STREAM: dict[str, Any] = {"name": "air", "metrics": ["air_*"], "unit": "degC", "windows": [WINDOW]}
OLD = Manifest("0.1.0", STATE_VERSION, "telemetry.raw", 32, 300_000, ("deduplicate", "raw", "sink-aligned"))


def manifest(tmp_path: Path, *windows: dict[str, Any], stream: dict[str, Any] | None = None, **keys: Any) -> Manifest:
    path = tmp_path / "deployment.yaml"
    streams = [{**STREAM, "windows": list(windows) or [WINDOW], **(stream or {})}]
    path.write_text(yaml.safe_dump({"name": "small", "streams": streams, **keys}))
    return manifest_of(load_deployment(path, {}), UIDS)


def test_a_manifest_survives_its_own_text() -> None:
    whole = manifest_of(load_deployment(DEMO, {}), UIDS)
    assert Manifest.parse(whole.dump()) == whole
    assert whole.uids == OLD.uids


def test_a_manifest_of_another_version_is_read_as_far_as_both_know_it() -> None:
    fields = json.loads(OLD.dump())
    newer = json.dumps({**fields, "moon_phase": "full"})
    older = json.dumps({name: value for name, value in fields.items() if value is not None})
    assert Manifest.parse(newer) == Manifest.parse(older) == OLD


def test_the_same_job_and_one_with_more_operators_can_take_over() -> None:
    assert obstacles(OLD, OLD) == []
    assert obstacles(OLD, OLD._replace(version="0.2.0", uids=(*OLD.uids, "probe"))) == []


def test_state_older_than_the_new_code_reads_is_refused() -> None:
    newer = OLD._replace(state_version=STATE_VERSION + 1)
    assert obstacles(OLD, newer, reads_state_from=STATE_VERSION) == []
    [refused] = obstacles(OLD, newer, reads_state_from=STATE_VERSION + 1)
    assert refused == f"state version {STATE_VERSION} is older than what this code reads ({STATE_VERSION + 1})"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"state_version": STATE_VERSION - 1}, f"state version {STATE_VERSION}"),
        ({"raw_topic": "other"}, "topics.raw"),
        ({"shards": 64}, "shards: 32 -> 64"),
        ({"dedup_bucket_ms": 60_000}, "dedup.bucket"),
        ({"uids": ("deduplicate", "raw")}, "sink-aligned"),
    ],
)
def test_each_obstacle_is_named(change: dict[str, object], named: str) -> None:
    found = obstacles(OLD, OLD._replace(**change))
    assert len(found) == 1 and named in found[0]


@pytest.mark.parametrize(
    ("window", "named"),
    [
        ({"size": "10 min"}, "window air/5min: size 5 min -> 10 min, slide 5 min -> 10 min under the same name"),
        ({"slide": "1 min"}, "window air/5min: slide 5 min -> 1 min under the same name"),
        ({"offset": "1 min"}, "window air/5min: offset 0 ms -> 1 min under the same name"),
        ({"key": "region"}, "window air/5min: key sensor -> region under the same name"),
    ],
)
def test_a_window_that_changes_under_its_name_is_mixed_and_one_of_another_name_is_not(
    tmp_path: Path, window: dict[str, str], named: str
) -> None:
    old = manifest(tmp_path)
    assert mixed_windows(old, manifest(tmp_path, {**WINDOW, **window})) == [named]
    assert mixed_windows(old, manifest(tmp_path, {**WINDOW, **window, "name": "other"})) == []
    assert mixed_windows(old, manifest(tmp_path, WINDOW, {**WINDOW, **window, "name": "other"})) == []


def test_values_of_two_units_are_mixed(tmp_path: Path) -> None:
    found = mixed_windows(manifest(tmp_path), manifest(tmp_path, stream={"unit": "K"}))
    assert found == ["window air/5min: unit degC -> K under the same name"]


def test_lateness_and_early_firing_change_freely(tmp_path: Path) -> None:
    change = {"allowed_lateness": "1 h", "early_every": "1 min", "valid": [0, 1], "period": "1 s"}
    assert mixed_windows(manifest(tmp_path), manifest(tmp_path, stream=change)) == []


def test_a_slide_as_long_as_the_size_is_no_slide(tmp_path: Path) -> None:
    assert mixed_windows(manifest(tmp_path), manifest(tmp_path, {**WINDOW, "slide": "300 s"})) == []


@pytest.mark.parametrize("cell", [{"grid_m": 500}, {"scheme": "h3"}, {"scheme": "region"}])
def test_cells_matter_only_to_windows_keyed_by_them(tmp_path: Path, cell: dict[str, object]) -> None:
    by_cell = {**WINDOW, "key": "cell"}
    assert mixed_windows(manifest(tmp_path), manifest(tmp_path, cell=cell)) == []
    found = mixed_windows(manifest(tmp_path, by_cell), manifest(tmp_path, by_cell, cell=cell))
    assert len(found) == 1 and found[0].startswith("cell: grid 1000.0 m -> ") and "air/5min" in found[0]


def test_an_unused_parameter_of_the_cells_changes_nothing(tmp_path: Path) -> None:
    by_cell = {**WINDOW, "key": "cell"}
    assert mixed_windows(manifest(tmp_path, by_cell), manifest(tmp_path, by_cell, cell={"h3_resolution": 3})) == []


def test_a_target_crs_changes_under_every_window_that_keeps_its_name(tmp_path: Path) -> None:
    elsewhere = {"position": {"target_crs": "EPSG:3035"}}
    found = mixed_windows(manifest(tmp_path), manifest(tmp_path, **elsewhere))
    assert found == ["position.target_crs: EPSG:3857 -> EPSG:3035 under windows that average positions"]
    assert mixed_windows(manifest(tmp_path), manifest(tmp_path, {**WINDOW, "name": "new"}, **elsewhere)) == []


def test_definitions_that_end_or_begin_are_told_and_allowed(tmp_path: Path) -> None:
    old, new = manifest(tmp_path), manifest(tmp_path, {**WINDOW, "name": "new"})
    assert mixed_windows(old, new) == []
    assert [line.split(":")[0] for line in cut_windows(old, new)] == ["window air/5min ends", "window air/new begins"]
    assert cut_windows(old, old) == []


def test_windows_of_a_manifest_that_does_not_name_them_are_not_compared(tmp_path: Path) -> None:
    assert mixed_windows(OLD, manifest(tmp_path)) == cut_windows(OLD, manifest(tmp_path)) == []


def test_a_definition_that_is_gone_publishes_its_open_windows_and_leaves_nothing_in_state() -> None:
    shard = WindowShard([stream(tumbling(8), tumbling(4))])
    shard.add(reading(1), reading(2))
    shard.restart([stream(tumbling(4))])
    shard.add(reading(3))
    shard.advance(20)
    assert {of[0]: row.number for of, row in shard.rows.items()} == {tumbling(8).name: 2, tumbling(4).name: 3}
    assert_windows_forgotten(shard)
