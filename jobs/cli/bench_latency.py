"""`meridian bench latency`: how long a reading and a window result take until a reader may see them, at fixed rates."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from jobs.cli.bench_support import figures_table, json_option, need_checkout, out_option, plots_option, write_rows
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, CliError, info, success, warn
from jobs.cli.local.profiles import PROFILES
from jobs.cli.stack import Endpoints, load_endpoints
from jobs.cluster.rest import ClusterError

_RATES = (1_000, 10_000, 50_000)
_OTHER_WORK_PERCENT = 10
_SENDER_BEHIND_MS = 1_000
_DELIVERIES = ("at-least-once", "exactly-once")


@click.command(
    epilog="""\b
Examples:
  meridian bench latency --profile latency                        three rates, both guarantees
  meridian bench latency --rate 10000 --delivery exactly-once --seconds 120
  meridian bench latency --plots                                  … and the distributions as a picture
"""
)
@click.option(
    "--rate",
    "rates",
    type=click.IntRange(1),
    multiple=True,
    help="Readings a second.  [default: 1000, 10000 and 50000]",
)
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(10), help="Measured time per rate.")
@click.option("--warmup", default=45.0, show_default=True, type=click.FloatRange(0), help="Seconds before that.")
@click.option("--delivery", "deliveries", type=click.Choice(_DELIVERIES), multiple=True, help="[default: both]")
@click.option("--profile", type=click.Choice(PROFILES), help="Start the stack with it.  [default: that of the stack]")
@click.option("--sensors", type=click.IntRange(1), help="[default: as many as readings/s]")
@out_option
@plots_option
@json_option
def latency(
    rates: tuple[int, ...],
    seconds: float,
    warmup: float,
    deliveries: tuple[str, ...],
    profile: str | None,
    sensors: int | None,
    out: Path | None,
    plots: bool,
    as_json: bool,
) -> None:
    """Measure latency at fixed rates, from when a reading was due to when a read_committed reader sees it.

    The load is an open loop: readings are stamped with the time at which they were due, so that a slow system cannot
    hide its delay. A rate that the job cannot keep up with is said to be one, and has no percentiles.
    """
    need_checkout(plots=plots)
    from benchmarks.broker_io import Undelivered
    from benchmarks.latency import LatencyFailed, Load, run

    endpoints = _stack(profile)
    loads = [Load(rate, sensors or rate, warmup, seconds) for rate in dict.fromkeys(rates or _RATES)]
    rows: list[dict[str, Any]] = []
    try:
        for delivery in dict.fromkeys(deliveries or _DELIVERIES):
            for row in run(endpoints, delivery, loads, info):
                rows.append(row)
                info(f"  {_verdict(row)}")
                for doubt in _doubts(row):
                    warn(doubt)
    except (LatencyFailed, ClusterError, Undelivered) as error:
        raise CliError(str(error), EXIT_FAILED, "look at the job's log in the stack's log folder") from None
    files = [write_rows(rows, "bench-latency", out)]
    if plots:
        from benchmarks.latency_plot import plot_distributions

        files += plot_distributions(rows, files[0].with_suffix(""))
    if as_json:
        click.echo(json.dumps(rows))
    else:
        _show(rows)
        success(f"written to {', '.join(map(str, files))}")
    if any(row["met"] is False for row in rows):
        raise SystemExit(EXIT_FAILED)


def _stack(profile: str | None) -> Endpoints:
    """The running stack, or a new one; one that runs with another profile is refused by `up`."""
    command = [sys.executable, "-m", "jobs.cli.main", "up", *(["--profile", profile] if profile else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["`meridian up` failed"]
        message = next((line for line in lines if line.startswith("error: ")), lines[-1]).removeprefix("error: ")
        raise CliError(message, EXIT_ENVIRONMENT, "run `meridian down` first, or `meridian up` to see more")
    return load_endpoints()


def _verdict(row: dict[str, Any]) -> str:
    if row["falls_behind"]:
        unseen = f", {row['unseen']:,} were not seen in time" if row["unseen"] else ""
        return (
            f"does not keep up: {row['visible_per_s']:,} of {row['rate']:,}/s come out, "
            f"the lag grows by {row['growth_ms_per_s']:,.0f} ms a second{unseen}; there are no percentiles"
        )
    total = row["stages"]["due to visible"]
    goal = "" if row["goal_ms"] is None else f"; goal {row['goal_ms']:,} ms {'met' if row['met'] else 'MISSED'}"
    return f"p50 {total['p50']:,.0f} ms, p99 {total['p99']:,.0f} ms, max {total['max']:,} ms{goal}"


def _doubts(row: dict[str, Any]) -> Iterator[str]:
    """What else than the job may have made the figures what they are."""
    if row["other_work_percent"] > _OTHER_WORK_PERCENT:
        yield f"other work took {row['other_work_percent']:.0f} % of the machine: it does better when quiet"
    if (row["sender_behind_ms"] or 0) > _SENDER_BEHIND_MS:
        yield "the sender did not keep its schedule: the machine is too small for load and job together"


def _show(rows: list[dict[str, Any]]) -> None:
    table = figures_table(
        "latency in ms; exactly-once is visible when a checkpoint has committed",
        ("stage",),
        ("p50", "p99", "p99.9", "max"),
    )
    for row in rows:
        table.add_row(f"[bold]{row['delivery']}, {row['rate']:,}/s, profile {row['profile'] or 'none'}")
        if row["falls_behind"]:
            table.add_row(f"  falls behind: {row['visible_per_s']:,}/s come out")
        else:
            for what, stages in (("reading", row["stages"]), ("window", row["windows"])):
                for stage, found in stages.items():
                    percentiles = (found[name] for name in ("p50", "p99", "p99_9", "max"))
                    table.add_row(f"  {what}: {stage}", *map(_ms, percentiles))
        table.add_section()
    Console().print(table)


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


if __name__ == "__main__":
    latency()
