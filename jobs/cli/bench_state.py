"""`meridian bench state`: bytes of keyed state per id, sensor and window, and the cost of checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from jobs.cli.bench_support import (
    conclude,
    figures_table,
    json_option,
    need_checkout,
    out_option,
    start_stack,
    write_rows,
)
from jobs.cli.console import EXIT_USAGE, CliError, info


@click.command(epilog="\b\nExamples:\n  meridian bench state\n  meridian bench state --readings 60 --json")
@click.option(
    "--readings", default=200, show_default=True, type=click.IntRange(min=10), help="Per sensor, one a second."
)
@out_option
@json_option
def state(readings: int, out: Path | None, as_json: bool) -> None:
    """Measure what state holds and what checkpoints cost, at 5,000, 10,000 and 20,000 sensors.

    Sizes are those of full checkpoints that are taken when all readings are in and their windows still open.
    """
    need_checkout()
    from benchmarks.state import points, run_points, summarise

    try:
        chosen = points(readings)
    except ValueError as error:
        raise CliError(f"--readings: {error}", EXIT_USAGE) from None
    rows = summarise(list(run_points(chosen, start_stack(), info)))
    conclude(rows, write_rows(rows, "bench-state", out), as_json, _show)


def _show(rows: Sequence[dict[str, Any]]) -> None:
    *runs, entry = rows
    table = figures_table(
        "checkpoints: full, and the largest and longest incremental ones",
        ("run",),
        ("ids", "windows", "MB", "s", "incr. MB", "incr. s", "correct"),
        box=SIMPLE,
    )
    for row in runs:
        table.add_row(
            row["variant"],
            f"{row['ids']:,}",
            f"{row['open_windows']:,}",
            f"{row['full_bytes'] / 1e6:,.1f}",
            f"{row['full_ms'] / 1e3:.1f}",
            f"{row.get('incremental_bytes_max', 0) / 1e6:,.1f}",
            f"{row.get('incremental_ms_max', 0) / 1e3:.1f}",
            "yes" if row["correct"] else "NO",
        )
    title = f"keyed state, {entry['readings_per_sensor']} readings of each sensor"
    bytes_table = Table("entry", "bytes", title=title, box=SIMPLE)
    bytes_table.columns[1].justify = "right"
    for name in ("per_id", "per_open_5min_window", "per_open_15min_window", "per_sensor"):
        bytes_table.add_row(name.replace("_", " "), f"{entry[name]:,}")
    Console().print(table, bytes_table)
