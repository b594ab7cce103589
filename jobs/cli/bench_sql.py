"""`meridian bench sql`: hourly summaries of the aligned topic in SQL, against a plain loop that makes the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from jobs.cli.bench_support import (
    ONE_TASKMANAGER,
    collect,
    conclude,
    figures_table,
    json_option,
    need_checkout,
    out_option,
    start_stack,
    write_rows,
)
from jobs.cli.console import info

_GOALS = {"sql": 1.6, "sql-crs": 0.7}


@click.command(
    epilog="""\b
Examples:
  meridian bench sql
  meridian bench sql --work sql-crs --rounds 1     only with TO_CRS
"""
)
@click.option("--work", "works", type=click.Choice(list(_GOALS)), multiple=True, help="Only this work.")
@click.option("--records", default=8_000_000, show_default=True, type=click.IntRange(min=2_000_000), help="Readings.")
@click.option("--sensors", default=1_000, show_default=True, type=click.IntRange(min=1))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20), help="Runs of each variant.")
@out_option
@json_option
def sql(works: tuple[str, ...], records: int, sensors: int, rounds: int, out: Path | None, as_json: bool) -> None:
    """Measure SQL summaries over an aligned topic: without Python functions, and with TO_CRS.

    Every run is judged by an oracle that folds the topic on its own. On a shared machine look at the ratios.
    """
    need_checkout()
    from benchmarks.runner import summarise
    from benchmarks.sql_summaries import alternate, prepare

    bootstrap = start_stack(*ONE_TASKMANAGER)
    topic = prepare(records, sensors, bootstrap, info)
    runs = collect(alternate(works or tuple(_GOALS), rounds, bootstrap, topic, info))  # type: ignore[arg-type]
    rows = summarise(runs)
    conclude(rows, write_rows(rows, "bench-sql", out), as_json, _show)


def _show(rows: Sequence[dict[str, Any]]) -> None:
    table = figures_table(
        "medians; ratios are to the plain loop of the same work",
        ("work", "variant"),
        ("readings/s", "ratio", "goal", "CPU-s/M", "ratio", "peak MB", "correct"),
    )
    for row in rows:
        table.add_row(
            row["work"],
            row["variant"],
            f"{row['readings_per_s']:,}",
            f"{row['ratio_to_plain_loop']:.2f}",
            f"{_GOALS[row['work']]:.1f}" if row["variant"] == "sql" else "",
            f"{row['cpu_s_per_million']:.1f}",
            f"{row['cpu_ratio_to_plain_loop']:.2f}",
            f"{row['peak_rss_mb']:,}",
            "yes" if row["correct"] else "NO",
        )
    Console().print(table)
