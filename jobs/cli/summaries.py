"""`meridian summaries`: the SQL job that publishes hourly, sliding, session and daily summaries."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.broker.summary_topics import summary_topic_specs
from jobs.broker.topics import TopicState, create_topics
from jobs.cli.console import info, print_json, success
from jobs.cli.deployment import deployment_option, job_name, read_deployment
from jobs.cli.lifecycle import cancel_beside
from jobs.cli.preconditions import PACKAGES, find_point, refuse_older, refuse_running
from jobs.cli.project import PROJECT_ROOT
from jobs.cli.stack import load_endpoints
from jobs.cli.submit import flink_client, public_variables, run
from jobs.cli.topics import create_missing, tell_created
from jobs.cluster.client import shell_line
from jobs.cluster.package import build_package
from jobs.cluster.rest import FlinkRest
from jobs.cluster.restore_points import plain_path
from jobs.pipeline.config import Deployment


@click.group(
    epilog="""\b
Examples:
  meridian summaries submit --config flink-conf/deployments/demo.yaml
  meridian summaries submit --config demo.yaml --print-only      show the flink command and stop
  meridian summaries cancel --config demo.yaml --savepoint
  meridian summaries submit --config demo.yaml --from-savepoint .meridian/stack/savepoints/savepoint-1a2b3c-…
"""
)
def summaries() -> None:
    """Publish summaries of the aligned readings, by the SQL files of `sql/`."""


def summaries_job(deployment: Deployment) -> str:
    return f"{job_name(deployment)}-summaries"


@summaries.command()
@deployment_option
def topics(config_file: Path) -> None:
    """Create the missing topics of the summaries and of the reference data."""
    tell_created(_create(read_deployment(config_file)))


@summaries.command()
@deployment_option
@click.option("--from-savepoint", metavar="PATH", help="Start from this savepoint or retained checkpoint.")
@click.option("--repeat", is_flag=True, help="Publish again what the topics hold since that savepoint.")
@click.option("--print-only", is_flag=True, help="Print the command, but do not run it.")
@click.option("--json", "as_json", is_flag=True, help="Print job id and command as JSON.")
def submit(config_file: Path, from_savepoint: str | None, repeat: bool, print_only: bool, as_json: bool) -> None:
    """Submit all inserts of `sql/` as one job; without a savepoint it summarises the aligned topic from its start.

    Summaries are upserts: summarising again writes the same rows over the old ones, and late readings once more. A
    savepoint is of the same SQL files: Flink refuses one whose state the changed files have no place for.
    """
    deployment = read_deployment(config_file)
    endpoints = load_endpoints()
    client, rest = flink_client(endpoints), FlinkRest(endpoints.rest_url)
    package = build_package(PROJECT_ROOT, config_file, deployment, PACKAGES)
    path = plain_path(from_savepoint) if from_savepoint else None
    command = [
        str(client.home / "bin" / "flink"), "run", "--detached",
        *(["-s", path] if path else []),
        "--parallelism", str(deployment.parallelism),
        "--python", str(PROJECT_ROOT / "jobs" / "summarise_sql.py"),
        "--pyFiles", str(package.code),
        "--config", str(package.deployment_file),
        "--sql", str(PROJECT_ROOT / "sql"),
    ]  # fmt: skip
    if not as_json:
        info(f"+ {shell_line(command, client.needs(public_variables(config_file)))}")
    job_id = None
    if not print_only:
        name = summaries_job(deployment)
        refuse_running(rest, name, "end it with `meridian summaries cancel`")
        if path and not repeat:
            refuse_older(rest, endpoints, name, find_point(path))
        _create(deployment)
        job_id = run(client, command)
        if not as_json:
            success(f"submitted {name} as job {job_id}; web interface: {endpoints.rest_url}")
    if as_json:
        print_json({"job_id": job_id, "command": command})


@summaries.command()
@deployment_option
@click.option("--savepoint", "with_savepoint", is_flag=True, help="Stop with a savepoint, to be started again from it.")
def cancel(config_file: Path, with_savepoint: bool) -> None:
    """End the running summaries job; what it has published stays."""
    cancel_beside(summaries_job(read_deployment(config_file)), with_savepoint)


def _create(deployment: Deployment) -> list[TopicState]:
    return create_missing(lambda: create_topics(deployment, specs=summary_topic_specs(deployment)))
