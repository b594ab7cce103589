"""The figures of `meridian bench bridge`."""

from __future__ import annotations

from typing import Any

from benchmarks.bridge_row import bridge_row
from jobs.cli.bench_bridge import summarise


def run(work: str, variant: str, seconds: float, problems: str = "") -> dict[str, Any]:
    return bridge_row(work, variant, 1_000, seconds, 1.0, 100.0, problems)


def test_each_work_has_its_own_bare_client_whatever_ran_first() -> None:
    runs = [
        run("mqtt", "bare", 1.0), run("mqtt", "bridge", 2.0), run("mqtt", "bridge", 1.0), run("mqtt", "bare", 1.0),
        run("push", "endpoint", 4.0), run("push", "bare", 2.0),
    ]  # fmt: skip
    rows = summarise(runs, {"bare"})
    assert [(row["work"], row["variant"], row["ratio_to_bare"], row["runs"]) for row in rows] == [
        ("mqtt", "bare", 1.0, 2), ("mqtt", "bridge", 0.75, 2), ("push", "bare", 1.0, 1), ("push", "endpoint", 0.5, 1),
    ]  # fmt: skip


def test_one_wrong_run_makes_a_variant_wrong() -> None:
    rows = summarise([run("push", "bare", 1.0), run("push", "x", 1.0, "1 missing"), run("push", "x", 1.0)], {"bare"})
    assert [row["correct"] for row in rows] == [True, False]
