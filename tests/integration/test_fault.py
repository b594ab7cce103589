"""Five minutes of the faults of `tests/faults`, which run one by one on demand: `scripts/test faults -k job`."""

from __future__ import annotations

from pathlib import Path

from tests.integration.support import Stack
from tests.support.faults.soak import soak


def test_five_minutes_of_faults_lose_and_double_nothing(stack: Stack, tmp_path: Path) -> None:
    outcome = soak(stack, tmp_path, minutes=5, seed=7, say=print)
    assert outcome.passed and outcome.faults >= 4 and outcome.records > 100_000
