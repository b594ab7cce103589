"""One scenario of `tests/faults`, with fewer readings: the rest runs on demand, `scripts/test faults -k job`."""

from __future__ import annotations

from pathlib import Path

from tests.integration.support import Stack
from tests.support.faults.report import Outcome
from tests.support.faults.run import fault_run


def test_killed_between_checkpoint_and_commit(stack: Stack, tmp_path: Path) -> None:
    outcome = Outcome("killed before commit", seed=7)
    with fault_run(stack, tmp_path, outcome, readings=30_000, rate=2_000) as run:
        with run.fault():
            checkpoint = run.kill_before_commit()
        assert run.restored_from() >= checkpoint, "the checkpoint was not complete"
