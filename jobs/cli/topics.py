"""`meridian topics`: create, delete and list the topics of a deployment."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from jobs.broker.topics import TopicProblem, create_topics, delete_topics, describe_topics
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, CliError, print_json, success, warn
from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import InvalidDeployment, load_deployment
from jobs.pipeline.durations import format_duration

__all__ = ["create_topics", "delete_topics", "deployment_option", "read_deployment", "topics"]

deployment_option = click.option(
    "--config", "config_file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Deployment file."
)


def read_deployment(path: Path) -> Deployment:
    try:
        return load_deployment(path)
    except InvalidDeployment as error:
        raise CliError(str(error), EXIT_USAGE) from None


@click.group(
    epilog="""\b
Examples:
  meridian topics create --config flink-conf/deployments/demo.yaml
  meridian topics list --config flink-conf/deployments/demo.yaml --json
  meridian topics delete --config flink-conf/deployments/demo.yaml --yes
"""
)
def topics() -> None:
    """Create and inspect the topics of a deployment."""


@topics.command()
@deployment_option
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.option("--strict", is_flag=True, help="Exit 1 when an existing topic differs from the deployment.")
def create(config_file: Path, as_json: bool, strict: bool) -> None:
    """Create the missing topics; existing ones are compared, never changed."""
    deployment = read_deployment(config_file)
    try:
        states = create_topics(deployment)
    except TopicProblem as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT, "start the stack with `meridian up`") from None
    if as_json:
        print_json([{"topic": s.spec.name, "created": s.created, "differences": list(s.differences)} for s in states])
    for state in states:
        for line in state.differences:
            warn(f"{state.spec.name}: {line}")
    created = [s.spec.name for s in states if s.created]
    success(f"created {', '.join(created)}" if created else "all topics exist")
    if strict and any(s.differences for s in states):
        raise SystemExit(EXIT_FAILED)


@topics.command()
@deployment_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(config_file: Path, yes: bool) -> None:
    """Delete the topics with all their records."""
    deployment = read_deployment(config_file)
    if not yes:
        click.confirm(f"Delete the topics of {deployment.name!r} with all their records?", abort=True)
    try:
        deleted = delete_topics(deployment)
    except TopicProblem as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT, "start the stack with `meridian up`") from None
    success(f"deleted {', '.join(deleted)}" if deleted else "no topic exists")


@topics.command("list")
@deployment_option
@click.option("--json", "as_json", is_flag=True, help="Print the topics as JSON.")
def list_(config_file: Path, as_json: bool) -> None:
    """Show the wanted topics, and how existing ones differ."""
    deployment = read_deployment(config_file)
    try:
        rows = describe_topics(deployment)
    except TopicProblem as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT, "start the stack with `meridian up`") from None
    if as_json:
        print_json(
            [
                {
                    "role": spec.role,
                    "topic": spec.name,
                    "exists": partitions is not None,
                    "partitions": spec.partitions if partitions is None else partitions,
                    "configs": spec.configs,
                    "differences": list(differences),
                }
                for spec, partitions, differences in rows
            ]
        )
        return
    table = Table("role", "topic", "partitions", "retention", "state")
    for spec, partitions, differences in rows:
        state = "missing" if partitions is None else "; ".join(differences) or "as wanted"
        retention = format_duration(int(spec.configs["retention.ms"]))
        table.add_row(spec.role, spec.name, str(partitions or spec.partitions), retention, state)
    Console().print(table)
