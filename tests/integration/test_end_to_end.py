"""The whole job on the real broker and cluster: every reading ends where the generator's ledger says, faults or not."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import yaml

from tests.integration.support import (
    Stack,
    audit,
    failures,
    members,
    meridian,
    running_job,
    wait_for,
    wait_until_running,
    write_deployment,
)

READINGS = 60_000


def generate(deployment: Path, ledger: Path, seed: int, readings: int = READINGS, start: str = "-3 h") -> None:
    """An hour of hostile readings from `start` on; the audit closes the windows, so that a second hour is not late."""
    meridian(
        "generate", "--config", deployment, "--readings", str(readings), "--seed", str(seed), "--start", start,
        "--ledger", ledger, "--no-end-markers",
    )  # fmt: skip


def assert_exact(verdict: dict[str, object], readings: int) -> None:
    assert verdict["lost"] == verdict["doubled"] == verdict["wrong_class"] == 0, verdict
    assert verdict["raw"] >= readings
    assert verdict["raw"] == verdict["aligned"] + verdict["duplicates"] + verdict["invalid"] + verdict["shed"]
    assert min(verdict["duplicates"], verdict["invalid"], verdict["windowed"]) > 0, "a lifeless input"


def test_every_reading_of_a_hostile_hour_ends_in_its_class_without_a_restart(stack: Stack, tmp_path: Path) -> None:
    deployment, ledger = write_deployment(tmp_path / "d.yaml", "hostile"), tmp_path / "ledger.parquet"
    with running_job(deployment) as job_id:
        wait_until_running(stack, job_id)
        generate(deployment, ledger, seed=1)
        verdict = audit(deployment, ledger)
        assert_exact(verdict, READINGS)
        assert failures(stack, job_id) == []
        assert_dead_letters_can_be_sent_again(deployment, verdict)


def assert_dead_letters_can_be_sent_again(deployment: Path, before: dict[str, int]) -> None:
    """Nothing was mended, so each is refused again: one more raw record, and one more letter that stands for both."""
    counts = json.loads(meridian("replay-dlq", "list", "--config", deployment, "--json").stdout)
    assert sum(count["letters"] for count in counts.values()) == before["invalid"]
    reason = max(counts, key=lambda r: counts[r]["replayable"])
    command = ("replay-dlq", "send", "--config", deployment, "--reason", reason, "--json")
    sent = json.loads(meridian(*command).stdout)["sent"]
    assert sent == counts[reason]["replayable"] > 0
    after = audit(deployment)
    assert (after["raw"], after["invalid"]) == (before["raw"] + sent, before["invalid"] + sent)
    again = json.loads(meridian(*command, "--dry-run").stdout)
    assert (again["sent"], again["sent_before"]) == (sent, sent)


@pytest.mark.extended  # `test_fault.py` kills both, too
@pytest.mark.parametrize(
    ("name", "victim"), [("taskmanager", "TaskManagerRunner"), ("worker", "pyflink.fn_execution.beam.beam_boot")]
)
def test_kill_9_mid_run_loses_and_doubles_nothing(name: str, victim: str, stack: Stack, tmp_path: Path) -> None:
    deployment, ledger = write_deployment(tmp_path / "d.yaml", f"kill-{name}"), tmp_path / "ledger.parquet"
    with running_job(deployment) as job_id:
        wait_until_running(stack, job_id)
        generate(deployment, ledger, seed=2, readings=READINGS // 2)
        wait_for(lambda: stack.rest.completed_checkpoints(job_id) >= 1, 90, "a checkpoint to fall back on")
        generate(deployment, tmp_path / "second.parquet", seed=3, start="-2 h")
        busy = wait_for(lambda: members(stack, victim), 60, f"a {name} at work")
        # The newest one: a worker of an earlier test's job may not have ended yet.
        max(busy, key=lambda process: process.create_time()).send_signal(signal.SIGKILL)
        wait_for(lambda: failures(stack, job_id), 90, "the job notices")
        verdict = audit(deployment, wait_s=180)
        assert_exact(verdict, READINGS + READINGS // 2)


def test_an_upgrade_with_a_new_field_and_another_lateness_goes_on_where_the_old_job_stopped(
    stack: Stack, tmp_path: Path
) -> None:
    old = write_deployment(tmp_path / "old.yaml", "upgrade")
    streams = yaml.safe_load(old.read_text())["streams"]
    streams[0]["allowed_lateness"] = "10 min"
    with running_job(old) as job_id:
        wait_until_running(stack, job_id)
        generate(old, tmp_path / "first.parquet", seed=4)
        wait_for(lambda: stack.rest.completed_checkpoints(job_id) >= 1, 90, "output committed before the upgrade")
        # One more metadata column changes the planner's query, and with it every uid the planner would have made.
        new = write_deployment(tmp_path / "new.yaml", "upgrade", streams=streams, attribute_headers=["traceparent"])
        upgraded = json.loads(meridian("upgrade", "--config", new, "--json").stdout)
        assert stack.rest.get(f"/jobs/{upgraded['job_id']}/checkpoints")["latest"]["restored"]["is_savepoint"]
        generate(new, tmp_path / "second.parquet", seed=5, start="-2 h")
        assert_exact(audit(new), 2 * READINGS)


def test_an_upgrade_that_cannot_run_goes_back_to_the_old_job(stack: Stack, tmp_path: Path) -> None:
    old = write_deployment(tmp_path / "old.yaml", "rollback")
    with running_job(old) as job_id:
        wait_until_running(stack, job_id)
        generate(old, tmp_path / "first.parquet", seed=6, readings=20_000)
        # Valid as a file, but the cluster has no such many slots: the new job never runs.
        new = write_deployment(tmp_path / "new.yaml", "rollback", parallelism=32)
        result = meridian("upgrade", "--config", new, "--timeout", "15", check=False)
        assert result.returncode == 1 and "rolled back" in result.stderr, result.stderr
        generate(old, tmp_path / "second.parquet", seed=7, readings=20_000, start="-2 h")
        assert_exact(audit(old), 40_000)


def test_an_upgrade_that_would_lose_state_is_refused_while_the_old_job_goes_on(stack: Stack, tmp_path: Path) -> None:
    old = write_deployment(tmp_path / "old.yaml", "refused")
    with running_job(old) as job_id:
        wait_until_running(stack, job_id)
        new = write_deployment(tmp_path / "new.yaml", "refused", shards=64)
        result = meridian("upgrade", "--config", new, check=False)
        assert result.returncode == 2 and "shards: 32 -> 64" in result.stderr
        assert stack.rest.state(job_id) == "RUNNING"


def test_a_bad_deployment_never_reaches_the_cluster(stack: Stack, tmp_path: Path) -> None:
    bad = write_deployment(tmp_path / "bad.yaml", "bad", time={"out_of_orderness": "soon"})
    result = meridian("submit", "--config", bad, check=False)
    assert result.returncode == 2
    assert "time.out_of_orderness = 'soon'" in result.stderr
    assert not [job for job in stack.rest.jobs() if job.name == "meridian-bad"]
