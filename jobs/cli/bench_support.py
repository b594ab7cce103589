"""What the commands of `meridian bench` share: checkout and stack, options, results as a file."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, CliError, info, success
from jobs.cli.project import PROJECT_ROOT, STATE_DIR
from jobs.cli.stack import load_endpoints

if TYPE_CHECKING:
    from benchmarks.runner import Run

out_option = click.option(
    "--out", type=click.Path(path_type=Path), help="JSON file to write.  [default: in the state folder]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
plots_option = click.option("--plots", is_flag=True, help="Draw them, too: PNG files beside the JSON file.")

RATIO_COLUMNS = ("readings/s", "ratio", "CPU-s/M", "ratio", "peak MB", "correct")


def need_checkout(*, plots: bool = False) -> None:
    """Make `benchmarks` importable, and with `plots` make sure of matplotlib before anything has been measured."""
    if str(PROJECT_ROOT) not in sys.path:
        sys.path.insert(0, str(PROJECT_ROOT))
    if importlib.util.find_spec("benchmarks") is None:
        raise CliError("benchmarks/ is not part of the installed package", EXIT_ENVIRONMENT, "run it in a checkout")
    if plots and importlib.util.find_spec("matplotlib") is None:
        hint = "install it with `.venv/bin/python -m pip install -e '.[bench]'`, or leave --plots out"
        raise CliError("--plots needs matplotlib", EXIT_ENVIRONMENT, hint)


# With the memory of two: a second one would compile the same code for the same cores.
ONE_TASKMANAGER = ("--taskmanagers", "1", "--slots", "4", "--memory-mb", "4096")


def start_stack(*options: str) -> str:
    """Start the local stack, with these options of `up`, if it is not running; the brokers."""
    command = [sys.executable, "-m", "jobs.cli.main", "up"]
    try:
        load_endpoints()
    except CliError:
        command += options
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    endpoints = load_endpoints()
    os.environ["MERIDIAN_STACK_DIR"] = str(endpoints.stack_dir)
    return endpoints.bootstrap_servers


def write_rows(rows: Sequence[dict[str, Any]], name: str, out: Path | None) -> Path:
    """Write results as JSON, one object per point; the file."""
    path = out or STATE_DIR / f"{name}-{time.strftime('%Y%m%dT%H%M%S')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=2) + "\n")
    return path


def conclude(
    rows: Sequence[dict[str, Any]], path: Path, as_json: bool, show: Callable[[Sequence[dict[str, Any]]], None]
) -> None:
    """Print results; the exit code says whether all of them are correct."""
    if as_json:
        click.echo(json.dumps(rows))
    else:
        show(rows)
        success(f"written to {path}")
    if not all(row["correct"] for row in rows):
        raise SystemExit(EXIT_FAILED)


def figures_table(title: str, names: Sequence[str], figures: Sequence[str], **style: Any) -> Table:
    """A table whose first columns name things and whose others are right-aligned figures."""
    table = Table(title=title, **style)
    for name in names:
        table.add_column(name, no_wrap=True)
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def collect(runs: Iterable[Run]) -> list[Run]:
    """Take the runs as they end, each told in a line."""
    taken = []
    for run in runs:
        taken.append(run)
        found = "correct" if run.correct else f"WRONG: {run.problems}"
        info(f"  {run.readings_per_s:,.0f}/s, {run.cpu_s_per_million:.1f} CPU-s per million, {found}")
    return taken


def ratio_cells(row: dict[str, Any]) -> tuple[str, ...]:
    """A run's figures beside the plain loop's, for `RATIO_COLUMNS`."""
    return (
        f"{row['readings_per_s']:,}",
        f"{row['ratio_to_plain_loop']:.2f}",
        f"{row['cpu_s_per_million']:.1f}",
        f"{row['cpu_ratio_to_plain_loop']:.2f}",
        f"{row['peak_rss_mb']:,}",
        "yes" if row["correct"] else "NO",
    )
