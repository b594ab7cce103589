"""How a running job is ended so that another can go on from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.cli.console import CliError
from jobs.cli.lifecycle import _stop
from jobs.cli.stack import Endpoints
from jobs.cluster.rest import ClusterError, Job
from jobs.cluster.restore_points import RestorePoint
from tests.support.restore_points import JOB

RUNNING = Job(JOB, "meridian-small", "RUNNING", 0)
ENDPOINTS = Endpoints("", "", "", Path("/s"), Path("/s/checkpoints"), Path("/s/savepoints"), Path("/j"), 1, 1)


class Cluster:
    """One job; `commits_while_cancelled` is a checkpoint that completes in the meantime."""

    def __init__(self, **facts: Any) -> None:
        self.facts = {"stops": False, "failing": True, "retains": True, "numbers": [7], "restored": None} | facts
        self.cancelled = False

    def stop(self, job_id: str, folder: str, timeout_s: float) -> str:
        if not self.facts["stops"]:
            raise ClusterError("not all required tasks are running")
        return f"{folder}/savepoint-1"

    def is_failing(self, job_id: str) -> bool:
        return bool(self.facts["failing"])

    def retains_checkpoints(self, job_id: str) -> bool:
        return bool(self.facts["retains"])

    def restore_points(self, job_id: str) -> list[RestorePoint]:
        late = (
            [self.facts["commits_while_cancelled"]]
            if self.cancelled and "commits_while_cancelled" in self.facts
            else []
        )
        return [RestorePoint(f"file:/s/chk-{n}", job_id, n, n) for n in [*self.facts["numbers"], *late]]

    def restored_from(self, job_id: str) -> str | None:
        return self.facts["restored"]  # type: ignore[no-any-return]

    def state(self, job_id: str) -> str:
        return "CANCELED" if self.cancelled else "RESTARTING"

    def cancel(self, job_id: str) -> None:
        self.cancelled = True

    def wait(self, ready: Any, timeout_s: float, what: str) -> None:
        assert ready()

    def root_cause(self, job_id: str) -> str:
        return "ValueError: boom"


def stop(cluster: Cluster) -> tuple[str, bool]:
    return _stop(ENDPOINTS, cluster, RUNNING)  # type: ignore[arg-type]


def test_a_healthy_job_stops_with_a_savepoint() -> None:
    cluster = Cluster(stops=True, failing=False)
    assert stop(cluster) == ("file:///s/savepoints/savepoint-1", False) and not cluster.cancelled


def test_a_job_that_keeps_failing_is_cancelled_and_its_newest_checkpoint_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster = Cluster(numbers=[7, 6])
    assert stop(cluster) == ("file:/s/chk-7", True) and cluster.cancelled
    said = capsys.readouterr().err
    assert "ValueError: boom" in said and "file:/s/chk-7" in said


def test_a_checkpoint_that_completes_while_the_job_is_cancelled_counts() -> None:
    assert stop(Cluster(commits_while_cancelled=8))[0] == "file:/s/chk-8"


def test_a_job_that_fails_before_its_first_checkpoint_goes_back_to_where_it_started() -> None:
    assert stop(Cluster(numbers=[], restored="file:/s/savepoint-0"))[0] == "file:/s/savepoint-0"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"failing": False}, "not all required tasks are running"),
        ({"numbers": []}, "keeps failing and has no checkpoint"),
        ({"retains": False}, "its checkpoints would end with it"),
    ],
)
def test_a_job_whose_state_would_be_lost_is_left_alone(facts: dict[str, Any], said: str) -> None:
    cluster = Cluster(**facts)
    with pytest.raises(CliError, match=said):
        stop(cluster)
    assert not cluster.cancelled
