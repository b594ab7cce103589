"""`meridian bench`: baselines and product in the same run, alternating, as a table and a JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console

from jobs.cli.bench_support import (
    ONE_TASKMANAGER,
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
from jobs.cli.console import CliError, info
from jobs.cli.lazy import LazyGroup

if TYPE_CHECKING:
    from benchmarks.runner import Variant

_WORKS = ("windows", "whole")
_STANDARD = ("plain-loop", "meridian")
_QUICK_RECORDS, _RECORDS = 2_000_000, 4_000_000

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "align": ("jobs.cli.bench_align:align", "Several metrics on one grid, against a plain loop."),
    "backlog": (
        "jobs.cli.bench_backlog:backlog",
        "Drain an hour of ten thousand sensors.",
    ),
    "bridge": ("jobs.cli.bench_bridge:bridge", "MQTT bridge and push endpoint against bare clients."),
    "latency": ("jobs.cli.bench_latency:latency", "Latency at fixed rates, by stage."),
    "overhead": ("jobs.cli.bench_overhead:overhead", "What instrumentation costs, in CPU time."),
    "scaling": ("jobs.cli.bench_scaling:scaling", "Meridian alone, with one thing changed at a time."),
    "sql": ("jobs.cli.bench_sql:sql", "SQL summaries over an aligned topic."),
    "state": ("jobs.cli.bench_state:state", "What state holds and what checkpoints cost."),
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    invoke_without_command=True,
    epilog="""\b
Examples:
  meridian bench --quick                           plain loop and Meridian, once each
  meridian bench --work whole --records 8000000    one work, longer
  meridian bench --variant textbook-pyflink        … with the textbook form beside them
  meridian bench backlog --hours 0.1               one of the commands below; options above are not theirs
""",
)
@click.option("--quick", is_flag=True, help=f"One round of {_QUICK_RECORDS:,} readings per work.")
@click.option("--work", "works", type=click.Choice(_WORKS), multiple=True, help="Only this work; may be repeated.")
@click.option("--variant", "further", multiple=True, help="One more variant; may be repeated.")
@click.option("--records", type=click.IntRange(min=10_000), help=f"Readings per work.  [default: {_RECORDS:,}]")
@click.option("--sensors", default=1_000, show_default=True, type=click.IntRange(min=1))
@click.option("--rounds", type=click.IntRange(1, 20), help="Runs of each variant.  [default: 3; --quick: 1]")
@click.option("--peers-python", type=click.Path(exists=True, dir_okay=False), help="Python of bytewax and the like.")
@out_option
@json_option
@click.pass_context
def bench(
    ctx: click.Context,
    quick: bool,
    works: tuple[str, ...],
    further: tuple[str, ...],
    records: int | None,
    sensors: int,
    rounds: int | None,
    peers_python: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure Meridian against a plain loop doing the same work; the local stack is started when it is not running.

    Rates are steady ones, CPU seconds are those of whole process trees, and every run is judged by an oracle that folds
    the raw topic on its own. On a shared machine look at the ratios.
    """
    if ctx.invoked_subcommand is not None:
        return
    need_checkout()
    from benchmarks.runner import alternate, prepare, summarise

    bootstrap = start_stack(*ONE_TASKMANAGER)
    records = records or (_QUICK_RECORDS if quick else _RECORDS)
    runs = []
    for work in works or _WORKS:
        variants = _variants(work, further, peers_python)
        topic = prepare(work, records, bootstrap, sensors, info)  # type: ignore[arg-type]
        runs += collect(alternate(work, variants, rounds or (1 if quick else 3), bootstrap, topic, info))  # type: ignore[arg-type]
    rows = summarise(runs)
    conclude(rows, write_rows(rows, "bench", out), as_json, _show)


def _variants(work: str, further: tuple[str, ...], peers_python: str | None) -> list[Variant]:
    from dataclasses import replace

    from benchmarks.runner import VARIANTS

    known = {variant.name: variant for variant in VARIANTS}
    for name in further:
        if name not in known:
            raise CliError(f"--variant {name!r}: known are {', '.join(known)}")
    chosen = [known[name] for name in dict.fromkeys((*_STANDARD, *further)) if work in known[name].works]
    return [replace(v, python=peers_python) if peers_python and v.is_peer else v for v in chosen]


def _show(rows: Sequence[dict[str, Any]]) -> None:
    table = figures_table(
        "medians; ratios are to the plain loop of the same work",
        ("work", "variant"),
        RATIO_COLUMNS,
    )
    for row in rows:
        table.add_row(
            row["work"],
            row["variant"],
            *ratio_cells(row),
        )
    Console().print(table)
