"""State that would be lost, mixed or published twice is refused before a job is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.cli import preconditions
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_USAGE, CliError
from jobs.cli.preconditions import (
    find_point,
    refuse_incompatible,
    refuse_older,
    refuse_second_job,
    refuse_unfit_grid_state,
    refuse_unfit_state,
    refuse_unfit_surroundings,
)
from jobs.cli.stack import Endpoints
from jobs.cluster.history import History, Submission
from jobs.cluster.rest import ClusterError, Job
from jobs.cluster.restore_points import RestorePoint
from jobs.pipeline.config import Deployment
from jobs.pipeline.grid_manifest import GridManifest
from jobs.pipeline.manifest import PARAMETER, Manifest
from jobs.pipeline.operators import STATE_VERSION
from tests.support.restore_points import JOB, OTHER_JOB, make_checkpoint, make_savepoint

STREAM = {"name": "air", "metrics": ["air_*"], "unit": "degC"}
DEPLOYMENT = Deployment.model_validate({"name": "small", "streams": [STREAM]})
NAME = "meridian-small"
WINDOWS = {"air/5min": {"key": "sensor", "size": "5 min", "slide": "5 min", "offset": "0 ms", "unit": "degC"}}
MANIFEST = Manifest(
    "0.1.0", STATE_VERSION, "telemetry.raw", 32, 300_000, ("raw",), WINDOWS, "grid 1000.0 m", "EPSG:3857"
)
LONGER = MANIFEST._replace(windows={"air/5min": {**WINDOWS["air/5min"], "size": "10 min"}})


class Cluster:
    """What the checks ask of Flink's REST API."""

    def __init__(self, *jobs: Job, points: list[RestorePoint] | None = None, manifest: Manifest | None = None) -> None:
        self._jobs, self._points, self._manifest = list(jobs), points or [], manifest

    def jobs(self) -> list[Job]:
        return self._jobs

    def running(self, name: str) -> Job | None:
        return next((j for j in self._jobs if j.name == name and j.state == "RUNNING"), None)

    def restore_points(self, job_id: str) -> list[RestorePoint]:
        return [p for p in self._points if p.job == job_id]

    def user_config(self, job_id: str) -> dict[str, str]:
        return {PARAMETER: self._manifest.dump()} if self._manifest else {}


def job(job_id: str = JOB, state: str = "CANCELED", name: str = NAME) -> Job:
    return Job(job_id, name, state, 0)


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    kept = History(tmp_path / "packages")
    monkeypatch.setattr(preconditions, "HISTORY", kept)
    return kept


@pytest.fixture
def endpoints(tmp_path: Path, history: History) -> Endpoints:
    facts: dict[str, Any] = dict.fromkeys(("bootstrap_servers", "rest_url", "metrics_url"), "")
    facts |= {"stack_dir": tmp_path, "checkpoints_dir": tmp_path / "checkpoints", "java_home": tmp_path}
    return Endpoints(**facts, savepoints_dir=tmp_path / "savepoints", taskmanagers=1, slots=1)


def is_refused(endpoints: Endpoints, folder: Path | str, *jobs: Job, points: list[RestorePoint] | None = None) -> str:
    """What the check says of starting from a folder; empty when it may be started from."""
    try:
        refuse_older(Cluster(*jobs, points=points), endpoints, NAME, find_point(str(folder)))  # type: ignore[arg-type]
    except CliError as error:
        assert error.exit_code == EXIT_USAGE
        return error.message
    return ""


# --- older restore points ---


def test_the_newest_checkpoint_of_a_job_may_be_started_from_and_an_older_one_not(endpoints: Endpoints) -> None:
    older = make_checkpoint(endpoints.checkpoints_dir, JOB, 1, 100)
    newest = make_checkpoint(endpoints.checkpoints_dir, JOB, 2, 200)
    assert is_refused(endpoints, newest) == ""
    assert str(newest) in is_refused(endpoints, older)


def test_a_savepoint_is_older_than_a_checkpoint_that_its_job_completed_after_it(endpoints: Endpoints) -> None:
    taken = make_savepoint(endpoints.savepoints_dir, JOB, 5, 500)
    assert is_refused(endpoints, taken) == ""
    make_checkpoint(endpoints.checkpoints_dir, JOB, 6, 600)
    assert "chk-6" in is_refused(endpoints, taken, job())


def test_a_savepoint_is_older_than_what_a_successor_completed(endpoints: Endpoints, history: History) -> None:
    taken = make_savepoint(endpoints.savepoints_dir, JOB, 5, 500)
    history.remember(Submission(OTHER_JOB, NAME, "/p", None))
    assert is_refused(endpoints, taken) == ""
    make_checkpoint(endpoints.checkpoints_dir, OTHER_JOB, 6, 600)
    assert "chk-6" in is_refused(endpoints, taken)


def test_a_copy_of_an_old_savepoint_is_as_old_as_the_original(endpoints: Endpoints, tmp_path: Path) -> None:
    make_checkpoint(endpoints.checkpoints_dir, JOB, 6, 600)
    copied = make_savepoint(tmp_path / "backup", JOB, 5, 9_999)
    assert "chk-6" in is_refused(endpoints, copied)


def test_the_cluster_knows_of_later_savepoints_that_lie_elsewhere(endpoints: Endpoints) -> None:
    taken = make_savepoint(endpoints.savepoints_dir, JOB, 5, 500)
    later = RestorePoint("s3://b/savepoint-1a2b3c-9", JOB, 6, 600_000)
    assert "s3://b/savepoint-1a2b3c-9" in is_refused(endpoints, taken, job(), points=[later])
    assert is_refused(endpoints, taken, job(OTHER_JOB, name="another"), points=[later._replace(job=OTHER_JOB)]) == ""


def test_a_path_on_another_file_system_is_judged_by_what_the_cluster_knows(endpoints: Endpoints) -> None:
    newest = RestorePoint("s3://b/savepoint-1a2b3c-9", JOB, 6, 600_000)
    assert is_refused(endpoints, newest.path, job(), points=[newest]) == ""
    assert newest.path in is_refused(endpoints, "s3://b/savepoint-1a2b3c-8", job(), points=[newest])


def test_where_nothing_is_known_the_user_is_told(endpoints: Endpoints, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_refused(endpoints, "s3://b/savepoint-1a2b3c-8") == ""
    assert "make sure that it is the newest" in capsys.readouterr().err


def test_a_path_without_a_savepoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="no savepoint or checkpoint in"):
        find_point(str(tmp_path / "savepoint-1a2b3c-0"))


# --- manifests ---


def compare(new: Manifest, point: RestorePoint, cluster: Cluster, drained: bool = False) -> None:
    refuse_unfit_state(cluster, point, new, drained)  # type: ignore[arg-type]


POINT = RestorePoint("/s/savepoint-1a2b3c-0", JOB[:6], 1, 1)


def test_the_manifest_of_a_submission_outlives_its_job_in_the_cluster(history: History) -> None:
    history.remember(Submission(JOB, NAME, "/p", MANIFEST.dump()))
    compare(MANIFEST, POINT, Cluster())
    with pytest.raises(CliError, match="shards: 32 -> 64"):
        compare(MANIFEST._replace(shards=64), POINT, Cluster())


def test_a_job_that_was_not_submitted_here_is_known_to_the_cluster(history: History) -> None:
    with pytest.raises(CliError, match="size 5 min -> 10 min"):
        compare(LONGER, POINT, Cluster(job(), manifest=MANIFEST))


@pytest.mark.parametrize("point", [POINT, POINT._replace(path="/s/backup", job="")])
def test_an_unknown_manifest_is_a_warning_in_one_line(
    history: History, capsys: pytest.CaptureFixture[str], point: RestorePoint
) -> None:
    compare(MANIFEST, point, Cluster(job(OTHER_JOB), manifest=LONGER))
    assert capsys.readouterr().err.splitlines() == [
        f"warning: no manifest is known of the job that made {point.path}: its state is not compared with this code"
    ]


def test_a_refusal_says_what_changes_and_what_to_do() -> None:
    with pytest.raises(CliError) as refused:
        refuse_incompatible(MANIFEST, LONGER._replace(shards=64), drained=False)
    assert [line.split(":")[0] for line in refused.value.message.splitlines()] == [
        "state cannot be carried over",
        "  shards",
        "  window air/5min",
    ]
    assert "a new window name" in str(refused.value.hint) and "--drained" in str(refused.value.hint)


def test_drained_lets_windows_change_and_nothing_else() -> None:
    refuse_incompatible(MANIFEST, LONGER, drained=True)
    with pytest.raises(CliError, match="shards"):
        refuse_incompatible(MANIFEST, LONGER._replace(shards=64), drained=True)


def test_a_window_that_ends_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    refuse_incompatible(MANIFEST, MANIFEST._replace(windows={}), drained=False)
    assert "window air/5min ends" in capsys.readouterr().err


# --- the cluster ---


def test_a_second_job_of_a_name_is_refused() -> None:
    refuse_second_job(Cluster(job()), DEPLOYMENT)  # type: ignore[arg-type]
    with pytest.raises(CliError, match="runs already as job"):
        refuse_second_job(Cluster(job(state="RUNNING")), DEPLOYMENT)  # type: ignore[arg-type]


def test_a_cluster_that_does_not_answer_is_an_environment_error() -> None:
    def fail() -> None:
        raise ClusterError("no Flink cluster answers")

    with pytest.raises(CliError) as refused:
        preconditions.ask(fail, "start it")
    assert (refused.value.exit_code, refused.value.hint) == (EXIT_ENVIRONMENT, "start it")


def test_a_savepoint_of_another_kind_of_job_is_refused_by_both_jobs(history: History) -> None:
    grid = GridManifest("grid", "0.1.0", 1, 32, {"s": "t"}, {})
    history.remember(Submission(JOB, NAME, "/p", MANIFEST.dump()))
    with pytest.raises(CliError, match="no grid job"):
        refuse_unfit_grid_state(Cluster(), POINT, grid)  # type: ignore[arg-type]
    history.remember(Submission(JOB, NAME, "/p", grid.dump()))
    with pytest.raises(CliError, match="no align job"):
        compare(MANIFEST, POINT, Cluster())
    refuse_unfit_grid_state(Cluster(), POINT, grid)  # type: ignore[arg-type]
    with pytest.raises(CliError, match="shards: 32 -> 8"):
        refuse_unfit_grid_state(Cluster(), POINT, grid._replace(shards=8))  # type: ignore[arg-type]


def test_thread_mode_without_libpython_is_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(preconditions, "find_libpython", lambda: None)
    threaded = DEPLOYMENT.model_copy(update={"execution_mode": "thread"})
    with pytest.raises(CliError, match="find_libpython finds none") as refused:
        refuse_unfit_surroundings(threaded, tmp_path / "d.yaml")
    assert refused.value.exit_code == EXIT_ENVIRONMENT and "libpython3.11" in (refused.value.hint or "")
