"""`meridian bench bridge`: what the bridges' guarantees cost beside clients that give none."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection, Sequence
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

_WIDTH_OF_PIPES = 120
_WORKS = ("mqtt", "push")
_MESSAGES = {"mqtt": 100_000, "push": 400_000}


@click.command(
    epilog="""\b
Examples:
  meridian bench bridge                                     both works, three rounds, about four minutes
  meridian bench bridge --work mqtt --messages 50000 --rounds 1
"""
)
@click.option("--work", "works", type=click.Choice(_WORKS), multiple=True, help="Only this work; may be repeated.")
@click.option(
    "--messages",
    type=click.IntRange(1_000, 2_000_000),
    help=f"Of each run.  [default: mqtt {_MESSAGES['mqtt']:,}, push {_MESSAGES['push']:,}]",
)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20), help="Runs of each variant.")
@out_option
@json_option
def bridge(works: tuple[str, ...], messages: int | None, rounds: int, out: Path | None, as_json: bool) -> None:
    """Measure bridges into Kafka against bare clients, which take turns with them.

    mqtt: the bridge with QoS 1, each message acknowledged after Kafka has it, beside a bare subscriber of the same
    client and QoS, which counts and acknowledges; Mosquitto has queued the same messages for both. push: the HTTP
    endpoint, 200 after Kafka has all of a batch, with one process and with two, beside a bare producer of the same
    records.
    """
    need_checkout()
    from benchmarks import bridge_mqtt, bridge_push

    servers = start_stack()
    runs: list[dict[str, Any]] = []
    for work in works or _WORKS:
        count = messages or _MESSAGES[work]
        if work == "mqtt":
            with tempfile.TemporaryDirectory(prefix="meridian-bench-") as folder:
                runs += bridge_mqtt.measure(count, rounds, servers, Path(folder), info)
        else:
            runs += bridge_push.measure(count, rounds, servers, info)
    rows = summarise(runs, {bridge_mqtt.BARE, bridge_push.BARE})
    conclude(rows, write_rows(rows, "bench-bridge", out), as_json, _show)


def summarise(runs: Sequence[dict[str, Any]], bare: Collection[str]) -> list[dict[str, Any]]:
    """Medians by work and variant, the bare one first; the ratio is that of the medians to the bare one's."""
    rows: list[dict[str, Any]] = []
    for work in dict.fromkeys(run["work"] for run in runs):
        variants = {run["variant"] for run in runs if run["work"] == work}
        for variant in sorted(variants, key=lambda name: name not in bare):
            mine = [run for run in runs if (run["work"], run["variant"]) == (work, variant)]
            row = {
                name: median(run[name] for run in mine)
                for name in ("messages_per_s", "cpu_s_per_million", "peak_rss_mb")
            }
            rows.append({**mine[0], **row, "runs": len(mine), "correct": all(run["correct"] for run in mine)})
    base = {row["work"]: row["messages_per_s"] for row in rows if row["variant"] in bare}
    return [{**row, "ratio_to_bare": round(row["messages_per_s"] / base[row["work"]], 2)} for row in rows]


def _show(rows: Sequence[dict[str, Any]]) -> None:
    table = figures_table(
        "medians", ("work", "variant"), ("messages/s", "ratio to bare", "CPU-s/M", "peak MB", "correct")
    )
    for row in rows:
        table.add_row(
            row["work"],
            row["variant"],
            f"{row['messages_per_s']:,.0f}",
            f"{row['ratio_to_bare']:.2f}",
            f"{row['cpu_s_per_million']:.1f}",
            f"{row['peak_rss_mb']:,.0f}",
            "yes" if row["correct"] else "NO",
        )
    Console(width=None if sys.stdout.isatty() else _WIDTH_OF_PIPES).print(table)
