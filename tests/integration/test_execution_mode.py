"""Keyed operators within the TaskManager (`execution_mode: thread`), and a job that changes between both modes."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.support import (
    Stack,
    audit,
    failures,
    meridian,
    running_job,
    wait_for,
    wait_until_running,
    write_deployment,
)
from tests.integration.test_end_to_end import READINGS, assert_exact, generate
from tests.support.faults.processes import TASKMANAGER, at_work


def test_a_job_goes_from_worker_processes_into_the_taskmanager_through_a_kill_and_back(
    stack: Stack, tmp_path: Path
) -> None:
    """Three hours of hostile readings, one in each mode; what is repeated and what is open goes over both changes."""
    modes = {mode: write_deployment(tmp_path / f"{mode}.yaml", "modes", execution_mode=mode) for mode in MODES}
    with running_job(modes["process"]) as job_id:
        wait_until_running(stack, job_id)
        generate(modes["process"], tmp_path / "1.parquet", seed=21, start="-4 h")
        wait_for(lambda: stack.rest.completed_checkpoints(job_id) >= 1, 90, "output committed before the upgrade")

        job_id = upgrade(modes["thread"])
        assert keyed_operators(stack, job_id) == "thread"
        generate(modes["thread"], tmp_path / "2.parquet", seed=22, start="-3 h")
        wait_for(lambda: stack.rest.completed_checkpoints(job_id) >= 1, 90, "a checkpoint to fall back on")
        at_work(stack, TASKMANAGER)[0].kill()
        wait_for(lambda: failures(stack, job_id), 90, "the job notices")
        wait_until_running(stack, job_id)

        job_id = upgrade(modes["process"])
        assert keyed_operators(stack, job_id) == "process"
        generate(modes["process"], tmp_path / "3.parquet", seed=23, start="-2 h")
        assert_exact(audit(modes["process"], wait_s=180), 3 * READINGS)


MODES = ("process", "thread")


def upgrade(deployment: Path) -> str:
    return str(json.loads(meridian("upgrade", "--config", deployment, "--json").stdout)["job_id"])


def keyed_operators(stack: Stack, job_id: str) -> str:
    """Where they run, by the names of Flink's operators in the logs of RocksDB."""
    found = {
        mode
        for mode, operator in {"process": "ExternalPythonKeyedProcess", "thread": "EmbeddedPythonKeyedProcess"}.items()
        if list((stack.folder / "flink" / "tmp").rglob(f"job_{job_id}_op_{operator}*"))
    }
    [mode] = found
    return mode
