"""`meridian trace`: one reading through every stage, by its trace or event id."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.audit.journey import (
    OUTCOMES,
    Journey,
    Stage,
    add_outcomes,
    add_windows,
    expect_windows,
    stages,
    wanted_by,
)
from jobs.broker.snapshot import UnreadableTopic
from jobs.broker.topic_records import topic_records
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, CliError, print_json
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.cli.generate import Moment
from jobs.pipeline.config import Deployment
from udfs.rules import Rules

_WIDTH_OF_PIPES = 200
_CLOCKS_MS = 60_000  # the clocks of brokers and workers may differ by so much


@click.command(
    epilog="""\b
Examples:
  meridian trace 0af7651916cd43dd8448eb211c80319c --config my.yaml      all records of a trace
  meridian trace 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 --config my.yaml
  meridian trace s17-1767225540000 --config my.yaml --since '-2 h'      by event id
  meridian trace telemetry.raw/2/1234 --config my.yaml                  by raw offset, as in a dead letter

\b
Exit codes: 0 found; 1 no such reading in the raw topic; 3 the topics cannot be read.
"""
)
@click.argument("name", metavar="TRACE|EVENT_ID|PARTITION/OFFSET")
@deployment_option
@click.option("--since", "since_ms", type=Moment(), help="Look at raw records from then on: ISO 8601 or '-2 h'.")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 1_000), help="Raw records to follow.")
@click.option("--json", "as_json", is_flag=True, help="Print the stages as JSON.")
def trace(name: str, config_file: Path, since_ms: int | None, limit: int, as_json: bool) -> None:
    """Follow one reading: device, bridge, raw topic, aligned or not and why, and the windows that hold it."""
    deployment = read_deployment(config_file)
    try:
        journeys = follow_reading(deployment, deployment.rules(config_file.parent), name, since_ms, limit)
    except UnreadableTopic as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT, "is the stack up, and do the topics exist?") from None
    if not journeys:
        raise CliError(f"nothing in {deployment.topics.raw.name} has the trace or event id {name}", EXIT_FAILED)
    if as_json:
        print_json([[stage._asdict() for stage in stages(journey)] for journey in journeys])
        return
    # A file or a pipe is not 80 columns wide.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_PIPES)
    for journey in journeys:
        console.print(as_table(stages(journey)))


def follow_reading(deployment: Deployment, rules: Rules, name: str, since_ms: int | None, limit: int) -> list[Journey]:
    """Read the topics; the raw one until enough records are found, the others from the first of these on.

    Raises
    ------
    UnreadableTopic : a topic is missing, or no broker answers.
    """
    topics = deployment.topics
    is_wanted = wanted_by(name)
    found = (record for record in topic_records(deployment, topics.raw.name, since_ms) if is_wanted(record))
    journeys = [Journey(record) for record in islice(found, limit)]
    if not journeys:
        return []
    first_ms = min(journey.raw.timestamp_ms for journey in journeys) - _CLOCKS_MS
    for outcome in OUTCOMES:
        add_outcomes(journeys, outcome, topic_records(deployment, getattr(topics, outcome).name, first_ms))
    for journey in journeys:
        expect_windows(journey, rules)
    if any(journey.windows for journey in journeys):
        add_windows(journeys, topic_records(deployment, topics.windows.name, first_ms))
    return journeys


def as_table(passed: Sequence[Stage]) -> Table:
    """Stages with the time that each took after the one before."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("stage", "time (UTC)", "after", "where", "what"):
        table.add_column(column, no_wrap=column != "what", justify="right" if column == "after" else "left")
    before_ms: int | None = None
    for stage in passed:
        after = "" if None in (before_ms, stage.time_ms) else _after(stage.time_ms - before_ms)  # type: ignore[operator]
        table.add_row(stage.name, _clock(stage.time_ms), after, escape(stage.where), escape(stage.what))
        before_ms = before_ms if stage.time_ms is None else stage.time_ms
    return table


def _clock(time_ms: int | None) -> str:
    return "" if time_ms is None else f"{datetime.fromtimestamp(time_ms / 1000, UTC):%F %H:%M:%S.%f}"[:-3]


def _after(duration_ms: Any) -> str:
    return f"{duration_ms:+,} ms" if abs(duration_ms) < 10_000 else f"{duration_ms / 1000:+,.1f} s"
