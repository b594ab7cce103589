"""A bad grid file is refused with lines that name the key, the value and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.pipeline.deployment_file import InvalidDeployment
from jobs.pipeline.grid_config import GridDeployment
from jobs.pipeline.grid_file import load_grid_deployment

EXAMPLE = Path(__file__).resolve().parents[3] / "flink-conf" / "deployments" / "demo-grid.yaml"
LEVEL = {"metric": "level", "unit": "m", "method": "linear", "max_gap": "1 h"}
GRID = {"name": "g", "period": "5 min", "metrics": [LEVEL]}
SMALLEST: dict[str, Any] = {"name": "small", "sources": [{"name": "s", "topic": "t"}], "grids": [GRID]}


def load(tmp_path: Path, document: Any) -> GridDeployment:
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_grid_deployment(path, {})


def test_the_example_is_valid_and_a_means_window_is_the_period_by_default(tmp_path: Path) -> None:
    assert len(load_grid_deployment(EXAMPLE, {}).grids) == 2
    mean = {"metric": "rain", "unit": "mm", "method": "mean"}
    (rule,) = load(tmp_path, {**SMALLEST, "grids": [{**GRID, "metrics": [mean]}]}).rules().grids
    assert (rule.metrics[0].reach_ms, rule.metrics[0].before_ms, rule.metrics[0].after_ms) == (300_000, 300_000, -1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"colour": "blue"}, "colour = 'blue': unknown key; `meridian join schema`"),
        ({"kafka": {"stop": {0: 5}}}, "start and stop: offsets are those of one topic; give them with each source"),
        (
            {"sources": [{"name": "s", "topic": "t", "stop": {0: 5}}, {"name": "r", "topic": "u"}]},
            "stop: for all of them",
        ),
        ({"sources": []}, "sources: List should have at least 1 item"),
        ({"sources": [{"name": "s", "topic": "t"}] * 2}, "sources: each name once, not twice 's'"),
        ({"topics": {"grid": {"name": "x"}, "clocks": {"name": "x"}}}, "a topic of its own, each once, not twice 'x'"),
        ({"alignment": {"max_drift": "0 s"}}, "alignment.max_drift = '0 s'"),
        ({"parallelism": 64}, "parallelism: up to the number of shards (32)"),
        ({"clock": {"against": "gps"}}, "clock.against = 'gps': Input should be 'append' or 'ingest'"),
        ({"clock": {"corrections": [{"sensor": "a", "ahead_ms": 1}] * 2}}, "each sensor once, not twice 'a'"),
    ],
)
def test_mistakes_of_the_file_are_named(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidDeployment) as refused:
        load(tmp_path, {**SMALLEST, **change})
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"period": "10 ms"}, "grids.0.period = '10 ms'"),
        ({"period": 5}, "grids.0.period = 5: a duration is a whole number and a unit"),
        ({"offset": "5 min"}, "offset: below 5 min, the period"),
        ({"place": "planet"}, "grids.0.place = 'planet': Input should be 'station', 'cell', 'watershed' or 'region'"),
        ({"metrics": []}, "grids.0.metrics"),
        ({"metrics": [LEVEL, LEVEL]}, "metrics: each name once, not twice 'level'"),
        ({"place": "cell", "pairs": {"p": ["a", "b"]}}, "pairs: for places of the kind station, not cell"),
        ({"pairs": {"p": ["a"], "q": ["a"]}}, "pairs: each sensor once, not twice 'a'"),
        ({"layer": "x.geojson"}, "layer: for places of the kind watershed, not station"),
        ({"place": "watershed", "layer": "absent.geojson"}, "absent.geojson: No such file"),
        ({"feeds": [{"name": "f"}]}, "sources or sensors: at least one of them"),
        ({"feeds": [{"name": "f", "sources": ["who"]}]}, "feeds: f: sources: 'who': known are s"),
        ({"metrics": [{**LEVEL, "sources": ["who"]}]}, "metrics: level: sources: 'who': known are s"),
        ({"metrics": [{**LEVEL, "method": "spline"}]}, "grids.0.metrics.0.method = 'spline': Input should be"),
        ({"metrics": [{**LEVEL, "method": "as_of"}]}, "max_gap: not for as_of, which takes tolerance"),
        ({"metrics": [{"metric": "m", "unit": "m", "method": "last"}]}, "max_age: needed by last"),
        ({"metrics": [{**LEVEL, "direction": "nearest"}]}, "direction: not for linear, only for as_of"),
        ({"metrics": [{**LEVEL, "position": "centre"}]}, "position: not for linear"),
        ({"metrics": [{**LEVEL, "unit": "furlongz"}]}, "grids.0.metrics.0.unit = 'furlongz'"),
        ({"metrics": [{**LEVEL, "same_reading": {"time": "2 s", "value": 0.1}}]}, "same_reading needs two feeds"),
    ],
)
def test_mistakes_of_a_grid_are_named(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidDeployment) as refused:
        load(tmp_path, {**SMALLEST, "grids": [{**GRID, **change}]})
    assert expected in str(refused.value)
