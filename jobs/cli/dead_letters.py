"""`meridian dead-letters`: what was refused and why, and sending it again once the cause is mended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import click
from confluent_kafka import KafkaException
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from jobs.broker.markers import UndeliveredRecords
from jobs.broker.snapshot import UnreadableTopic
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, CliError, info, print_json, success, warn
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.pipeline.config import Deployment
from jobs.replay.dead_letters import Letter, NotReplayable, raw_record, sent_again
from jobs.replay.resend import RawTopic, read_letters, replays_since
from udfs.reasons import Reason

_SHOWN_PROBLEMS = 5
_HINT = "is the stack up, and do the topics exist?"


@click.group(
    "dead-letters",
    epilog="""\b
Examples:
  meridian dead-letters list --config my.yaml
  meridian dead-letters send --config my.yaml --reason unknown_metric --dry-run
  meridian dead-letters send --config my.yaml --reason unknown_metric
""",
)
def dead_letters() -> None:
    """Look at the dead letters of invalid readings, and send them again."""


@dataclass
class _Counts:
    """Letters of one reason."""

    letters: int = 0
    replayable: int = 0
    sent_again: int = 0


@dead_letters.command("list")
@deployment_option
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def list_letters(config_file: Path, as_json: bool) -> None:
    """Count the dead letters by reason, and how many of them can be sent again."""
    deployment = read_deployment(config_file)
    letters = _letters(deployment)
    again = sent_again(letters)
    counts: dict[str, _Counts] = {}
    for letter in letters:
        count = counts.setdefault(letter.reason, _Counts())
        count.letters += 1
        count.replayable += letter.replayable
        count.sent_again += letter.source.name in again
    rows = {reason: vars(counts[reason]) for reason in sorted(counts, key=lambda r: -counts[r].letters)}
    if as_json:
        print_json(rows)
        return
    table = Table(box=SIMPLE_HEAD, title=deployment.topics.invalid_events.name)
    table.add_column("reason", no_wrap=True)
    for name in ("letters", "can be sent again", "refused again"):
        table.add_column(name, justify="right")
    for reason, row in rows.items():
        table.add_row(reason, *(f"{number:,}" for number in row.values()))
    Console().print(table)


@dead_letters.command()
@deployment_option
@click.option(
    "--reason", "reasons", multiple=True, type=click.Choice([r.value for r in Reason]), help="Only this; repeatable."
)
@click.option("--limit", type=click.IntRange(1), help="Stop after so many.")
@click.option("--dry-run", is_flag=True, help="Send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def send(config_file: Path, reasons: tuple[str, ...], limit: int | None, dry_run: bool, as_json: bool) -> None:
    """Send refused records to the raw topic again, byte by byte, with the header `replay_of`.

    What was sent again before is left out: the raw topic says so, from the oldest chosen letter on. A record refused
    again has a letter of its own, which stands for it from then on.
    """
    deployment = read_deployment(config_file)
    outcome = _Outcome()
    try:
        _send(deployment, _chosen(deployment, reasons, outcome), limit, dry_run, outcome)
    except (UndeliveredRecords, UnreadableTopic, KafkaException) as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, _HINT) from None
    if as_json:
        print_json({"sent": outcome.sent, "sent_before": outcome.sent_before, "refused": dict(outcome.refused)})
    for problem in outcome.problems:
        warn(problem)
    verb = "would send" if dry_run else "sent"
    success(f"{verb} {outcome.sent:,}; {outcome.sent_before:,} sent before, {outcome.refused.total():,} cannot be sent")
    if outcome.problems:
        raise SystemExit(EXIT_FAILED)


@dataclass
class _Outcome:
    sent: int = 0
    sent_before: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # letters that say themselves that it cannot help
    problems: list[str] = field(default_factory=list)


def _letters(deployment: Deployment) -> list[Letter]:
    try:
        return list(read_letters(deployment))
    except (UndeliveredRecords, UnreadableTopic) as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, _HINT) from None


def _chosen(deployment: Deployment, reasons: tuple[str, ...], outcome: _Outcome) -> list[Letter]:
    letters = [letter for letter in _letters(deployment) if not reasons or letter.reason in reasons]
    chosen = [letter for letter in letters if letter.replayable]
    outcome.refused.update(letter.reason for letter in letters if not letter.replayable)
    if not chosen:
        return []
    info(f"{len(chosen):,} letters; looking for what was sent again before")
    before = replays_since(deployment, min(letter.append_time_ms for letter in chosen))
    fresh = [letter for letter in chosen if letter.source.name not in before]
    outcome.sent_before = len(chosen) - len(fresh)
    return fresh


def _send(deployment: Deployment, letters: list[Letter], limit: int | None, dry_run: bool, outcome: _Outcome) -> None:
    topic = RawTopic(deployment)
    try:
        for letter in letters:
            if outcome.sent == limit:
                break
            try:
                record = raw_record(letter, topic.fetch)
            except NotReplayable as error:
                if len(outcome.problems) < _SHOWN_PROBLEMS:
                    outcome.problems.append(str(error))
                outcome.refused[letter.reason] += 1
                continue
            if not dry_run:
                topic.send(record)
            outcome.sent += 1
    finally:
        topic.close()
