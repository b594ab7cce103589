"""`meridian schema`: whether schemas of readings can be deployed, and putting them into a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, CliError, info, print_json, success, warn
from jobs.cli.deployment import read_deployment
from jobs.pipeline.config import Deployment
from jobs.schemas.files import read_schema_file
from udfs.schema_compatibility import Compatibility, check_for_job, check_versions
from udfs.schema_finding import Finding
from udfs.schema_lookup import Unreachable
from udfs.writer_schema import UnusableSchema, WriterSchema

_config_option = click.option(
    "--config", "config_file", type=click.Path(dir_okay=False, path_type=Path),
    help="Deployment: its schemas when no FILES are given, its reader schema, its registry.",
)  # fmt: skip
_files_argument = click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group(
    epilog="""\b
Examples:
  meridian schema check reading-v1.avsc reading-v2.avsc reading-v3.avsc
  meridian schema check reading-v3.proto --config my.yaml --subject telemetry.raw-value
  meridian schema register reading-v3.avsc --config my.yaml --subject telemetry.raw-value
"""
)
def schema() -> None:
    """Check Avro and Protobuf schemas of readings, and register them."""


@schema.command(
    epilog="""\b
Examples:
  meridian schema check reading-v1.avsc reading-v2.avsc
  meridian schema check v1.proto v2.proto --level backward      only jobs are upgraded first, one version at a time
  meridian schema check --config my.yaml --json                 the schemas of a deployment, in their order
  meridian schema check v3.avsc --config my.yaml --subject telemetry.raw-value
                        after the versions of a subject, by the subject's own rule; the registry is asked as well

\b
A field may be added or taken away with a default, renamed with an alias, and its type may be widened (int to long to
double). Exit code 1 when something breaks.
"""
)
@_files_argument
@_config_option
@click.option("--subject", help="Put the versions that the registry has of this subject before FILES.")
@click.option(
    "--level", type=click.Choice([c.value for c in Compatibility]),
    help="backward: later versions read earlier ones; forward: the other way; full: both. Neighbours only, or all "
    "(_transitive). Default: the subject's, else full_transitive.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(
    files: tuple[Path, ...], config_file: Path | None, subject: str | None, level: str | None, as_json: bool
) -> None:
    """Check FILES, oldest first: can their versions run together, and does the job read them?"""
    if not files and config_file is None:
        raise CliError("give schema files, or a deployment with --config", EXIT_USAGE)
    deployment = None if config_file is None else read_deployment(config_file)
    base = Path() if config_file is None else config_file.parent
    versions = [(str(file), _read(file)) for file in files]
    refused: list[str] = []
    try:
        if subject is not None:
            known, level, refused = _of_subject(deployment, subject, versions, files, level)
            versions = known + versions
        elif not files and deployment is not None:
            versions = _of_deployment(deployment, base)
        reader = "" if deployment is None else deployment.rules(base).schemas.reader
        rule = Compatibility(level or Compatibility.FULL_TRANSITIVE)
        findings = check_versions(versions, rule)
        for name, version in versions:
            findings += check_for_job(name, version, reader)
    except UnusableSchema as error:
        raise CliError(str(error), EXIT_FAILED) from None
    _tell(findings, refused, [name for name, _ in versions], rule, as_json)


@schema.command(
    epilog="""\b
Examples:
  meridian schema register reading.avsc --config my.yaml --subject telemetry.raw-value

\b
Prints the id. The same schema again has the same id. Exit code 1 when the registry finds it incompatible.
"""
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_config_option
@click.option("--subject", required=True, help="Such as telemetry.raw-value: the topic's name and -value.")
def register(file: Path, config_file: Path | None, subject: str) -> None:
    """Register FILE (.avsc or .proto) with the registry of a deployment."""
    registry = _registry(None if config_file is None else read_deployment(config_file))
    from jobs.schemas.registry import Refused

    try:
        print(registry.register(subject, _read(file), _text(file)))
    except Refused as error:
        raise CliError(f"{file}: {error}", EXIT_FAILED) from None
    except Unreachable as error:
        raise CliError(str(error), EXIT_ENVIRONMENT) from None


def _of_subject(
    deployment: Deployment | None,
    subject: str,
    versions: list[tuple[str, WriterSchema]],
    files: tuple[Path, ...],
    level: str | None,
) -> tuple[list[tuple[str, WriterSchema]], str, list[str]]:
    """The registry's versions, its rule, and which of the files it would not let in."""
    registry = _registry(deployment)
    from jobs.schemas.registry import Refused

    try:
        known = [(f"{subject} version {v.number}", v.schema) for v in registry.versions(subject)]
        if level is None:
            level = registry.compatibility(subject).lower()
            info(f"{subject}: {len(known)} versions, {level}")
        new = zip(files, versions, strict=True) if known else ()
        refused = [name for file, (name, v) in new if not registry.is_compatible(subject, v.format, _text(file))]
    except Refused as error:
        raise CliError(str(error), EXIT_FAILED) from None
    except Unreachable as error:
        raise CliError(str(error), EXIT_ENVIRONMENT) from None
    return known, level, refused


def _registry(deployment: Deployment | None) -> Any:
    settings = None if deployment is None else deployment.schemas.settings()
    if settings is None:
        raise CliError("which registry? give a deployment that has schemas.registry with --config", EXIT_USAGE)
    from jobs.schemas.registry import Registry  # its client takes half a second to import

    return Registry(settings)


def _of_deployment(deployment: Deployment, base: Path) -> list[tuple[str, WriterSchema]]:
    known = zip(deployment.schemas.files, deployment.rules(base).schemas.known, strict=True)
    versions = [(str(entry.file) if i is None else f"id {i}", version) for entry, (i, version) in known]
    if not versions:
        raise CliError("schemas.files is empty", EXIT_USAGE)
    return versions


def _tell(findings: list[Finding], refused: list[str], names: list[str], level: Compatibility, as_json: bool) -> None:
    breaking = [finding for finding in findings if finding.breaks]
    if as_json:
        answer = {"compatible": not breaking and not refused, "findings": [f._asdict() for f in findings]}
        print_json(answer | ({"refused_by_registry": refused} if refused else {}))
    else:
        for finding in findings:
            line = f"{finding.versions}: {f'{finding.field}: ' if finding.field else ''}{finding.message}"
            (click.echo if finding.breaks else warn)(line)
        for name in refused:
            click.echo(f"{name}: the registry would refuse it")
        if not breaking and not refused:
            success(f"{', '.join(names)}: can be deployed ({level})")
    if breaking or refused:
        raise SystemExit(EXIT_FAILED)


def _read(path: Path) -> WriterSchema:
    try:
        return read_schema_file(path)
    except OSError as error:
        raise CliError(f"{path}: {error}", EXIT_USAGE) from None
    except UnusableSchema as error:
        raise CliError(str(error), EXIT_USAGE) from None


def _text(path: Path) -> str:
    """What a registry gets: the text that a person wrote."""
    if path.suffix not in (".avsc", ".proto"):
        raise CliError(f"{path}: a registry takes .avsc and .proto", EXIT_USAGE)
    return path.read_text()
