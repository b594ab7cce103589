"""Each runbook of OPERATIONS.md has its row in docs/faults.md, which names the test that follows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def section(page: str, title: str) -> str:
    _, found, after = (ROOT / page).read_text().partition(f"\n## {title}\n")
    assert found, f"{page} has no section {title}"
    return after.partition("\n## ")[0]


RUNBOOKS = re.findall(r"^### (.+)$", section("OPERATIONS.md", "Runbooks"), re.MULTILINE)
FOLLOWED = dict(
    re.findall(r"^\| (?!runbook \|)([^|]+) \| (.+) \|$", section("docs/faults.md", "Runbooks"), re.MULTILINE)
)


def test_each_runbook_has_a_row() -> None:
    assert list(FOLLOWED) == RUNBOOKS and len(RUNBOOKS) > 20


@pytest.mark.parametrize("runbook", FOLLOWED)
def test_the_tests_that_are_named_exist(runbook: str) -> None:
    file, names = "", re.findall(r"`(?:(tests/[\w/.]+)::)?(\w+)`", FOLLOWED[runbook])
    assert names, f"no test is named for {runbook}"
    for named_file, function in names:
        file = named_file or file
        assert re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{function}"
