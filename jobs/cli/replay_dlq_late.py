"""`meridian replay-dlq late`: windows that late readings missed, recomputed and published with the next revision."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.cli.console import EXIT_FAILED, EXIT_USAGE, CliError, print_json, success, warn
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.cli.replay_dlq_support import plain_errors
from jobs.cli.times import UtcTime
from jobs.replay.late import Choice
from jobs.replay.late_topics import recompute_late


@click.command(
    epilog="""\b
Examples:
  meridian replay-dlq late --config my.yaml --dry-run
  meridian replay-dlq late --config my.yaml
  meridian replay-dlq late --config my.yaml --definition weather/5min --from 2026-03-28 --to 2026-03-29

\b
The job may run meanwhile: a window is recomputed only when the job has called a reading late for it, and so has closed
it for good. Late readings stay `late` in the accounting. Exit codes: 0 done; 1 some windows cannot be recomputed, for
the aligned topic no longer holds all of their readings; 3 the topics cannot be read.
"""
)
@deployment_option
@click.option("--definition", metavar="STREAM/WINDOW", help="Only windows of this definition.")
@click.option("--from", "from_ms", type=UtcTime(), help="Only windows that start then or later.")
@click.option("--to", "to_ms", type=UtcTime(), help="… and before.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(0), default=120.0, show_default=True,
    help="Seconds to wait for the job's next checkpoint.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Publish nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def late(
    config_file: Path,
    definition: str | None,
    from_ms: int | None,
    to_ms: int | None,
    wait_s: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Recompute the windows that late readings missed from the aligned topic."""
    deployment = read_deployment(config_file)
    rules = deployment.rules(config_file.parent)
    known = [f"{stream.name}/{window.name}" for stream in rules.streams for window in stream.windows]
    if definition is not None and definition not in known:
        raise CliError(f"there is no {definition}", EXIT_USAGE, f"there are {', '.join(known)}")
    with plain_errors():
        plan = recompute_late(deployment, rules, Choice(definition, from_ms, to_ms), wait_s, dry_run=dry_run)
    if as_json:
        print_json(plan.to_dict())
    if plan.incomplete or plan.not_aligned:
        warn(
            f"{plan.incomplete:,} windows and {plan.not_aligned:,} late readings: "
            f"{deployment.topics.aligned.name} no longer holds what they need"
        )
    if plan.not_closed:
        warn(f"{plan.not_closed:,} windows are not closed yet; the job publishes them itself")
    verb = "would publish" if dry_run else "published"
    what = f"{len(plan.records):,} windows, with {plan.late_readings:,} late readings in them"
    success(f"{verb} {what}; {plan.up_to_date:,} hold theirs already")
    if plan.incomplete or plan.not_aligned:
        raise SystemExit(EXIT_FAILED)
