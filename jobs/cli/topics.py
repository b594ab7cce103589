"""`meridian topics`: create, mend, delete and list the topics of a deployment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from jobs.broker.topics import (
    NotAllowed,
    TopicProblem,
    TopicState,
    create_topics,
    delete_topics,
    describe_topics,
    mend_topics,
)
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, CliError, print_json, success, warn
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.pipeline.durations import format_duration
from jobs.pipeline.kafka_security import LOGIN_VARIABLE


@click.group(
    epilog="""\b
Examples:
  meridian topics create --config flink-conf/deployments/demo.yaml
  meridian topics list --config flink-conf/deployments/demo.yaml --json
  meridian topics mend --config flink-conf/deployments/demo.yaml
  meridian topics delete --config flink-conf/deployments/demo.yaml --yes
"""
)
def topics() -> None:
    """Create, mend and inspect the topics of a deployment."""


@contextmanager
def broker() -> Iterator[None]:
    """What the broker refuses in the block becomes one line with what to do about it."""
    try:
        yield
    except NotAllowed as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT, f"{LOGIN_VARIABLE} names the login (docs/security.md)") from None
    except TopicProblem as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT, "start the stack with `meridian up`") from None


def create_missing(create: Callable[[], list[TopicState]]) -> list[TopicState]:
    """Create topics; those that exist and differ are named."""
    with broker():
        states = create()
    for state in states:
        for difference in state.differences:
            warn(f"{state.spec.name}: {difference}")
    return states


def tell_created(states: Iterable[TopicState]) -> None:
    created = [state.spec.name for state in states if state.created]
    success(f"created {', '.join(created)}" if created else "all topics exist")


@topics.command()
@deployment_option
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.option("--strict", is_flag=True, help="Exit 1 when an existing topic differs from the deployment.")
def create(config_file: Path, as_json: bool, strict: bool) -> None:
    """Create the missing topics; existing ones are compared, never changed."""
    deployment = read_deployment(config_file)
    states = create_missing(lambda: create_topics(deployment))
    if as_json:
        print_json(
            [
                {"topic": s.spec.name, "created": s.created, "differences": [str(d) for d in s.differences]}
                for s in states
            ]
        )
    tell_created(states)
    if strict and any(s.differences for s in states):
        raise SystemExit(EXIT_FAILED)


@topics.command()
@deployment_option
def mend(config_file: Path) -> None:
    """Set the topics' configurations to what the deployment says; records, partitions and replication stay.

    Records that are in the raw topic already keep the time stamps they came with.
    """
    with broker():
        mended = mend_topics(read_deployment(config_file))
    for topic, difference in mended:
        success(f"{topic}: {difference.setting} {difference.value or '(not set)'} -> {difference.wanted}")
    if not mended:
        success("nothing to mend")


@topics.command()
@deployment_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(config_file: Path, yes: bool) -> None:
    """Delete the topics with all their records."""
    deployment = read_deployment(config_file)
    if not yes:
        click.confirm(f"Delete the topics of {deployment.name!r} with all their records?", abort=True)
    with broker():
        deleted = delete_topics(deployment)
    success(f"deleted {', '.join(deleted)}" if deleted else "no topic exists")


@topics.command("list")
@deployment_option
@click.option("--json", "as_json", is_flag=True, help="Print the topics as JSON.")
def list_(config_file: Path, as_json: bool) -> None:
    """Show the wanted topics, and how existing ones differ."""
    deployment = read_deployment(config_file)
    with broker():
        rows = describe_topics(deployment)
    if as_json:
        print_json(
            [
                {
                    "role": spec.role,
                    "topic": spec.name,
                    "exists": partitions is not None,
                    "partitions": spec.partitions if partitions is None else partitions,
                    "configs": spec.configs,
                    "differences": [str(d) for d in differences],
                }
                for spec, partitions, differences in rows
            ]
        )
        return
    table = Table("role", "topic", "partitions", "retention", "state")
    for spec, partitions, differences in rows:
        state = "missing" if partitions is None else "; ".join(map(str, differences)) or "as wanted"
        retention = format_duration(int(spec.configs["retention.ms"]))
        table.add_row(spec.role, spec.name, str(partitions or spec.partitions), retention, state)
    Console().print(table)
