"""`meridian validate-day`: a day computed again in batch, and compared with what streaming said of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from jobs.broker.markers import UndeliveredRecords
from jobs.broker.snapshot import CLOCKS_MS, UnreadableTopic, read_topic
from jobs.broker.topics import TopicProblem
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, CliError, info, print_json
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.cli.outputs import delete_outputs
from jobs.cli.reprocess import HINT, start_run, wait_or_cancel
from jobs.cli.times import UtcDay
from jobs.export.select import Record, UnreadableRecord, read_records
from jobs.pipeline.config import Deployment
from jobs.reprocess.deployment import output_topics, rerun_document, with_topics
from jobs.reprocess.outputs import current_outputs, read_outputs
from jobs.reprocess.run import EmptySpan, find_span, read_document, write_document
from jobs.validation.day import Reader, validate
from jobs.validation.explain import Reason
from jobs.validation.report import DayReport


@click.command(
    "validate-day",
    epilog="""\b
Examples:
  meridian validate-day 2019-03-28 --config my.yaml
  meridian validate-day $(date -u -d yesterday +%F) --config my.yaml --json     for cron; exit 1 on a defect
  meridian validate-day 2019-03-28 --config my.yaml --against 2                 with a version that is there

\b
Each final window row of the day is the same, or its difference is explained: revised, late, beyond_dedup_horizon, open
are no defects; lost, doubled and other are. The batch run needs as many free slots as the deployment's parallelism.
Exit codes: 0 no defect; 1 a defect; 3 stack or topics not available.
""",
)
@click.argument("day_ms", metavar="DATE", type=UtcDay())
@deployment_option
@click.option("--of", type=click.IntRange(1), metavar="VERSION", help="Judge this version.  [default: the current one]")
@click.option("--against", type=click.IntRange(1), metavar="VERSION", help="Compare with this version; run nothing.")
@click.option("--keep", is_flag=True, help="Keep the topics of the batch run.")
@click.option("--timeout", "timeout_s", type=click.IntRange(1), default=14_400, help="Seconds for the batch run.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def validate_day(
    day_ms: int, config_file: Path, of: int | None, against: int | None, keep: bool, timeout_s: int, as_json: bool
) -> None:
    """Compute the UTC day DATE again in batch and compare every final window row with what streaming said."""
    deployment = read_deployment(config_file)
    day = datetime.fromtimestamp(day_ms / 1000, UTC).date().isoformat()
    with plain_errors():
        live = _version(deployment, of) if of else current_outputs(deployment)
        batch = _version(deployment, against) if against else _run_day(deployment, config_file, day, day_ms, timeout_s)
        try:
            streams = deployment.rules(config_file.parent).streams
            # A record is written after its event time, but for what a clock may be ahead.
            since_ms = day_ms - deployment.time.max_future - CLOCKS_MS
            report = validate(_reader(live, since_ms), _reader(batch, since_ms), streams, day, day_ms)
        finally:
            if against is None and not keep:
                delete_outputs(batch)
    if as_json:
        print_json(report.to_dict())
    else:
        show(report)
    if not report.ok:
        raise SystemExit(EXIT_FAILED)


@contextmanager
def plain_errors() -> Iterator[None]:
    """What can go wrong when a day is validated, as lines with exit codes."""
    try:
        yield
    except (UnreadableTopic, UndeliveredRecords, TopicProblem) as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, HINT) from None
    except UnreadableRecord as error:
        raise CliError(str(error), EXIT_FAILED) from None
    except EmptySpan as error:
        raise CliError(str(error), EXIT_USAGE) from None


def show(report: DayReport) -> None:
    """Print the report for people."""
    console = Console()
    if not console.is_terminal:
        console.width = 140
    table = Table("stream/window", title=f"final window rows of {report.day}", box=SIMPLE_HEAD)
    for name in (*(reason.value for reason in Reason), "batch", "live", "late readings"):
        table.add_column(name, justify="right")
    for d in report.definitions:
        figures = (*(d.rows[reason.value] for reason in Reason), d.batch_readings, d.live_readings, d.late_readings)
        table.add_row(f"{d.stream}/{d.definition}", *(f"{n:,}" for n in figures))
    console.print(table)
    for difference in report.differences:
        start = datetime.fromtimestamp(difference["window_start_ms"] / 1000, UTC).isoformat(timespec="seconds")
        where = f"{difference['stream']}/{difference['definition']} {start} {difference['key']} {difference['metric']}"
        line = f"{difference['reason']:<9} {where}: {difference['detail'] or 'the same in the end'}"
        console.print(line, markup=False, highlight=False)
    verdict = f"{report.rows():,} rows, " + ", ".join(f"{report.rows(r):,} {r.value}" for r in Reason)
    console.print(verdict, style="bold green" if report.ok else "bold red", highlight=False)


def _run_day(deployment: Deployment, config_file: Path, day: str, day_ms: int, timeout_s: int) -> Deployment:
    """Run the day's raw records through the job, into topics of its own, and wait for the end."""
    # A record is appended at most `max_future` before its event time.
    span = find_span(deployment, day_ms - deployment.time.max_future, None, bounded=True)
    topics = output_topics(deployment, f".validate-{day}")
    batch = with_topics(deployment, topics)
    delete_outputs(batch)  # of a run that was broken off
    document = rerun_document(read_document(config_file), deployment, f"{deployment.name}-validate-{day}", topics, span)
    file = config_file.with_name(f".{config_file.stem}.validate-{day}{config_file.suffix}")
    write_document(file, document, f"Validation of {day}, written by `meridian validate-day`.")
    try:
        wait_or_cancel(start_run(file), timeout_s)
    finally:
        file.unlink()
    return batch


def _version(deployment: Deployment, number: int) -> Deployment:
    version = read_outputs(deployment).versions.get(number)
    if version is None:
        raise CliError(f"there is no version {number}", EXIT_USAGE, "`meridian outputs list` shows them")
    return with_topics(deployment, version.topics)


def _reader(deployment: Deployment, since_ms: int) -> Reader:
    def read(role: str) -> Iterator[Record]:
        topic = getattr(deployment.topics, role).name
        if sys.stderr.isatty():
            info(f"reading {topic}")
        return read_records(message.value() for message in read_topic(deployment, topic, since_ms))

    return read
