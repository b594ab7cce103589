"""`meridian replay-dlq send`: refused readings once more, edited where wanted, each at most once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from jobs.cli.console import EXIT_FAILED, EXIT_USAGE, CliError, info, print_json, success, warn
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.cli.replay_dlq_support import plain_errors
from jobs.cli.times import UtcTime
from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import InvalidDeployment
from jobs.replay.dead_letters import sent_again
from jobs.replay.edits import Edits, load_edits
from jobs.replay.forecast import Forecast
from jobs.replay.pace import Pace
from jobs.replay.rerun import Replay, Rerun, Tally
from jobs.replay.resend import JobLag, RawTopic, Resender, read_letters, sent_before
from jobs.replay.selection import Places, Selection, Span
from jobs.schemas.cache import open_source
from udfs.decode import Decoder
from udfs.reasons import Reason, Stage
from udfs.rules import Rules

_BATCH = 250  # records in a transaction, which holds up readers of the raw topic for as long as it takes
_RATE = 500.0
_MOST_BEHIND = 20_000
_SHOWN_BYTES = 400


class PlaceType(click.ParamType):
    """Offsets of the raw topic."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Places:
        try:
            return Places.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    epilog="""\b
Examples:
  meridian replay-dlq send --config my.yaml --reason schema_unreachable
  meridian replay-dlq send --config my.yaml --reason unknown_unit --sensor 'buoy-*' --edit mend.yaml --dry-run
  meridian replay-dlq send --config my.yaml --stage normalise_time --from 2026-03-01 --to 2026-03-02 --edit zone.yaml
  meridian replay-dlq send --config my.yaml --at 2/1000-1999 --accepted-only

\b
What was sent again before is left out, and a run that was killed goes on when it is started again. A record that is
refused again has a letter of its own, which stands for it from then on. Exit codes: 0 done; 1 some letters cannot be
sent again; 2 wrong usage or edits; 3 the broker is away, or the job does not keep up.
"""
)
@deployment_option
@click.option("--reason", "reasons", multiple=True, type=click.Choice([r.value for r in Reason]), help="Repeatable.")
@click.option("--stage", "stages", multiple=True, type=click.Choice([s.value for s in Stage]), help="Repeatable.")
@click.option("--sensor", "sensors", multiple=True, help="Sensor id, or a pattern such as 'buoy-*'; repeatable.")
@click.option("--metric", "metrics", multiple=True, help="Metric, or a pattern; repeatable.")
@click.option("--from", "from_ms", type=UtcTime(), help="Refused records that Kafka got then or later.")
@click.option("--to", "to_ms", type=UtcTime(), help="… and before.")
@click.option("--event-from", "event_from_ms", type=UtcTime(), help="With an event time then or later.")
@click.option("--event-to", "event_to_ms", type=UtcTime(), help="… and before.")
@click.option("--at", "places", multiple=True, type=PlaceType(), help="PARTITION[/OFFSET[-LAST]] of the raw topic.")
@click.option(
    "--edit", "edit_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Rules of what to mend."
)
@click.option("--accepted-only", is_flag=True, help="Hold back what the job would refuse again.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many.")
@click.option("--rate", type=click.FloatRange(0), default=_RATE, show_default=True, help="Records per second; 0: any.")
@click.option(
    "--most-behind", type=click.IntRange(0), default=_MOST_BEHIND, show_default=True,
    help="Wait while the job is more raw records behind; 0: never.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Send nothing; show what the job would make of each.")
@click.option("--show", default=5, show_default=True, type=click.IntRange(0), help="Examples shown by a dry run.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def send(
    config_file: Path,
    reasons: tuple[str, ...],
    stages: tuple[str, ...],
    sensors: tuple[str, ...],
    metrics: tuple[str, ...],
    from_ms: int | None,
    to_ms: int | None,
    event_from_ms: int | None,
    event_to_ms: int | None,
    places: tuple[Places, ...],
    edit_file: Path | None,
    accepted_only: bool,
    limit: int | None,
    rate: float,
    most_behind: int,
    dry_run: bool,
    show: int,
    as_json: bool,
) -> None:
    """Send refused records to the raw topic again, with the header `replay_of`; unedited ones byte by byte."""
    deployment = read_deployment(config_file)
    try:
        edits = None if edit_file is None else load_edits(edit_file)
    except InvalidDeployment as error:
        raise CliError(str(error), EXIT_USAGE) from None
    spans = Span(from_ms, to_ms), Span(event_from_ms, event_to_ms)
    selection = Selection(reasons, stages, sensors, metrics, *spans, places)
    tally = Tally()
    examples: list[Replay] = []
    with plain_errors():
        raw = RawTopic(deployment)
        try:
            rerun = _rerun(deployment, deployment.rules(config_file.parent), selection, edits, raw, accepted_only)
            if dry_run:
                found = _prepared(deployment, rerun, tally)
                for number, replay in enumerate(islice(found, limit)):
                    if number < show:
                        examples.append(replay)
            else:
                _send(deployment, rerun, tally, limit, rate, most_behind)
        finally:
            raw.close()
    shown = [_example(replay) for replay in examples]
    if as_json:
        print_json({**tally.to_dict(), **({"examples": shown} if dry_run else {})})
    else:
        _show(tally, shown)
    for problem in tally.problems:
        warn(problem)
    verb = "would send" if dry_run else "sent"
    edited = f" ({tally.edited:,} edited)" if edits else ""
    rest = f"{tally.sent_before:,} sent before, {tally.refused.total():,} cannot be sent, {tally.held_back:,} held back"
    success(f"{verb} {tally.sent:,}{edited}; {rest}")
    if tally.problems:
        raise SystemExit(EXIT_FAILED)


def _rerun(
    deployment: Deployment,
    rules: Rules,
    selection: Selection,
    edits: Edits | None,
    raw: RawTopic,
    accepted_only: bool,
) -> Rerun:
    registry = deployment.schemas.settings()
    source = open_source(registry) if registry else None
    return Rerun(
        selection,
        edits,
        Decoder(rules.limits, rules.schemas, source),
        Forecast(rules, deployment.topics.raw.name, source),
        raw.fetch,
        lambda: time.time_ns() // 1_000_000,
        accepted_only,
    )


def _prepared(deployment: Deployment, rerun: Rerun, tally: Tally) -> Iterable[Replay]:
    letters = list(read_letters(deployment))
    chosen = rerun.choose(letters, tally)
    if not chosen:
        return ()
    info(f"{len(chosen):,} letters; looking for what was sent again before")
    return rerun.prepare(chosen, sent_before(deployment, chosen) | sent_again(letters), tally)


def _send(deployment: Deployment, rerun: Rerun, tally: Tally, limit: int | None, rate: float, most_behind: int) -> None:
    resender = Resender(deployment)
    pace = Pace(rate, most_behind, JobLag(deployment).behind)
    found = iter(islice(_prepared(deployment, rerun, tally), limit))
    size = min(_BATCH, max(1, int(rate / 4))) if rate else _BATCH
    while batch := [(replay.letter, replay.after) for replay in islice(found, size)]:
        pace.wait(len(batch))
        resender.send(batch)
        if sys.stderr.isatty():
            info(f"{tally.sent:,} sent")


def _show(tally: Tally, examples: list[dict[str, str]]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 140)
    table = Table("refused as", "the job would make of it", box=SIMPLE_HEAD, title="letters by reason")
    table.add_column("letters", justify="right")
    for (reason, fate), count in tally.fates.most_common():
        table.add_row(reason, fate, f"{count:,}")
    console.print(table)
    for example in examples:
        for name, text in example.items():
            console.print(f"{name:>7}  {text}", markup=False, highlight=False, soft_wrap=True)
        console.print()


def _example(replay: Replay) -> dict[str, str]:
    def text(value: bytes | None, headers: dict[str, bytes | None]) -> str:
        shown = (value or b"")[:_SHOWN_BYTES].decode(errors="replace")
        differing = {n: (v or b"").decode(errors="replace") for n, v in headers.items()}
        return f"{shown}{f'  headers {differing}' if differing else ''}"

    before, after = dict(replay.before.headers), dict(replay.after.headers)
    unlike = [name for name in before | after if before.get(name) != after.get(name)]
    letter = replay.letter
    found = {
        "letter": f"{letter.source.name}, {letter.reason}",
        "before": text(replay.before.value, {n: before[n] for n in unlike if n in before}),
    }
    if replay.is_edited:
        found["after"] = text(replay.after.value, {n: after[n] for n in unlike if n in after})
    fate = replay.fate
    return {**found, "becomes": f"{fate.reason}{f': {fate.message}' if fate.message else ''}"}
