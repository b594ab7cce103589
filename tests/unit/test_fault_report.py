"""The table of the fault tests."""

from __future__ import annotations

from pathlib import Path

from tests.support.faults.report import Outcome, read, table, write


def test_a_scenario_has_one_line_over_its_runs_and_what_failed_or_was_not_judged_is_told(tmp_path: Path) -> None:
    outcomes = [
        Outcome("kill", 1, 2, 1_000, 2, 0, 0, 0, [4.0, 8.0], passed=True),
        Outcome("freeze", 1, 1, 500, 1, None, 0, 0, [30.0]),
        Outcome("kill", 2, 1, 1_500, 1, 0, 0, 0, [12.0], passed=True),
    ]
    write(outcomes, tmp_path / "report.json")
    assert read([tmp_path / "report.json"]) == outcomes
    assert table(outcomes).splitlines()[2:] == [
        "| kill | 2 | 3 | 2,500 | 0 | 0 | 0 | 8 s | 12 s | 12 s |",
        "| freeze (1 FAILED) | 1 | 1 | 500 | ? | 0 | 0 | 30 s | 30 s | 30 s |",
        "| **all** (1 FAILED) | 3 | 4 | 3,000 | ? | 0 | 0 | 10 s | 27 s | 30 s |",
    ]
