"""One generated run and what a faultless job made of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.audited import Records
from tests.support.generated import KNOBS, GeneratedRun, generate, process


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> GeneratedRun:
    return generate(tmp_path_factory.mktemp("run") / "ledger.parquet", knobs=replace(KNOBS, stragglers=0.05))


@pytest.fixture(scope="session")
def faultless(run: GeneratedRun) -> Records:
    return process(run).records


@pytest.fixture
def records(faultless: Records) -> Records:
    return {sink: list(rows) for sink, rows in faultless.items()}
