"""`meridian watch`: what a running job is doing, live."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from jobs.cli.console import EXIT_USAGE, CliError, info
from jobs.cli.deployment import deployment_option, job_name, read_deployment
from jobs.cli.stack import load_endpoints
from jobs.cluster.figures import Figures, read_figures
from jobs.cluster.rest import ClusterError, FlinkRest

_REFRESH_S = 2.0


@click.command(epilog="\b\nExample:\n  meridian watch --config flink-conf/deployments/demo.yaml --seconds 60")
@deployment_option
@click.option("--seconds", type=click.IntRange(1), help="Stop after so long.  [default: until Ctrl-C]")
def watch(config_file: Path, seconds: int | None) -> None:
    """Show throughput, watermark, windows, rejects by reason and late readings of a running job."""
    rest = FlinkRest(load_endpoints().rest_url)
    name = job_name(read_deployment(config_file))
    job = rest.running(name)
    if job is None:
        raise CliError(f"no job {name} is running", EXIT_USAGE, "start it with `meridian submit`")
    deadline = time.monotonic() + (seconds or 10**9)
    follow(rest, job.id, lambda _: time.monotonic() > deadline)


def follow(rest: FlinkRest, job_id: str, finished: Callable[[Figures], bool]) -> Figures:
    """Draw the figures until `finished` says so; plain lines where the output is no terminal."""
    console = Console(stderr=True)
    before: tuple[float, Figures] | None = None
    with Live(console=console, transient=False, auto_refresh=False) as live:
        while True:
            try:
                figures = read_figures(rest, job_id)
            except ClusterError as error:
                info(f"waiting for the cluster: {error}")
                time.sleep(_REFRESH_S)
                continue
            now = time.monotonic()
            rate = 0.0
            if before is not None and figures.accounted >= before[1].accounted:
                rate = (figures.accounted - before[1].accounted) / max(now - before[0], 1e-6)
            before = (now, figures)
            if console.is_terminal:
                live.update(render(figures, rate), refresh=True)
            else:
                console.print(one_line(figures, rate), soft_wrap=True)
            if finished(figures):
                return figures
            time.sleep(_REFRESH_S)


def one_line(figures: Figures, rate: float) -> str:
    return (
        f"{figures.accounted:>10,} readings  {rate:>8,.0f}/s  watermark {_clock(figures)}  "
        f"{figures.window_results:,} window results  {figures.duplicates:,} duplicates  "
        f"{figures.invalid:,} invalid  {figures.late:,} late"
    )


def render(figures: Figures, rate: float) -> Group:
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_row("accounted for", f"{figures.accounted:,}", f"{rate:,.0f} readings/s")
    table.add_row("  aligned", f"{figures.aligned:,}")
    table.add_row("  duplicates", f"{figures.duplicates:,}")
    table.add_row("  invalid", f"{figures.invalid:,}", _reasons(figures))
    table.add_row("late", f"{figures.late:,}", "once per window definition")
    table.add_row("window results", f"{figures.window_results:,}", f"{figures.revisions:,} of them revisions")
    table.add_row("watermark", _clock(figures), _lag(figures))
    return Group(Text(""), table)


def _clock(figures: Figures) -> str:
    if figures.watermark_ms is None:
        return "--:--:--"
    return f"{datetime.fromtimestamp(figures.watermark_ms / 1000, UTC):%H:%M:%S}"


def _lag(figures: Figures) -> str:
    if figures.watermark_ms is None:
        return "none yet"
    return f"UTC, {(time.time() * 1000 - figures.watermark_ms) / 1000:,.0f} s behind the clock"


def _reasons(figures: Figures) -> str:
    most = sorted(figures.invalid_by_reason.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{reason} {count:,}" for reason, count in most[:5])
    return shown + (f", {len(most) - 5} more reasons" if len(most) > 5 else "")
