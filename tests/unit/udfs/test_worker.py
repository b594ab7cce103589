"""A worker process ends with the TaskManager that started it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

WORKER = """
import threading
from udfs.flink.worker import end_with_parent
threading.Thread(target=end_with_parent, args=(0, 0.1), daemon=True).start()
print("at work", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[str]]:
    """A process that would wait for ever."""
    command = [sys.executable, "-c", WORKER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "at work\n"
        yield process
        process.kill()


def test_a_worker_whose_parent_is_gone_ends_whatever_it_waits_for(worker: subprocess.Popen[str]) -> None:
    assert worker.poll() is None
    assert worker.stdin is not None
    worker.stdin.close()  # as the kernel does when the parent dies
    assert worker.wait(30) == 1


def test_a_worker_whose_parent_lives_goes_on(worker: subprocess.Popen[str]) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1)
