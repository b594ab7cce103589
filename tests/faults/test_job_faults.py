"""Faults of the job: whatever is killed, frozen or started twice, each reading ends in exactly one class, once.

Each scenario is one job that is fed all the while; `faults` drains and judges it at the end (`tests/support/faults`).
"""

from __future__ import annotations

import time

from tests.faults.conftest import StartRun
from tests.integration.support import wait_for
from tests.support.faults.run import BROKER, JOBMANAGER, TASKMANAGER, WORKER

LONGER_THAN_HEARTBEATS_S = 40  # heartbeat.timeout is 20 s
BROKER_FROZEN_S = 30


def test_taskmanager_killed_again_and_again(faults: StartRun) -> None:
    with faults("taskmanager killed") as run:
        for _ in range(5):
            with run.fault():
                run.kill(TASKMANAGER)
        assert run.outcome.restarts >= 5


def test_killed_between_checkpoint_and_commit(faults: StartRun) -> None:
    with faults("killed before commit") as run:
        for _ in range(2):
            with run.fault():
                checkpoint = run.kill_before_commit()
            assert run.restored_from() >= checkpoint, "the checkpoint was not complete"


def test_cancelled_without_a_savepoint_and_the_runbook_followed(faults: StartRun) -> None:
    with faults("cancelled without savepoint") as run:
        run.await_checkpoint()
        wait_for(run.open_transactions, 60, "an open transaction")
        with run.fault():
            run.end()
            assert run.open_transactions(), "readers do not stall"
            assert "holds results of an earlier job" in run.refused()
            run.go_on(run.newest_point())


def test_the_same_savepoint_is_not_taken_twice_nor_an_older_one(faults: StartRun) -> None:
    with faults("savepoint taken twice") as run:
        with run.fault():
            run.end("--savepoint")
            used = run.newest_point()
            run.go_on(used)
        run.await_checkpoint()
        with run.fault():
            run.end("--savepoint")
            assert "would be published twice" in run.refused("--from-savepoint", used)
            run.go_on(run.newest_point())


def test_broker_killed_in_the_middle_of_transactions(faults: StartRun) -> None:
    with faults("broker killed in transactions") as run:
        for _ in range(3):
            wait_for(run.open_transactions, 60, "an open transaction")
            with run.fault():
                run.kill(BROKER)


def test_worker_killed(faults: StartRun) -> None:
    with faults("python worker killed") as run:
        for _ in range(3):
            with run.fault():
                run.kill(WORKER)


def test_taskmanager_frozen_past_its_heartbeat_comes_back_as_a_zombie(faults: StartRun) -> None:
    with faults("taskmanager frozen 40 s") as run, run.fault(), run.frozen(TASKMANAGER):
        time.sleep(LONGER_THAN_HEARTBEATS_S)


def test_jobmanager_killed_and_the_runbook_followed(faults: StartRun) -> None:
    with faults("jobmanager killed") as run:
        run.await_checkpoint()
        with run.fault():
            run.kill(JOBMANAGER)
            wait_for(run.cluster_answers, 120, "the JobManager is back")
            run.go_on(run.newest_point())


def test_a_second_job_of_the_same_prefix_is_refused(faults: StartRun) -> None:
    with faults("second job of one prefix") as run:
        assert "runs already" in run.refused()


def test_duplicates_across_restarts(faults: StartRun) -> None:
    with faults("20 % duplicates across a restart") as run:
        with run.fault():
            run.kill(TASKMANAGER)
        sent = run.feed.stop()
        run.kill(TASKMANAGER, all_of_them=True)
        assert run.feed.repeat(0.2) > sent * 0.19


def test_both_taskmanagers_killed(faults: StartRun) -> None:
    with faults("both taskmanagers killed") as run:
        for _ in range(2):
            with run.fault():
                run.kill(TASKMANAGER, all_of_them=True)


def test_broker_frozen(faults: StartRun) -> None:
    with faults("broker frozen 30 s") as run, run.fault(), run.frozen(BROKER):
        time.sleep(BROKER_FROZEN_S)
