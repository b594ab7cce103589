"""`meridian bench align`: several metrics on one grid, against a plain loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from jobs.cli.bench_support import (
    RATIO_COLUMNS,
    collect,
    conclude,
    figures_table,
    json_option,
    need_checkout,
    out_option,
    ratio_cells,
    start_stack,
    write_rows,
)
from jobs.cli.console import info


@click.command(
    epilog="""\b
Examples:
  meridian bench align
  meridian bench align --records 2000000 --rounds 1
"""
)
@click.option("--records", default=4_000_000, show_default=True, type=click.IntRange(min=1_000_000), help="Readings.")
@click.option("--sensors", default=1_000, show_default=True, type=click.IntRange(min=1))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20), help="Runs of each variant.")
@out_option
@json_option
def align(records: int, sensors: int, rounds: int, out: Path | None, as_json: bool) -> None:
    """Measure the grid job: linear, mean and as-of values of each station every five minutes, over an aligned topic.

    Every run is judged by an oracle that works the rows out on its own. On a shared machine look at the ratios.
    """
    need_checkout()
    from benchmarks.align_runs import alternate
    from benchmarks.runner import summarise
    from benchmarks.sql_summaries import prepare

    bootstrap = start_stack()
    topic = prepare(records, sensors, bootstrap, info)
    rows = summarise(collect(alternate(rounds, bootstrap, topic, info)))
    conclude(rows, write_rows(rows, "bench-align", out), as_json, _show)


def _show(rows: Sequence[dict[str, Any]]) -> None:
    table = figures_table(
        "medians; ratios are to the plain loop",
        ("variant",),
        RATIO_COLUMNS,
    )
    for row in rows:
        table.add_row(
            row["variant"],
            *ratio_cells(row),
        )
    Console().print(table)
