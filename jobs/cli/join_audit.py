"""`meridian join audit`: check that every aligned reading is accounted for in each grid."""

from __future__ import annotations

import time
from pathlib import Path

import click
import orjson
from rich.console import Console

from jobs.audit.grid import GridAccount, account
from jobs.broker.snapshot import UnreadableTopic
from jobs.broker.topic_records import topic_records
from jobs.cli.bench_support import figures_table
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, CliError, print_json
from jobs.cli.join import grid_option, read_grid_file
from jobs.pipeline.grid_config import GridDeployment
from udfs.grid.fate import GRIDDED, LATE, MERGED


@click.command(
    epilog="""\b
Exit codes: 0 every reading is accounted for once; 1 otherwise; 3 the topics cannot be read.
"""
)
@grid_option
@click.option("--wait", "wait_s", type=click.FloatRange(0), default=0.0, help="Seconds to let the job catch up.")
@click.option("--json", "as_json", is_flag=True, help="Print the accounts as JSON.")
def audit(config_file: Path, wait_s: float, as_json: bool) -> None:
    """Compare the sources' topics with what the job has accounted for, read_committed."""
    deployment = read_grid_file(config_file)
    deadline = time.monotonic() + wait_s
    try:
        accounts = _accounts(deployment)
        while any(a.problems for a in accounts) and time.monotonic() < deadline:
            time.sleep(1.0)
            accounts = _accounts(deployment)
    except UnreadableTopic as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT, "is the stack up, and do the topics exist?") from None
    if as_json:
        print_json([a.__dict__ | {"outside": a.outside} for a in accounts])
    else:
        _show(accounts)
    if any(a.problems for a in accounts):
        raise SystemExit(EXIT_FAILED)


def _accounts(deployment: GridDeployment) -> list[GridAccount]:
    # The accounts before the sources: what is read in between shows as missing, and never hides anything.
    def records(topic: str) -> list[dict[str, object]]:
        return [orjson.loads(record.value) for record in topic_records(deployment, topic)]

    tallies, letters = records(deployment.topics.grid_accounting.name), records(deployment.topics.late_grid.name)
    aligned = {s.name: sum(1 for _ in topic_records(deployment, s.topic)) for s in deployment.sources}
    return account([g.name for g in deployment.grids], aligned, tallies, letters)


def _show(accounts: list[GridAccount]) -> None:
    table = figures_table(
        "every aligned reading, by grid and source", ("grid", "source"), ("aligned", GRIDDED, MERGED, LATE, "outside")
    )
    for a in accounts:
        figures = (a.aligned, *(a.counts.get(name, 0) for name in (GRIDDED, MERGED, LATE)), a.outside)
        table.add_row(a.grid, a.source, *(f"{n:,}" for n in figures))
    console = Console()
    console.print(table)
    for a in accounts:
        for problem in a.problems:
            console.print(f"{a.grid}, {a.source}: {problem}", style="yellow", markup=False, highlight=False)
    is_ok = not any(a.problems for a in accounts)
    verdict = "every reading is accounted for once" if is_ok else "readings are lost, doubled or not yet read"
    console.print(verdict, style="bold green" if is_ok else "bold red")
