"""Pictures are drawn from results; without matplotlib the command says so before it measures anything."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from benchmarks.meridian_job import Checkpoint, Sample
from jobs.cli.bench import bench

SAMPLES = [Sample(float(n), 0.0, 1_000 * n, 500.0) for n in range(10)]


def test_a_rate_is_that_of_the_last_seconds() -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.plots import rates

    assert rates(SAMPLES[:4], over_s=2.0) == [(2.0, 1_000.0), (3.0, 1_000.0)]
    assert rates([SAMPLES[0], SAMPLES[5], SAMPLES[6]], over_s=2.0) == [(5.0, 1_000.0), (6.0, 1_000.0)]
    assert rates(SAMPLES[:2], over_s=2.0) == []


def test_a_run_is_drawn_as_rate_memory_and_checkpoints(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.plots import plot_run

    files = plot_run(SAMPLES, [Checkpoint(1, 2_000, 500, 10, 5)], tmp_path / "run")
    assert [file.name for file in files] == ["run-rate.png", "run-memory.png", "run-checkpoints.png"]
    assert all(file.stat().st_size > 1_000 for file in files)


def test_scaling_is_drawn_with_its_goals(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.plots import plot_scaling

    row = {"series": "sensors", "variant": "1,000", "cost_ratio": 1.0, "rate_ratio": 1.0, "goal": 1.3}
    [file] = plot_scaling(
        [row, row | {"variant": "10,000"}, row | {"series": "parallelism", "goal": None}], tmp_path / "s"
    )
    assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", ["backlog", "scaling"])
def test_plots_without_matplotlib_are_refused_at_once(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "jobs.cli.bench_support.importlib.util.find_spec", lambda name: None if name == "matplotlib" else sys
    )
    result = CliRunner().invoke(bench, [command, "--plots"])
    assert result.exit_code == 3
    assert "needs matplotlib" in result.stderr


def test_the_group_has_its_commands_and_keeps_its_options() -> None:
    assert {"backlog", "scaling", "state"} <= set(bench.list_commands(click.Context(bench)))
    assert {"quick", "works", "further", "records", "rounds"} <= {option.name for option in bench.params}
