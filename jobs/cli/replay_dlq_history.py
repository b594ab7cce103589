"""`meridian replay-dlq history`: one reading through all its replays, from the first refusal on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.audit.journey import Journey, add_outcomes, behind_kafka
from jobs.broker.topic_records import TopicRecord, topic_records
from jobs.cli.console import EXIT_FAILED, EXIT_USAGE, CliError, print_json
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.cli.replay_dlq_support import plain_errors
from jobs.pipeline.config import Deployment
from jobs.replay.history import chain
from jobs.replay.resend import read_letters, replays_since
from jobs.replay.selection import Places

_OUTCOMES = ("aligned", "accounting", "invalid_events")


@click.command(
    epilog="""\b
Examples:
  meridian replay-dlq history telemetry.raw/2/1234 --config my.yaml      any place at which it has been
  meridian replay-dlq history 2/1234 --config my.yaml --json

\b
Exit codes: 0 found; 1 neither letters nor the raw topic know of a replay there; 3 the topics cannot be read.
"""
)
@click.argument("place", metavar="[TOPIC/]PARTITION/OFFSET")
@deployment_option
@click.option("--json", "as_json", is_flag=True, help="Print the places as JSON.")
def history(place: str, config_file: Path, as_json: bool) -> None:
    """Follow one reading from its first refusal through every replay, with what became of it each time."""
    deployment = read_deployment(config_file)
    try:
        topic, partition, offset, _ = Places.parse(place)
    except ValueError as error:
        raise CliError(str(error), EXIT_USAGE) from None
    if offset is None:
        raise CliError(f"{place} names no offset", EXIT_USAGE)
    name = f"{topic or deployment.topics.raw.name}/{partition}/{offset}"
    with plain_errors():
        rows = _follow(deployment, name)
    if not rows:
        raise CliError(f"nothing is known of a replay of {name}", EXIT_FAILED, "`meridian trace` follows one record")
    if as_json:
        print_json(rows)
        return
    table = Table("place", "became", "what", box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        for outcome in row["outcomes"] or [{"stage": "not judged yet, or no longer known", "what": ""}]:
            table.add_row(row["place"], outcome["stage"], escape(outcome["what"]))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _follow(deployment: Deployment, name: str) -> list[dict[str, Any]]:
    letters = {letter.source.name: letter for letter in read_letters(deployment)}
    replays = {place: letter.replay_of for place, letter in letters.items() if letter.replay_of is not None}
    replays |= replays_since(deployment, None)
    places = chain(name, replays)
    if len(places) == 1 and name not in letters:
        return []
    journeys = []
    for place in places:
        topic, partition, offset = place.rsplit("/", 2)
        journeys.append(Journey(TopicRecord(topic, int(partition), int(offset), 0, b"", {})))
    for outcome in _OUTCOMES:
        add_outcomes(journeys, outcome, topic_records(deployment, getattr(deployment.topics, outcome).name))
    return [
        {
            "place": journey.raw.place,
            "replay_of": replays.get(journey.raw.place),
            "outcomes": [{"stage": stage.name, "what": stage.what} for stage in behind_kafka(journey)],
        }
        for journey in journeys
    ]
