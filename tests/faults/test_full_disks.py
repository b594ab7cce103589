"""Disks that fill up, those of the checkpoints and of the broker, and have room again later.

A stack of their own whose folders are small tmpfs mounts, so they need root.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from jobs.cli.local.ports import first_free
from tests.faults.conftest import StartRun
from tests.integration.conftest import started_stack
from tests.integration.support import Stack, members, wait_for
from tests.support.faults.disks import full, small_disk
from tests.support.faults.processes import BROKER

CHECKPOINTS_MB, KAFKA_MB = 1_024, 2_048
FULL_S = 15


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    ports = {"kafka_port": first_free(34_092, set()), "rest_port": first_free(34_081, set())}
    with (
        small_disk(folder / "checkpoints", CHECKPOINTS_MB),
        small_disk(folder / "kafka", KAFKA_MB),
        started_stack(folder, **ports) as running,
    ):
        yield running


def test_the_disk_of_the_checkpoints_is_full(stack: Stack, faults: StartRun) -> None:
    with faults("checkpoint disk full") as run:
        run.await_checkpoint()
        counts = f"/jobs/{run.job_id}/checkpoints"
        before = stack.rest.get(counts)["counts"]["failed"]
        with run.fault(), full(stack.folder / "checkpoints"):
            wait_for(lambda: stack.rest.get(counts)["counts"]["failed"] > before + 1, 120, "two checkpoints fail")


def test_the_disk_of_the_broker_is_full(stack: Stack, faults: StartRun) -> None:
    """The broker ends itself, and comes up again when there is room."""
    with faults("broker disk full") as run:
        [broker] = members(stack, BROKER)
        with run.fault(), full(stack.folder / "kafka"):
            wait_for(lambda: not broker.is_running(), 60, "the broker ends")
            time.sleep(FULL_S)
