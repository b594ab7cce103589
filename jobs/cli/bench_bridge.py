"""`meridian bench bridge`: what the bridges' guarantees cost beside clients that give none."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.console import Console

from jobs.cli.bench_support import (
    conclude,
    figures_table,
    json_option,
    need_checkout,
    out_option,
    start_stack,
    write_rows,
)
from jobs.cli.console import info

_MESSAGES = 100_000


@click.command(
    epilog="""\b
Example:
  meridian bench bridge --messages 50000 --rounds 1
"""
)
@click.option("--messages", default=_MESSAGES, show_default=True, type=click.IntRange(min=1_000, max=1_000_000))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20), help="Runs of each variant.")
@out_option
@json_option
def bridge(messages: int, rounds: int, out: Path | None, as_json: bool) -> None:
    """Measure the MQTT bridge into Kafka, QoS 1, against a bare subscriber of the same client and QoS.

    Mosquitto has queued the same messages for both before they start; they take turns. The bridge acknowledges each
    message after Kafka has; the bare subscriber counts and acknowledges.
    """
    need_checkout()
    from benchmarks.bridge_mqtt import measure

    servers = start_stack()
    with tempfile.TemporaryDirectory(prefix="meridian-bench-") as folder:
        rows = _summarise(measure(messages, rounds, servers, Path(folder), info))
    conclude(rows, write_rows(rows, "bench-bridge", out), as_json, _show)


def _summarise(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians by variant; the ratio is that of the medians to the first variant's, the bare one."""
    rows = []
    for variant in dict.fromkeys(run["variant"] for run in runs):
        mine = [run for run in runs if run["variant"] == variant]
        row = {
            name: median(run[name] for run in mine) for name in ("messages_per_s", "cpu_s_per_million", "peak_rss_mb")
        }
        rows.append({**mine[0], **row, "runs": len(mine), "correct": all(run["correct"] for run in mine)})
    for row in rows:
        row["ratio_to_bare"] = round(row["messages_per_s"] / rows[0]["messages_per_s"], 2)
    return rows


def _show(rows: Sequence[dict[str, Any]]) -> None:
    table = figures_table("medians", ("variant",), ("messages/s", "ratio to bare", "CPU-s/M", "peak MB", "correct"))
    for row in rows:
        table.add_row(
            row["variant"],
            f"{row['messages_per_s']:,.0f}",
            f"{row['ratio_to_bare']:.2f}",
            f"{row['cpu_s_per_million']:.1f}",
            f"{row['peak_rss_mb']:,.0f}",
            "yes" if row["correct"] else "NO",
        )
    Console().print(table)
