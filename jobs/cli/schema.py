"""`meridian schema`: whether Avro schemas of readings can be deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import orjson

from jobs.cli.console import EXIT_FAILED, EXIT_USAGE, CliError, print_json, success, warn
from jobs.cli.deployment import read_deployment
from udfs.schema_compatibility import Direction, Finding, UnusableSchema, check_for_job, check_versions


@click.group(
    epilog="""\b
Examples:
  meridian schema check reading-v1.avsc reading-v2.avsc reading-v3.avsc
  meridian schema check --config my.yaml
"""
)
def schema() -> None:
    """Check Avro schemas of readings."""


@schema.command(
    epilog="""\b
Examples:
  meridian schema check reading-v1.avsc reading-v2.avsc
  meridian schema check v1.avsc v2.avsc --direction backward    only jobs are upgraded first
  meridian schema check --config my.yaml --json                 the schemas of a deployment, in the order of their ids

\b
A field may be added or taken away with a default, renamed with an alias, and its type may be widened (int to long to
double). Exit code 1 when something breaks.
"""
)
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--config", "config_file", type=click.Path(dir_okay=False, path_type=Path), help="Take a deployment's schemas."
)
@click.option(
    "--direction", type=click.Choice([d.value for d in Direction]), default=Direction.FULL.value, show_default=True,
    help="backward: later versions read earlier ones; forward: the other way; full: both.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(files: tuple[Path, ...], config_file: Path | None, direction: str, as_json: bool) -> None:
    """Check FILES, oldest first: can their versions run together, and does the job read them?"""
    if bool(files) == (config_file is not None):
        raise CliError("give schema files, or a deployment with --config", EXIT_USAGE)
    versions = _of_deployment(config_file) if config_file is not None else [(str(f), _read(f)) for f in files]
    try:
        findings = check_versions(versions, Direction(direction))
        for name, version in versions:
            findings += check_for_job(name, version)
    except UnusableSchema as error:
        raise CliError(str(error), EXIT_FAILED) from None
    breaking = [finding for finding in findings if finding.breaks]
    if as_json:
        print_json({"compatible": not breaking, "findings": [finding._asdict() for finding in findings]})
    else:
        for finding in findings:
            _show(finding)
        if not breaking:
            success(f"{', '.join(name for name, _ in versions)}: can be deployed ({direction})")
    if breaking:
        raise SystemExit(EXIT_FAILED)


def _show(finding: Finding) -> None:
    line = f"{finding.versions}: {f'{finding.field}: ' if finding.field else ''}{finding.message}"
    if finding.breaks:
        click.echo(line)
    else:
        warn(line)


def _of_deployment(config_file: Path) -> list[tuple[str, Any]]:
    schemas = read_deployment(config_file).avro.schemas
    if not schemas:
        raise CliError(f"{config_file}: avro.schemas is empty", EXIT_USAGE)
    return [(f"id {s.id}", _read(config_file.parent / s.file)) for s in sorted(schemas, key=lambda s: s.id)]


def _read(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise CliError(f"{path}: {error}", EXIT_USAGE) from None
