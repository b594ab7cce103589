"""`meridian scale` and `autoscale` as a person runs them, on a cluster of facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from jobs.cli import autoscale as autoscale_command
from jobs.cli import scale as scale_command
from jobs.cli.autoscale import autoscale
from jobs.cli.lifecycle import Version
from jobs.cli.scale import Running, scale
from jobs.cli.stack import Endpoints
from jobs.cluster.package import Package
from jobs.cluster.rest import Job
from jobs.pipeline.deployment_file import load_deployment
from jobs.scaling.limits import Room
from tests.support.restore_points import JOB
from tests.unit.scaling.test_policy import CALM, LOOK_MS, SLOW

DEMO = Path(__file__).resolve().parents[3] / "flink-conf" / "deployments" / "demo.yaml"
ENDPOINTS = Endpoints("", "", "", Path("/s"), Path("/s/checkpoints"), Path("/s/savepoints"), Path("/j"), 2, 2)


class Cluster:
    """One job with two subtasks; what `replace_job` is asked for is noted."""

    def __init__(self) -> None:
        self.subtasks, self.started = 2, [2]
        self.ignores_parallelism = False

    def parallelism(self, job_id: str) -> int:
        return self.subtasks

    def replace(self, endpoints: Any, rest: Any, job: Job, new: Version, old: Version, *_: Any) -> tuple[str, str]:
        assert new.package == old.package and old.parallelism == self.subtasks
        self.started.append(new.parallelism)
        self.subtasks = self.subtasks if self.ignores_parallelism else new.parallelism
        return "new", "file:/s/savepoints/savepoint-1"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    document = yaml.safe_load(DEMO.read_text())
    document["schemas"] = {}
    document["streams"][0]["sla"] = "1 s"
    file = tmp_path / "my.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, config: Path, tmp_path: Path) -> Cluster:
    cluster = Cluster()

    def running(config_file: Path) -> Running:
        version = Version(Package(tmp_path / "package"), load_deployment(config), cluster.subtasks)
        return Running(ENDPOINTS, cluster, Job(JOB, "meridian-demo", "RUNNING", 0), version, Room(4, 32, 4))  # type: ignore[arg-type]

    monkeypatch.setattr(scale_command, "find_running", running)
    monkeypatch.setattr(autoscale_command, "find_running", running)
    monkeypatch.setattr(scale_command, "replace_job", cluster.replace)
    monkeypatch.setattr(autoscale_command, "_MEMORIES", tmp_path / "memories")
    return cluster


def scaled(config: Path, *arguments: object) -> Result:
    return CliRunner().invoke(scale, ["--config", str(config), "--parallelism", *map(str, arguments)])


def test_a_job_is_scaled_and_the_disagreement_with_its_file_is_told(cluster: Cluster, config: Path) -> None:
    before = config.read_bytes()
    result = scaled(config, 4, "--json")
    assert result.exit_code == 0 and cluster.started == [2, 4]
    answer = json.loads(result.stdout)
    assert (answer["was"], answer["parallelism"], answer["configured"], answer["job_id"]) == (2, 4, 2, "new")
    assert "says `parallelism: 2`" in result.stderr and "keeps 4" in result.stderr
    assert config.read_bytes() == before


@pytest.mark.parametrize("arguments", [(2,), (4, "--check")])
def test_what_is_so_already_or_only_asked_stops_nothing(cluster: Cluster, config: Path, arguments: Any) -> None:
    assert scaled(config, *arguments).exit_code == 0 and cluster.started == [2]


@pytest.mark.parametrize("wanted", [3, 8])
def test_what_does_not_fit_is_refused_before_anything_is_stopped(cluster: Cluster, config: Path, wanted: int) -> None:
    result = scaled(config, wanted)
    assert result.exit_code == 2 and f"parallelism = {wanted}: one of 1, 2, 4" in result.stderr
    assert cluster.started == [2]


def test_code_that_knows_nothing_of_scaling_is_found_out(cluster: Cluster, config: Path) -> None:
    cluster.ignores_parallelism = True
    result = scaled(config, 4)
    assert result.exit_code == 1 and "runs with parallelism 2 all the same" in result.stderr


def looked(monkeypatch: pytest.MonkeyPatch, config: Path, figures: Any, number: int, *arguments: str) -> Result:
    monkeypatch.setattr(autoscale_command, "_look", lambda *_: figures._replace(at_ms=number * LOOK_MS))
    return CliRunner().invoke(autoscale, ["--config", str(config), "--once", *arguments])


def test_what_was_seen_is_kept_from_one_look_to_the_next(
    monkeypatch: pytest.MonkeyPatch, cluster: Cluster, config: Path
) -> None:
    results = [looked(monkeypatch, config, SLOW, number) for number in range(3)]
    assert [result.exit_code for result in results] == [0, 0, 0] and cluster.started == [2, 4]
    assert "scales to 4; weather: p50 of 601 ms is 60% of its SLA" in results[-1].stdout


def test_a_dry_run_says_what_it_would_do_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, cluster: Cluster, config: Path, tmp_path: Path
) -> None:
    for number in range(2):
        looked(monkeypatch, config, SLOW, number)
    kept = {file: file.read_bytes() for file in (tmp_path / "memories").iterdir()}
    result = looked(monkeypatch, config, SLOW, 2, "--dry-run", "--json")
    answer = json.loads(result.stdout)
    assert (answer["target"], answer["dry_run"], answer["slas_ms"]) == (4, True, {"weather": 1_000})
    assert cluster.started == [2] and kept == {file: file.read_bytes() for file in (tmp_path / "memories").iterdir()}


def test_bounds_are_kept_and_impossible_ones_refused(
    monkeypatch: pytest.MonkeyPatch, cluster: Cluster, config: Path
) -> None:
    for number in range(5):
        assert looked(monkeypatch, config, SLOW, number, "--max", "2").exit_code == 0
    assert cluster.started == [2]
    assert looked(monkeypatch, config, CALM, 0, "--min", "3", "--max", "3").exit_code == 2
