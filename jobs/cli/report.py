"""`meridian report`: one HTML page of a run or a period."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_USAGE, CliError, info, success
from jobs.cli.deployment import deployment_option
from jobs.cli.outputs import read_current
from jobs.cli.times import UtcTime

if TYPE_CHECKING:
    from jobs.audit.report import Report
    from jobs.pipeline.config import Deployment
    from udfs.rules import Rules


@click.command(
    epilog="""\b
Examples:
  meridian report --config my.yaml -o report.html
  meridian report --config my.yaml -o day.html --from 2026-11-20 --to 2026-11-21

\b
Exit codes: 0 written (whether or not the accounts close: the page says so); 2 wrong usage; 3 the topics cannot be read.
"""
)
@deployment_option
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="HTML file to write."
)
@click.option("--from", "from_ms", type=UtcTime(), help="First event time.")
@click.option("--to", "to_ms", type=UtcTime(), help="Event time at which it ends.")
@click.option(
    "--audit/--no-audit", "with_audit", default=True, show_default=True, help="Whether to check the accounts."
)
def report(config_file: Path, output: Path, from_ms: int | None, to_ms: int | None, with_audit: bool) -> None:
    """Write a page with accounts, map, series, watermark, lateness, refusals and revisions, committed records only."""
    from jobs.broker.snapshot import CLOCKS_MS, UnreadableTopic
    from jobs.export.atomic_file import replacing
    from jobs.report.gather import Period
    from jobs.report.page import render
    from jobs.report.topics import read_topics

    if not output.parent.is_dir():
        raise CliError(f"{output.parent}: no such folder", EXIT_USAGE)
    deployment = read_current(config_file)
    rules = deployment.rules(config_file.parent)
    since_ms = None if from_ms is None else from_ms - deployment.time.max_future - CLOCKS_MS
    progress = info if sys.stderr.isatty() else _silent
    try:
        gathered, moments = read_topics(deployment, rules, Period(from_ms, to_ms), since_ms, progress)
    except UnreadableTopic as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, "is the stack up, and do the topics exist?") from None
    audit = _audit(deployment, rules) if with_audit else None
    page = render(deployment, gathered, moments, audit, time.time_ns() // 1_000_000)
    with replacing(output) as file:
        file.write_text(page, encoding="utf-8")
    success(
        f"{output}: {len(page.encode()) / 1e6:.1f} MB, {sum(s.readings for s in gathered.stations.values()):,} readings"
    )


def _audit(deployment: Deployment, rules: Rules) -> Report:
    from jobs.audit.topics import AuditImpossible, Auditor

    try:
        auditor = Auditor(deployment, rules)
        try:
            return auditor.run()
        finally:
            auditor.close()
    except AuditImpossible as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, "--no-audit leaves the accounts out") from None


def _silent(_: str) -> None:
    """A pipe wants no progress."""
