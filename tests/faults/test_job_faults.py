"""Faults of the job: whatever is killed, frozen or started twice, each reading ends in exactly one class, once.

Each scenario is one job that is fed all the while; `faults` drains and judges it at the end (`tests/support/faults`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from benchmarks.workload import Record
from jobs.cli.console import EXIT_ENVIRONMENT
from tests.faults.conftest import StartRun
from tests.integration.support import meridian, wait_for
from tests.support.faults.feed import event_ms, stamped
from tests.support.faults.processes import BROKER, JOBMANAGER, TASKMANAGER, WORKER
from tests.support.faults.run import Run

LONGER_THAN_HEARTBEATS_S = 40  # heartbeat.timeout is 20 s
LONGER_THAN_IDLE_S = 45  # time.idle_after is 30 s
DISTURBED_S = 20
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
IN_1970_S, IN_2100_MS = 3_600, 4_102_444_800_000


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


def test_killed_and_given_up_and_the_runbook_followed(faults: StartRun) -> None:
    """A job that is cancelled while it runs aborts its transactions itself."""
    with faults("killed and given up") as run:
        run.await_checkpoint()
        wait_for(run.open_transactions, 60, "an open transaction")
        with run.fault():
            run.kill(TASKMANAGER, all_of_them=True)
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


def test_jobmanager_killed_again_and_again(faults: StartRun) -> None:
    with faults("jobmanager killed") as run:
        for _ in range(3):
            run.await_checkpoint()
            with run.fault():
                run.kill_jobmanager()


def test_a_second_job_of_the_same_prefix_is_refused(faults: StartRun) -> None:
    with faults("second job of one prefix") as run:
        assert "runs already" in run.refused()


def test_a_job_that_keeps_failing_goes_on_when_its_topic_was_mended(faults: StartRun) -> None:
    with faults("a topic refuses every record") as run:
        run.await_checkpoint()
        with run.fault():
            limit_messages(run, run.topics.aligned, max_bytes=100)
            wait_for(lambda: run.restarts() >= 3, 120, "a job that keeps failing")
            assert "meridian topics mend" in run.refused(command="upgrade", code=EXIT_ENVIRONMENT)
            meridian("topics", "mend", "--config", run.deployment)
            run.upgrade()


def limit_messages(run: Run, topic: str, max_bytes: int) -> None:
    admin = AdminClient({"bootstrap.servers": run.stack.bootstrap_servers})
    limit = ConfigEntry("max.message.bytes", str(max_bytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[limit])
    admin.incremental_alter_configs([resource])[resource].result()


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


def test_everything_killed_at_once(faults: StartRun) -> None:
    with faults("everything killed") as run:
        for _ in range(2):
            run.await_checkpoint()
            with run.fault():
                for what in (JOBMANAGER, TASKMANAGER, BROKER):
                    run.kill(what, all_of_them=True)


@pytest.mark.parametrize("seconds", [30, 90])
def test_broker_frozen(faults: StartRun, seconds: int) -> None:
    """An outage that lasts longer than `idle_after` makes all partitions idle, and the last ones to come back late."""
    time_section = {"out_of_orderness": "30 s", "idle_after": f"{2 * seconds} s"}
    with faults(f"broker frozen {seconds} s", time=time_section) as run, run.fault(), run.frozen(BROKER):
        time.sleep(seconds)


def test_checkpoints_cannot_be_written_for_a_while(faults: StartRun) -> None:
    with faults("checkpoints fail") as run, run.fault(), run.no_checkpoints():
        pass


def test_clocks_that_are_off_move_no_window_of_the_others(faults: StartRun) -> None:
    with faults("clocks off by hours to decades") as run:
        with run.fault(), run.feed.changed(with_other_clocks):
            time.sleep(DISTURBED_S)
        with run.fault():
            run.kill(TASKMANAGER)


def with_other_clocks(record: Record) -> Iterator[Record]:
    """One reading in ten also as other clocks would have stamped it, ahead and behind."""
    yield record
    own_ms = event_ms(record)
    if own_ms is None or own_ms // 10 % 10:
        return
    now_ms = time.time_ns() // 1_000_000
    for name, time_ms in {
        "hour-fast": now_ms + HOUR_MS,
        "day-fast": now_ms + DAY_MS,
        "hour-slow": own_ms - HOUR_MS,
        "day-slow": own_ms - DAY_MS,
        "in-2100": IN_2100_MS,
    }.items():
        yield stamped(record, name, time_ms)
    yield stamped(record, "in-1970", IN_1970_S, IN_1970_S * 1_000)


def test_a_burst_of_late_readings_at_ten_times_the_rate(faults: StartRun) -> None:
    with faults("late burst at 10 times the rate") as run, run.fault(), run.feed.changed(with_late_ones, times=10):
        time.sleep(DISTURBED_S)


def with_late_ones(record: Record) -> Iterator[Record]:
    """Nine more readings for each, two hours late."""
    yield record
    own_ms = event_ms(record)
    if own_ms is not None:
        for number in range(9):
            yield stamped(record, f"late{number}", own_ms - 2 * HOUR_MS - number * MINUTE_MS)


def test_a_partition_that_falls_silent_holds_nothing_up(faults: StartRun) -> None:
    with faults("a partition is silent") as run, run.fault(), run.feed.changed(all_but_partition_2):
        time.sleep(LONGER_THAN_IDLE_S)
        before = run.windows()
        wait_for(lambda: run.windows() > before, 60, "windows that close while the partition is silent")


def all_but_partition_2(record: Record) -> Iterator[Record]:
    if record.partition != 2:
        yield record


def test_a_partition_is_sent_again_from_its_beginning(faults: StartRun) -> None:
    with faults("a partition sent again") as run:
        run.feed.stop()
        run.outcome.faults += 1
        assert run.feed.send_again(partition=1) > 1_000
