"""`meridian join validate-day`: a day of grid rows computed again in batch, and compared with what streaming said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import click
from rich.console import Console

from jobs.broker.clients import make_admin
from jobs.broker.snapshot import CLOCKS_MS
from jobs.broker.topic_records import topic_records
from jobs.broker.topics import delete_named
from jobs.cli.bench_support import figures_table
from jobs.cli.console import EXIT_FAILED, info, print_json
from jobs.cli.join import grid_option, read_grid_file
from jobs.cli.join_history import find_history, records_of, start_bounded
from jobs.cli.reprocess import wait_or_cancel
from jobs.cli.times import UtcDay
from jobs.cli.validate_day import plain_errors
from jobs.export.select import Record, read_records
from jobs.pipeline.grid_config import GridDeployment
from jobs.reprocess.deployment import Span
from jobs.reprocess.grid import grid_rerun_document, grid_topics, with_grid_topics
from jobs.reprocess.run import read_document
from jobs.validation.grid import REASONS, GridDayReport, Place, Reader, Taken, validate_grids
from udfs.grid.frame import unpack
from udfs.grid.gather import Gatherer
from udfs.grid.job import runs_of_frame
from udfs.grid.rules import GridRules, SourceRule

_BATCH = 10_000


@click.command(
    "validate-day",
    epilog="""\b
Examples:
  meridian join validate-day 2019-03-28 --config my-grid.yaml
  meridian join validate-day $(date -u -d yesterday +%F) --config my-grid.yaml --json     for cron; exit 1 on a defect

\b
Each final row of the day is the same, or its difference is explained: revised, late and open are no defects; lost,
doubled and other are. The batch run needs as many free slots as the grid file's parallelism.
Exit codes: 0 no defect; 1 a defect; 3 stack or topics not available.
""",
)
@click.argument("day_ms", metavar="DATE", type=UtcDay())
@grid_option
@click.option("--keep", is_flag=True, help="Keep the topics of the batch run.")
@click.option("--timeout", "timeout_s", type=click.IntRange(1), default=14_400, help="Seconds for the batch run.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def validate_day(day_ms: int, config_file: Path, keep: bool, timeout_s: int, as_json: bool) -> None:
    """Compute the rows of the UTC day DATE again in batch and compare each with what streaming said."""
    deployment = read_grid_file(config_file)
    rules = deployment.rules(config_file.parent)
    day = datetime.fromtimestamp(day_ms / 1000, UTC).date().isoformat()
    with plain_errors():
        since_ms = day_ms - max(grid.before_ms for grid in rules.grids) - CLOCKS_MS
        history = find_history(deployment, rules, since_ms)
        topics = grid_topics(deployment, f".validate-{day}")
        batch = with_grid_topics(deployment, topics)
        _delete(batch, topics)  # of a run that was broken off
        document = grid_rerun_document(
            read_document(config_file), deployment, f"{deployment.name}-validate-{day}", topics, history
        )
        file = config_file.with_name(f".{config_file.stem}.validate-{day}{config_file.suffix}")
        try:
            job_id = start_bounded(file, document, "Validation of a day, written by `meridian join validate-day`.")
            wait_or_cancel(job_id, timeout_s)

            def readings(wanted: set[Place]) -> Iterator[Taken]:
                for source in rules.sources:
                    yield from _taken(deployment, rules, source, history[source.name].span, since_ms, wanted)

            report = validate_grids(_reader(deployment), _reader(batch), rules, readings, day, day_ms)
        finally:
            file.unlink(missing_ok=True)
            if not keep:
                _delete(batch, topics)
    if as_json:
        print_json(report.to_dict())
    else:
        _show(report)
    if not report.ok:
        raise SystemExit(EXIT_FAILED)


def _delete(deployment: GridDeployment, topics: dict[str, str]) -> None:
    delete_named(make_admin(deployment), list(topics.values()))  # type: ignore[arg-type]


def _taken(
    deployment: GridDeployment, rules: GridRules, source: SourceRule, span: Span, since_ms: int, wanted: set[Place]
) -> Iterator[Taken]:
    """The readings of some places, gathered as the job gathers them."""
    gatherer = Gatherer(rules, source)
    records = records_of(deployment, source, span, since_ms)
    while batch := list(islice(records, _BATCH)):
        columns = zip(*((r.value, r.partition, r.offset, r.timestamp_ms) for r in batch), strict=True)
        for _, frame in gatherer.gather(*map(list, columns)):  # type: ignore[arg-type]
            readings = unpack(frame)
            for grid, run in runs_of_frame(readings):
                if (grid, run.place) in wanted:
                    for point, index in zip(run.points, run.indices, strict=True):
                        where = source.topic, readings.partition[index], readings.offset[index]
                        yield Taken((grid, run.place), run.metrics, point, where)


def _reader(deployment: GridDeployment) -> Reader:
    def read(role: str) -> Iterator[Record]:
        topic = getattr(deployment.topics, role).name
        values: Iterable[bytes] = (record.value for record in topic_records(deployment, topic))  # type: ignore[arg-type]
        return read_records(values)

    return read


def _show(report: GridDayReport) -> None:
    names = [reason.value for reason in REASONS]
    table = figures_table(f"final grid rows of {report.day}", ("grid",), (*names, "late readings"))
    for grid, rows in report.grids.items():
        table.add_row(grid, *(f"{rows[name]:,}" for name in names), f"{report.late_readings[grid]:,}")
    console = Console()
    if not console.is_terminal:
        console.width = 140
    console.print(table)
    for found in report.differences:
        at = datetime.fromtimestamp(found["instant_ms"] / 1000, UTC).isoformat(timespec="seconds")
        line = f"{found['reason']:<8} {found['grid']} {found['place']} {at}: {found['detail'] or 'the same in the end'}"
        console.print(line, markup=False, highlight=False)
    verdict = f"{report.rows():,} rows, " + ", ".join(f"{report.rows(r):,} {r.value}" for r in REASONS)
    console.print(verdict, style="bold green" if report.ok else "bold red", highlight=False)
    if not report.ok:
        info("defects: lost, doubled and other")
