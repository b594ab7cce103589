"""Facts are read from answers as Flink 2.2 gives them."""

from __future__ import annotations

from typing import Any

from jobs.cluster.rest import FlinkRest
from jobs.doctor.flink import collect_cluster, collect_job

NOW_MS = 1_795_302_402_590
SOURCE = "Source: raw -> deduplicate-5 -> align"
REFUSED = "deduplicate.stage.assign_cell.reason.outside_region.invalid"
ALIGNED = "deduplicate.stream.weather.aligned"


def _subtask(backpressured: int, busy: float | str, read_bytes: int, idle: int = 0) -> dict[str, Any]:
    return {
        "metrics": {
            "accumulated-backpressured-time": backpressured,
            "accumulated-busy-time": busy,
            "accumulated-idle-time": idle,
            "read-bytes": read_bytes,
        }
    }


def _checkpoint(number: int, status: str) -> dict[str, Any]:
    return {"id": number, "status": status, "trigger_timestamp": NOW_MS}


class Answers(FlinkRest):
    """A cluster that answers from a table; a vertex is asked twice, and has moved on the second time."""

    def __init__(self) -> None:
        self._asked: list[str] = []

    def get(self, path: str) -> Any:
        self._asked.append(path)
        second = self._asked.count(path) > 1
        return {
            "/overview": {"flink-version": "2.2.1", "slots-total": 4, "slots-available": 2},
            "/jobmanager/config": [{"key": "python.executable", "value": "/opt/venv/bin/python"}],
            "/jobmanager/environment": {"classpath": ["/lib/flink-dist-2.2.1.jar"]},
            "/taskmanagers": {"taskmanagers": [{"id": "tm-1"}]},
            "/jobs/overview": {"jobs": [{"jid": "j", "name": "meridian-x", "state": "RUNNING", "start-time": 1}]},
            "/jobs/j": {
                "jid": "j",
                "state": "RUNNING",
                "now": NOW_MS,
                "vertices": [{"id": "b", "name": "deduplicate -> window-by-place-2"}, {"id": "a", "name": SOURCE}],
                "plan": {"nodes": [{"id": "b", "inputs": [{"id": "a", "ship_strategy": "HASH"}]}, {"id": "a"}]},
            },
            "/jobs/j/exceptions?maxExceptions=1": {"exceptionHistory": {}},
            "/jobs/j/vertices/a": {"subtasks": [_subtask(900 if second else 400, 10.0, 10), _subtask(0, "NaN", 30)]},
            "/jobs/j/vertices/b": {
                "subtasks": [_subtask(0, 500.0 if second else 100.0, 7, idle=1_600 if second else 0)]
            },
            "/jobs/j/vertices/b/watermarks": [{"id": "0.currentInputWatermark", "value": "5"}],
            "/jobs/j/vertices/b/subtasks/metrics": [{"id": REFUSED}, {"id": ALIGNED}],
            f"/jobs/j/vertices/b/subtasks/metrics?get={REFUSED},{ALIGNED}&agg=sum": [
                {"id": REFUSED, "sum": 30.0},
                {"id": ALIGNED, "sum": 10.0},
            ],
            "/jobs/j/vertices/a/subtasks/metrics": [{"id": "Source__raw.pendingRecords"}, {"id": "numRecordsIn"}],
            "/jobs/j/vertices/a/subtasks/metrics?get=Source__raw.pendingRecords": [{"id": "p", "sum": 1_200.0}],
            "/jobs/j/checkpoints/config": {"interval": 10_000, "timeout": 300_000},
            "/jobs/j/checkpoints": {
                "counts": {"completed": 1, "failed": 3},
                "latest": {"completed": {"end_to_end_duration": 254}, "failed": {"failure_message": "disk full"}},
                "history": [
                    _checkpoint(5, "IN_PROGRESS"),
                    _checkpoint(4, "FAILED"),
                    _checkpoint(3, "FAILED"),
                    _checkpoint(2, "COMPLETED"),
                    _checkpoint(1, "FAILED"),
                ],
            },
        }.get(path) or [{"id": "Status.JVM.GarbageCollector.All.TimeMsPerSecond", "value": "31.9"}]


def test_the_cluster_says_what_it_runs() -> None:
    cluster, config = collect_cluster(Answers(), "http://x")
    assert (cluster.flink_version, cluster.slots_free, cluster.jars) == ("2.2.1", 2, {"flink-dist-2.2.1.jar"})
    assert cluster.workers[0].gc_ms_per_s == 31.9
    assert config["python.executable"] == "/opt/venv/bin/python"


def test_rates_are_differences_and_operators_know_what_they_feed() -> None:
    job, ahead_ms = collect_job(Answers(), "meridian-x", sample_s=0.05)
    assert job is not None and ahead_ms is not None
    operators = {operator.name: operator for operator in job.operators}
    assert operators["raw"].feeds == ("deduplicate",)
    assert (operators["raw"].is_keyed, operators["deduplicate"].is_keyed) == (False, True)
    assert operators["raw"].backpressured_ms_per_s == (1_000.0,), "the other subtask tells nothing new"
    assert operators["deduplicate"].busy_ms_per_s == (200.0,)
    assert operators["raw"].read_bytes == (10, 30)
    assert (job.pending_records, job.is_failing) == (1_200, False)


def test_refusals_are_counted_by_reason() -> None:
    job, _ = collect_job(Answers(), "meridian-x", sample_s=0.05)
    assert job is not None
    assert (job.accounted, job.refused) == (40, {"outside_region": 30})


def test_only_the_newest_failures_in_a_row_count() -> None:
    job, _ = collect_job(Answers(), "meridian-x", sample_s=0.05)
    assert job is not None and job.checkpoints is not None
    assert (job.checkpoints.failed_in_a_row, job.checkpoints.failed) == (2, 3)
    assert (job.checkpoints.last_duration_ms, job.checkpoints.last_failure) == (254, "disk full")
    assert job.checkpoints.running_for_ms is not None


def test_a_job_of_another_name_is_not_it() -> None:
    assert collect_job(Answers(), "meridian-y", sample_s=0.05) == (None, None)
