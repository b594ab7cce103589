"""`meridian replay-dlq`: what was refused or late, and putting it right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from jobs.cli.console import print_json
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.cli.lazy import LazyGroup
from jobs.cli.replay_dlq_support import plain_errors
from jobs.replay.dead_letters import sent_again
from jobs.replay.resend import read_letters

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "list": ("jobs.cli.replay_dlq:list_letters", "Count the refused readings by reason."),
    "send": ("jobs.cli.replay_dlq_send:send", "Send refused readings again, edited where wanted."),
    "history": ("jobs.cli.replay_dlq_history:history", "Follow one reading through all its replays."),
    "late": ("jobs.cli.replay_dlq_late:late", "Recompute the windows that late readings missed."),
}


@click.group(
    "replay-dlq",
    cls=LazyGroup,
    table=COMMANDS,
    epilog="""\b
Examples:
  meridian replay-dlq list --config my.yaml
  meridian replay-dlq send --config my.yaml --reason unknown_unit --edit mend.yaml --dry-run
  meridian replay-dlq send --config my.yaml --reason unknown_unit --edit mend.yaml
  meridian replay-dlq history telemetry.raw/2/1234 --config my.yaml
  meridian replay-dlq late --config my.yaml --dry-run

\b
docs/dead-letters.md has a worked example.
""",
)
def replay_dlq() -> None:
    """Put right what was refused or late: edit, try, send again, recompute."""


@dataclass
class _Counts:
    """Letters of one reason."""

    letters: int = 0
    replayable: int = 0
    sent_again: int = 0


@click.command("list")
@deployment_option
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def list_letters(config_file: Path, as_json: bool) -> None:
    """Count the dead letters by reason, how many can be sent again, and how many were and came back."""
    deployment = read_deployment(config_file)
    with plain_errors():
        letters = list(read_letters(deployment))
    again = sent_again(letters)
    counts: dict[str, _Counts] = {}
    for letter in letters:
        count = counts.setdefault(letter.reason, _Counts())
        count.letters += 1
        count.replayable += letter.replayable
        count.sent_again += letter.source.name in again
    by_size = Counter({reason: count.letters for reason, count in counts.items()})
    rows = {reason: vars(counts[reason]) for reason, _ in by_size.most_common()}
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
