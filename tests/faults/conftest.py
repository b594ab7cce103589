"""Fault tests run on demand, `pytest tests/faults`, on a stack of their own.

`MERIDIAN_FAULT_SEEDS` is how many seeds each scenario of the job runs with (1), `MERIDIAN_FAULT_READINGS` how many
readings each run has at least (100,000), `MERIDIAN_FAULT_MODE` its execution mode (process), `MERIDIAN_FAULT_REPORT`
where the figures go as JSON.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest

from jobs.cli.local.ports import first_free
from tests.integration.conftest import KAFKA_PORT, observe_options, started_stack
from tests.integration.support import Stack
from tests.support.faults.report import Outcome, noted, table, write
from tests.support.faults.run import Run, fault_run

_RATE = 2_000  # a second; what two busy cores bear beside everything else


class StartRun(Protocol):
    def __call__(self, scenario: str, **changes: Any) -> AbstractContextManager[Run]: ...


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "faults" in metafunc.fixturenames:
        seeds = range(1, 1 + int(os.environ.get("MERIDIAN_FAULT_SEEDS", "1")))
        metafunc.parametrize("seed", seeds, ids=[f"seed{seed}" for seed in seeds])


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose JobManager is highly available."""
    options = ["--ha", str(first_free(KAFKA_PORT + 20, set())), *observe_options()]
    with started_stack(tmp_path_factory.mktemp("stack"), *options) as running:
        yield running


@pytest.fixture
def seed() -> int:
    return 1


@pytest.fixture
def faults(stack: Stack, tmp_path: Path, seed: int) -> StartRun:
    """Starts a job with readings under way; after the block everything is drained and judged."""

    mode = execution_mode()
    readings = int(os.environ.get("MERIDIAN_FAULT_READINGS", "100000"))

    def start(scenario: str, **changes: Any) -> AbstractContextManager[Run]:
        outcome = Outcome(scenario if mode == "process" else f"{scenario} ({mode})", seed)
        noted.append(outcome)
        return fault_run(stack, tmp_path, outcome, readings, _RATE, execution_mode=mode, **changes)

    return start


def execution_mode() -> str:
    return os.environ.get("MERIDIAN_FAULT_MODE", "process")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not noted:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(table(noted))
    if file := os.environ.get("MERIDIAN_FAULT_REPORT"):
        write(noted, Path(file))
        terminalreporter.write_line(f"written to {file}")
