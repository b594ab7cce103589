"""`meridian outputs`: versions of what the job publishes, and which of them is the current one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from jobs.audit.report import Report
from jobs.audit.topics import AuditImpossible, Auditor
from jobs.broker.markers import UndeliveredRecords
from jobs.broker.snapshot import UnreadableTopic, spans_now
from jobs.broker.topics import TopicProblem, delete_topics
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, CliError, info, print_json, success
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.cli.preconditions import ask
from jobs.cli.stack import load_endpoints
from jobs.cluster.rest import FlinkRest
from jobs.pipeline.config import Deployment
from jobs.reprocess.deployment import OUTPUT_ROLES, with_topics
from jobs.reprocess.outputs import Outputs, Version, current_outputs, forget, point_to, read_outputs

_HINT = "is the stack up, and do the topics exist?"


@click.group(
    epilog="""\b
Examples:
  meridian outputs list --config my.yaml
  meridian outputs switch 2 --config my.yaml        audits version 2 first, and refuses what does not close
  meridian outputs switch 1 --config my.yaml        back
  meridian outputs drop 2 --config my.yaml --yes
"""
)
def outputs() -> None:
    """See, switch and drop the versions that `meridian reprocess` makes."""


def read_current(config_file: Path) -> Deployment:
    """A deployment with the topics of its current version: what a command that reads results wants."""
    try:
        return current_outputs(read_deployment(config_file))
    except UnreadableTopic as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, "start the stack with `meridian up`") from None


@outputs.command("list")
@deployment_option
@click.option("--json", "as_json", is_flag=True, help="Print the versions as JSON.")
def list_(config_file: Path, as_json: bool) -> None:
    """Show all versions, and which is the current one."""
    known = _read(read_deployment(config_file))
    if as_json:
        versions = {n: {"topics": v.topics, "start": v.start, "stop": v.stop} for n, v in known.versions.items()}
        print_json({"current": known.current.version, "versions": versions})
        return
    table = Table("version", "current", "windows topic", "raw records", "made")
    for number, version in sorted(known.versions.items()):
        made = datetime.fromtimestamp(version.created_at_ms / 1000, UTC).isoformat(timespec="seconds")
        reads = "all that comes" if version.stop is None else f"up to {version.stop}"
        is_current = "yes" if number == known.current.version else ""
        table.add_row(str(number), is_current, version.topics["windows"], reads, made if version.created_at_ms else "")
    Console().print(table)


@outputs.command()
@click.argument("number", type=int, metavar="VERSION")
@deployment_option
@click.option("--behind", is_flag=True, help="Accept a version that ends before the raw topic does.")
@click.option("--wait", "wait_s", type=click.FloatRange(0), default=0.0, help="Seconds to let its job catch up.")
@click.option("--json", "as_json", is_flag=True, help="Print pointer and audit as JSON.")
def switch(number: int, config_file: Path, behind: bool, wait_s: float, as_json: bool) -> None:
    """Make VERSION the current one, in one record, if its audit closes."""
    deployment = read_deployment(config_file)
    known = _read(deployment)
    version = _find(known, number)
    held = _held(deployment)
    if (missing := version.behind(held)) and not behind:
        raise CliError(
            f"version {number} ends {missing:,} raw records before the raw topic does: consumers would lack them",
            EXIT_FAILED,
            "make one with `meridian reprocess --follow`, or insist with --behind",
        )
    report = _audit(with_topics(deployment, version.topics), config_file, version, held, wait_s)
    open_readings = 0 if version.stop is None else report.open
    if not report.ok or open_readings:
        for line in report.problems:
            info(f"  {line}")
        raise CliError(
            f"version {number} does not close: {report.lost:,} lost, {report.doubled:,} doubled, "
            f"{report.wrong_class:,} in a wrong class, {open_readings:,} in open windows; nothing is switched",
            EXIT_FAILED,
        )
    try:
        pointer = point_to(deployment, version, known.current.version)
    except (UndeliveredRecords, TopicProblem) as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, _HINT) from None
    if as_json:
        topics = {"version": pointer.version, "previous": pointer.previous, "topics": pointer.topics}
        print_json({**topics, "audit": report.to_dict()})
    success(f"version {number} is the current one ({report.aligned:,} readings; 0 lost, 0 doubled)")


@outputs.command()
@click.argument("number", type=int, metavar="VERSION")
@deployment_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(number: int, config_file: Path, yes: bool) -> None:
    """Delete VERSION's topics with all their records."""
    deployment = read_deployment(config_file)
    known = _read(deployment)
    version = _find(known, number)
    if number == known.current.version:
        raise CliError(f"version {number} is the current one", EXIT_USAGE, "switch to another one first")
    if number == 1:
        raise CliError("version 1 is the deployment's own", EXIT_USAGE, "`meridian topics delete` deletes its topics")
    rest = FlinkRest(load_endpoints().rest_url)
    if (job := ask(lambda: rest.running(f"meridian-{version.job}"))) is not None:
        raise CliError(f"{job.name} still writes version {number}", EXIT_USAGE, "end it with `meridian cancel`")
    if not yes:
        click.confirm(f"Delete the topics of version {number} with all their records?", abort=True)
    try:
        deleted = delete_outputs(with_topics(deployment, version.topics))
        forget(deployment, number)
    except (TopicProblem, UndeliveredRecords) as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, _HINT) from None
    success(f"deleted {', '.join(deleted) or 'nothing'}")


def delete_outputs(deployment: Deployment) -> list[str]:
    """Delete the output topics of a deployment, and never its raw topic. Returns their names."""
    return delete_topics(deployment, roles=OUTPUT_ROLES)


def _audit(
    deployment: Deployment, config_file: Path, version: Version, held: dict[int, tuple[int, int]], wait_s: float
) -> Report:
    try:
        span = version.span(held)
        auditor = Auditor(deployment, deployment.rules(config_file.parent), span=span)
        try:
            return auditor.run(wait_s=wait_s)
        finally:
            auditor.close()
    except AuditImpossible as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, _HINT) from None


def _read(deployment: Deployment) -> Outputs:
    try:
        return read_outputs(deployment)
    except UnreadableTopic as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, _HINT) from None


def _held(deployment: Deployment) -> dict[int, tuple[int, int]]:
    try:
        return spans_now(deployment, deployment.topics.raw.name)
    except UnreadableTopic as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, _HINT) from None


def _find(known: Outputs, number: int) -> Version:
    version = known.versions.get(number)
    if version is None:
        there = ", ".join(map(str, sorted(known.versions)))
        raise CliError(f"there is no version {number}, only {there}", EXIT_USAGE)
    return version
