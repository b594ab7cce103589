"""What can be killed, stopped and blocked in a stack, and the moments to do it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil

from tests.integration.support import Stack, members, wait_for

BROKER, JOBMANAGER, TASKMANAGER = "kafka.Kafka", "StandaloneSessionClusterEntrypoint", "TaskManagerRunner"
WORKER = "pyflink.fn_execution.beam.beam_boot"


def at_work(stack: Stack, what: str) -> list[psutil.Process]:
    """The newest worker, since an earlier job's may linger; TaskManagers that have a worker, and so tasks."""
    found = members(stack, what)
    if what == WORKER:
        return sorted(found, key=psutil.Process.create_time)[-1:]
    if what == TASKMANAGER:
        busy = {parent for worker in members(stack, WORKER) for parent in worker.parents()}
        return [process for process in found if process in busy]
    return found


@contextmanager
def stopped(victims: Sequence[psutil.Process]) -> Iterator[None]:
    """SIGSTOP; they go on when the block ends."""
    for victim in victims:
        victim.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for victim in victims:
            victim.send_signal(signal.SIGCONT)


@contextmanager
def no_checkpoints(stack: Stack, job_id: str) -> Iterator[None]:
    """A file where the job's checkpoints go, until one has failed: no user, not even root, can write past it."""
    folder = stack.folder / "checkpoints" / job_id
    away = folder.with_suffix(".away")
    counts, failed = f"/jobs/{job_id}/checkpoints", "failed"
    before = stack.rest.get(counts)["counts"][failed]
    folder.rename(away)
    folder.write_text("in the way")
    try:
        wait_for(lambda: stack.rest.get(counts)["counts"][failed] > before, 90, "a checkpoint fails")
        yield
    finally:
        folder.unlink()
        away.rename(folder)


def await_metadata(stack: Stack, job_id: str) -> int:
    """Wait for the moment in which a checkpoint is complete and its transactions are not committed; its number.

    The JobManager writes the checkpoint's metadata, and only then tells the TaskManagers to commit.
    """
    folder = stack.folder / "checkpoints" / job_id
    known = set(folder.glob("chk-*/_metadata"))
    deadline = time.monotonic() + 120
    while not (new := set(folder.glob("chk-*/_metadata")) - known):
        assert time.monotonic() < deadline, "no checkpoint"
    return int(new.pop().parent.name.removeprefix("chk-"))
