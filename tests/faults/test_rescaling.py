"""A job that is scaled under readings, by hand and by itself: everything is read once, and goes on where it was."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.faults.conftest import StartRun
from tests.integration.support import meridian, meridian_running, wait_for
from tests.support.faults.run import Run


def test_scaled_down_and_up_under_readings(faults: StartRun) -> None:
    with faults("scaled 2 -> 1 -> 2") as run:
        scale(run, 1)
        assert_upgrade_keeps(run, 1)
        scale(run, 2)
        assert_figures(run)
        assert_refused(run)


def test_a_job_that_misses_its_sla_is_scaled_by_itself(faults: StartRun) -> None:
    """Takes what the policy takes: five minutes after the start, and one of pressure."""
    with faults("autoscaled 1 -> 2", parallelism=1) as run:
        promise(run, sla="200 ms")  # half of what a reading takes on two busy cores
        with meridian_running("autoscale", "--config", run.deployment, "--interval", "20") as autoscaler:
            with run.fault():
                wait_for(lambda: parallelism_of(run) == 2, 600, "the job has two subtasks")
            assert autoscaler.poll() is None, "it goes on looking"


def parallelism_of(run: Run) -> int | None:
    """Of the job that runs now under the run's name; the run goes on with that one."""
    job = run.stack.rest.running(f"meridian-{run.name}")
    if job is None or run.stack.rest.state(job.id) != "RUNNING":
        return None
    run.job_id = job.id
    return run.stack.rest.parallelism(job.id)


def promise(run: Run, sla: str) -> None:
    """Give the first stream an SLA, in a deployment file that is read anew."""
    document = yaml.safe_load(run.deployment.read_text())
    document["streams"][0]["sla"] = sla
    run.deployment.write_text(yaml.safe_dump(document))


def scale(run: Run, parallelism: int) -> None:
    with run.fault():
        answer = json.loads(
            meridian("scale", "--config", run.deployment, "--parallelism", str(parallelism), "--json").stdout
        )
        goes_on(run, answer, parallelism)


def assert_upgrade_keeps(run: Run, parallelism: int) -> None:
    """The deployment file still says 2, as it did when the job was submitted."""
    with run.fault():
        answer = json.loads(meridian("upgrade", "--config", run.deployment, "--json").stdout)
        goes_on(run, answer, parallelism)


def goes_on(run: Run, answer: dict[str, Any], parallelism: int) -> None:
    run.job_id = answer["job_id"]
    assert run.stack.rest.parallelism(run.job_id) == answer["parallelism"] == parallelism
    assert answer["savepoint"].endswith(str(run.stack.rest.restored_from(run.job_id)).removeprefix("file:"))


def assert_figures(run: Run) -> None:
    """What `meridian autoscale` sees of a job that is fed 2,000 records a second."""
    promise(run, sla="1 h")
    looked = meridian("autoscale", "--config", run.deployment, "--once", "--dry-run", "--json", "--sample", "3")
    figures = json.loads(looked.stdout)
    assert figures["target"] is None and "started lately" in figures["reason"], figures
    assert (figures["parallelism"], figures["slots"]) == (2, 4) and figures["is_settled"], figures
    assert figures["slas_ms"] == {"weather": 3_600_000} and 1_000 < figures["arriving_per_s"] < 3_000, figures
    assert figures["pending"] is not None and figures["busy_ms_per_s"] > 0, figures
    assert figures["p50_ms"].keys() == {"weather", "air-quality", "rivers"}, figures
    assert all(0 < p50_ms < 60_000 for p50_ms in figures["p50_ms"].values()), figures


def assert_refused(run: Run) -> None:
    refused = meridian("scale", "--config", run.deployment, "--parallelism", "3", check=False)
    assert refused.returncode == 2 and "parallelism = 3: one of 1, 2, 4" in refused.stderr, refused.stderr
    assert run.stack.rest.state(run.job_id) == "RUNNING"
