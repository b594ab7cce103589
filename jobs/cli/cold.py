"""`meridian cold`: what bridges' breakers have diverted, and sending it to the raw topic again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, CliError, print_json, success, warn
from jobs.cli.deployment import deployment_option, read_deployment

if TYPE_CHECKING:
    from jobs.cold.layout import ColdFile

_store = click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))


@click.group(
    epilog="""\b
Examples:
  meridian cold list /var/lib/meridian/cold
  meridian cold reingest /var/lib/meridian/cold --config my.yaml --dry-run
  meridian cold reingest /var/lib/meridian/cold --config my.yaml
""",
)
def cold() -> None:
    """See the cold store that breakers of bridges divert to, and send it again."""


@cold.command("list")
@_store
@click.option("--all", "with_done", is_flag=True, help="Also the files that Kafka has.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifests as JSON.")
def list_files(store: Path, with_done: bool, as_json: bool) -> None:
    """List the files that wait, the oldest first. What a bridge is writing is not among them."""
    import msgspec

    from jobs.cold.layout import cold_files

    files = cold_files(store, with_done)
    if as_json:
        print_json([{**msgspec.to_builtins(f.manifest), "done": msgspec.to_builtins(f.done)} for f in files])
        return
    table = Table(box=SIMPLE_HEAD, title=str(store))
    for name in ("diverted", "bridge", "causes", "records", "kB", "file"):
        table.add_column(name, justify="right" if name in ("records", "kB") else "left", overflow="fold")
    for file in files:
        table.add_row(*_row(file, store))
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(table)


@cold.command()
@_store
@deployment_option
@click.option("--send-refused", is_flag=True, help="Also what the job would refuse by now: it becomes dead letters.")
@click.option("--delete", is_flag=True, help="Delete files that Kafka has.")
@click.option("--dry-run", is_flag=True, help="Only say what would become of the records.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def reingest(store: Path, config_file: Path, send_refused: bool, delete: bool, dry_run: bool, as_json: bool) -> None:
    """Send the files of a cold store to the raw topic, byte by byte.

    A file is done once Kafka has acknowledged all of it. The command may be killed and run again at any time: nothing
    is lost, and the job aligns nothing twice. Files with readings that have become too old for their stream, or whose
    position the job still refuses, are left unless --send-refused. Exit code 1 when files are left.
    """
    from jobs.bridge.producer import ProducerFailed
    from jobs.broker.snapshot import UnreadableTopic
    from jobs.cold import reingest as way

    deployment = read_deployment(config_file)
    rules = deployment.rules(config_file.parent)
    try:
        if dry_run:
            outcome = way.make_plan(store, deployment, rules, send_refused).outcome
        else:
            outcome = way.reingest(store, deployment, rules, send_refused, delete)
    except (way.ReingestFailed, UnreadableTopic, ProducerFailed) as failed:
        raise CliError(str(failed), EXIT_ENVIRONMENT, "the same command goes on with the files that are left") from None
    fates = {fate.value: count for fate, count in outcome.fates.items()}
    if as_json:
        print_json({**vars(outcome), "fates": fates})
    for problem in outcome.problems:
        warn(problem)
    verb = "would send" if dry_run else f"sent {outcome.sent:,} records ({outcome.had_before:,} were in Kafka) of"
    success(f"{verb} {outcome.files:,} files; {', '.join(f'{n:,} {fate}' for fate, n in fates.items()) or 'nothing'}")
    if outcome.problems:
        raise SystemExit(EXIT_FAILED)


def _row(file: ColdFile, store: Path) -> list[str]:
    manifest = file.manifest
    diverted = datetime.fromtimestamp(manifest.first_diverted_at_ms / 1000, UTC)
    return [
        f"{diverted:%Y-%m-%d %H:%M:%S}Z",
        manifest.bridge,
        ", ".join(manifest.causes),
        f"{manifest.records:,}",
        f"{manifest.bytes / 1_000:,.0f}",
        str(file.data.relative_to(store)) + (" (done)" if file.done else ""),
    ]
