"""Flink's answers as it gives them, and what is made of them."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.cluster.rest import FlinkRest
from jobs.cluster.restore_points import RestorePoint
from tests.support.restore_points import JOB


class Answers(FlinkRest):
    """A cluster that knows some paths."""

    def __init__(self, **answers: Any) -> None:
        super().__init__("http://127.0.0.1:1")
        self._answers = answers

    def get(self, path: str) -> Any:
        what = path.removeprefix(f"/jobs/{JOB}").partition("?")[0].strip("/").replace("/", "_") or "job"
        return self._answers.get(what, {})


def completed(number: int, path: str = "file:/s/chk") -> dict[str, Any]:
    return {"id": number, "external_path": path, "latest_ack_timestamp": number * 10, "discarded": False}


def test_the_newest_checkpoint_and_the_newest_savepoint_are_restore_points() -> None:
    rest = Answers(checkpoints={"latest": {"completed": completed(7), "savepoint": completed(5, "file:/s/sp")}})
    assert rest.restore_points(JOB) == [RestorePoint("file:/s/chk", JOB, 7, 70), RestorePoint("file:/s/sp", JOB, 5, 50)]


@pytest.mark.parametrize("checkpoints", [{}, {"latest": None}, {"latest": {"completed": None, "savepoint": None}}])
def test_a_job_without_checkpoints_has_no_restore_points(checkpoints: dict[str, Any]) -> None:
    rest = Answers(checkpoints=checkpoints)
    assert rest.restore_points(JOB) == [] and rest.restored_from(JOB) is None


def test_a_job_says_where_it_started_from() -> None:
    rest = Answers(checkpoints={"latest": {"restored": {"id": 3, "external_path": "file:/s/sp/"}}})
    assert rest.restored_from(JOB) == "file:/s/sp"


@pytest.mark.parametrize(
    ("externalization", "retained"),
    [
        ({"enabled": True, "delete_on_cancellation": False}, True),
        ({"enabled": True, "delete_on_cancellation": True}, False),
        ({"enabled": False, "delete_on_cancellation": False}, False),
        (None, False),
    ],
)
def test_whether_checkpoints_outlive_their_job(externalization: Any, retained: bool) -> None:
    assert Answers(checkpoints_config={"externalization": externalization}).retains_checkpoints(JOB) is retained


def failed_at(timestamp: int) -> dict[str, Any]:
    return {"exceptionHistory": {"entries": [{"timestamp": timestamp, "stacktrace": "A: b\nCaused by: C: d\n\tat e"}]}}


@pytest.mark.parametrize(
    ("state", "exceptions", "failing"),
    [
        ("RESTARTING", {}, True),
        ("FAILING", {}, True),
        ("RUNNING", {}, False),
        ("RUNNING", failed_at(990_000), True),
        ("RUNNING", failed_at(100_000), False),
    ],
)
def test_a_job_is_failing_between_attempts_and_shortly_after_one(
    state: str, exceptions: dict[str, Any], failing: bool
) -> None:
    rest = Answers(job={"state": state, "now": 1_000_000}, exceptions=exceptions)
    assert rest.is_failing(JOB) is failing


def test_the_root_cause_is_the_last_line_of_the_newest_failure() -> None:
    assert Answers(exceptions=failed_at(1)).root_cause(JOB) == "C: d"
    assert Answers().root_cause(JOB) == "no exception recorded"


def test_the_root_cause_of_a_python_error_is_its_own_line() -> None:
    trace = "A: b\nCaused by: C: d: Traceback (most recent call last):\n  File x\nKeyError: 'k'\n\n\tat e\n\t... 9 more"
    failures = {"exceptionHistory": {"entries": [{"timestamp": 1, "stacktrace": trace}]}}
    assert Answers(exceptions=failures).root_cause(JOB) == "KeyError: 'k'"


def test_a_job_that_initialises_has_no_parameters_yet() -> None:
    assert Answers(config={"execution-config": None}).user_config(JOB) == {}
    assert Answers(config={"execution-config": {"user-config": {"a": "b"}}}).user_config(JOB) == {"a": "b"}
