"""`meridian bench overhead`: what metrics, histograms, probes and exporter cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from jobs.cli.bench_support import conclude, figures_table, json_option, need_checkout, out_option, write_rows
from jobs.cli.console import info


@click.command(
    epilog="""\b
Examples:
  meridian bench overhead
  meridian bench overhead --records 4000000 --rounds 5 --json
"""
)
@click.option("--records", default=2_000_000, show_default=True, type=click.IntRange(min=100_000), help="Per run.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20), help="Runs of each side.")
@out_option
@json_option
def overhead(records: int, rounds: int, out: Path | None, as_json: bool) -> None:
    """Measure the same work with all instrumentation and without any, alternating, on two stacks of their own.

    With: Flink's reporter, the job's counters and histograms, RocksDB's sizes, Prometheus scraping, the exporter and a
    probe every 30 s. Without: `meridian up --profile uninstrumented`. The goal is 3 % of CPU time.
    """
    need_checkout()
    from benchmarks.overhead import run_rounds, summarise

    rows = summarise(list(run_rounds(records, rounds, info)))
    conclude(rows, write_rows(rows, "bench-overhead", out), as_json, _show)


def _show(rows: Sequence[dict[str, Any]]) -> None:
    table = figures_table(
        "medians; the ratio is to the runs without",
        ("variant",),
        ("readings/s", "CPU-s/M", "each", "ratio", "goal 1.03"),
    )
    for row in rows:
        table.add_row(
            row["variant"],
            f"{row['readings_per_s']:,}",
            f"{row['cpu_s_per_million']:.1f}",
            " ".join(f"{each:.1f}" for each in row["each_cpu_s_per_million"]),
            f"{row['cpu_ratio']:.3f}",
            "met" if row["meets_goal"] else "NOT MET",
        )
    Console().print(table)
