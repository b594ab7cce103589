"""`meridian bench scaling`: what a reading costs when sensors, TTL, skew or parallelism grow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from jobs.cli.bench_support import (
    ONE_TASKMANAGER,
    conclude,
    figures_table,
    json_option,
    need_checkout,
    out_option,
    plots_option,
    start_stack,
    write_rows,
)
from jobs.cli.console import CliError, info


@click.command(
    epilog="""\b
Examples:
  meridian bench scaling --plots
  meridian bench scaling --series sensors --records 4000000
"""
)
@click.option("--series", "wanted", multiple=True, help="Only this series; may be repeated.")
@click.option("--records", default=2_000_000, show_default=True, type=click.IntRange(min=100_000), help="Per point.")
@out_option
@plots_option
@json_option
def scaling(wanted: tuple[str, ...], records: int, out: Path | None, plots: bool, as_json: bool) -> None:
    """Measure Meridian alone, with one thing changed at a time, as ratios to the first point of each series.

    Sensors: 1,000 to 100,000. Dedup TTL: 1 h to 48 h over 50 h of event time, late readings reaching back two days.
    Hot cell: half of the traffic in one cell, with windows by cell. Parallelism: 1 to 2.
    """
    need_checkout(plots=plots)
    from benchmarks.scaling import run_series, series, summarise

    known = {one.name: one for one in series(records)}
    for name in wanted:
        if name not in known:
            raise CliError(f"--series {name!r}: known are {', '.join(known)}")
    chosen = [known[name] for name in wanted or known]
    rows = summarise(list(run_series(chosen, start_stack(*ONE_TASKMANAGER), info)))
    path = write_rows(rows, "bench-scaling", out)
    if plots:
        from benchmarks.plots import plot_scaling

        for file in plot_scaling(rows, path.with_suffix("")):
            info(f"drawn: {file}")
    conclude(rows, path, as_json, _show)


def _show(rows: Sequence[dict[str, Any]]) -> None:
    table = figures_table(
        "ratios are to the first point of a series",
        ("series", "point"),
        ("readings/s", "ratio", "CPU-s/M", "ratio", "peak MB", "goal", "correct"),
    )
    for row in rows:
        goal = "" if row["goal"] is None else f"{row['goal']} {'met' if row['meets_goal'] else 'NOT MET'}"
        table.add_row(
            row["series"],
            row["variant"],
            f"{row['readings_per_s']:,}",
            f"{row['rate_ratio']:.2f}",
            f"{row['cpu_s_per_million']:.1f}",
            f"{row['cost_ratio']:.2f}",
            f"{row['peak_rss_mb']:,}",
            goal,
            "yes" if row["correct"] else "NO",
        )
    Console().print(table)
