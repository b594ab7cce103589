"""What was submitted is found again by the job's id, and by the start of it where that is enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.cluster.history import History, Submission
from tests.support.restore_points import JOB, OTHER_JOB


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "packages")


def submission(job_id: str, name: str = "meridian-a", folder: str = "/gone", manifest: str | None = "{}") -> Submission:
    return Submission(job_id, name, folder, manifest)


def test_a_submission_survives_its_file(history: History) -> None:
    history.remember(submission(JOB))
    assert history.find(JOB) == history.find(JOB[:6]) == submission(JOB)


def test_a_start_that_two_jobs_share_finds_neither(history: History) -> None:
    history.remember(submission(JOB))
    history.remember(submission(JOB[:-1] + "1"))
    assert history.find(JOB[:6]) is None and history.find(JOB) is not None


def test_before_the_first_submission_nothing_is_known(history: History) -> None:
    assert history.find(JOB) is None and history.find("") is None and history.of_name("meridian-a") == []


def test_jobs_of_one_name_are_found_together(history: History) -> None:
    history.remember(submission(JOB))
    history.remember(submission(OTHER_JOB, name="meridian-b"))
    assert [s.job_id for s in history.of_name("meridian-a")] == [JOB]


def test_a_package_that_was_deleted_is_none(tmp_path: Path) -> None:
    assert submission(JOB).package is None
    (tmp_path / "deployment.yaml").touch()
    assert submission(JOB, folder=str(tmp_path)).package is not None
