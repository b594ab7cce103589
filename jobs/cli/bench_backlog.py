"""`meridian bench backlog`: an hour of ten thousand sensors, drained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from jobs.cli.bench_support import (
    ONE_TASKMANAGER,
    conclude,
    json_option,
    need_checkout,
    out_option,
    plots_option,
    start_stack,
    write_rows,
)
from jobs.cli.console import info


@click.command(
    epilog="""\b
Examples:
  meridian bench backlog --hours 0.1     a tenth of it: 3,600,000 readings
  meridian bench backlog --plots         the whole: 36,000,000 readings
"""
)
@click.option("--sensors", default=10_000, show_default=True, type=click.IntRange(min=1), help="One reading a second.")
@click.option("--hours", default=1.0, show_default=True, type=click.FloatRange(0.001, 24.0), help="How long cut off.")
@out_option
@plots_option
@json_option
def backlog(sensors: int, hours: float, out: Path | None, plots: bool, as_json: bool) -> None:
    """Drain what many sensors flush after an outage, and account for every offset of it.

    The rate is compared with the plain loop's on the first 3,000,000 of the same readings, in the same run.
    """
    need_checkout(plots=plots)
    from benchmarks.backlog import drain_backlog, summarise

    drained = drain_backlog(sensors, hours, start_stack(*ONE_TASKMANAGER), info)
    rows = summarise(drained)
    path = write_rows(rows, "bench-backlog", out)
    if plots:
        from benchmarks.plots import plot_run

        for file in plot_run(drained.meridian.samples, drained.meridian.checkpoints, path.with_suffix("")):
            info(f"drawn: {file}")
    conclude(rows, path, as_json, _show)


def _show(rows: Sequence[dict[str, Any]]) -> None:
    plain, meridian = rows
    table = Table(
        "what", "value", title=f"backlog: {meridian['readings']:,} readings of {meridian['sensors']:,} sensors"
    )
    table.columns[1].justify = "right"
    lines = {
        "drained in, submission included": f"{meridian['seconds'] / 60:.1f} min",
        "readings/s": f"{meridian['readings_per_s']:,}",
        "plain loop, readings/s": f"{plain['readings_per_s']:,}",
        "ratio to the plain loop": f"{meridian['ratio_to_plain_loop']:.2f}",
        "CPU-s per million": f"{meridian['cpu_s_per_million']:.1f}",
        "plain loop, CPU-s per million": f"{plain['cpu_s_per_million']:.1f}",
        "peak memory of all Flink processes": f"{meridian['peak_rss_mb']:,} MB",
        "memory, first and last third": f"{meridian['rss_mb_first_third']:,} and {meridian['rss_mb_last_third']:,} MB",
        "checkpoints completed, failed": f"{meridian['checkpoints_completed']}, {meridian['checkpoints_failed']}",
        "longest checkpoint": f"{meridian['checkpoint_longest_ms'] / 1_000:.1f} s",
        "restarts": str(meridian["restarts"]),
        "every offset accounted for once": "yes" if meridian["correct"] else f"NO: {meridian['problems']}",
    }
    for what, value in lines.items():
        table.add_row(what, value)
    Console().print(table)
