"""`meridian submit`: validate a deployment, pack the code, and run the very `flink run` command that it prints."""

from __future__ import annotations

import os
from pathlib import Path

import click

from jobs.cli.console import EXIT_FAILED, EXIT_USAGE, CliError, info, print_json, success, warn
from jobs.cli.deployment import deployment_option, job_name, read_deployment
from jobs.cli.preconditions import (
    HISTORY,
    PACKAGES,
    find_point,
    refuse_doubled_output,
    refuse_older,
    refuse_second_job,
    refuse_unfit_state,
    refuse_unfit_surroundings,
)
from jobs.cli.project import PROJECT_ROOT, flink_home
from jobs.cli.stack import Endpoints, flink_client_env, load_endpoints
from jobs.cluster.client import FlinkClient, shell_line
from jobs.cluster.history import Submission
from jobs.cluster.package import Package, build_package
from jobs.cluster.rest import ClusterError, FlinkRest
from jobs.cluster.restore_points import plain_path
from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import variables
from jobs.pipeline.manifest import PARAMETER, Manifest

_MANIFEST_TIMEOUT_S = 30.0

drained_option = click.option(
    "--drained", is_flag=True, help="All windows are closed: let definitions, cells and the target CRS change."
)


@click.command(
    epilog="""\b
Examples:
  meridian submit --config flink-conf/deployments/demo.yaml
  meridian submit --config demo.yaml --from-savepoint .meridian/stack/savepoints/savepoint-1a2b3c-…
  meridian submit --config demo.yaml --print-only       show the flink command and stop
"""
)
@deployment_option
@click.option("--from-savepoint", metavar="PATH", help="Start from this savepoint or retained checkpoint.")
@click.option("--repeat", is_flag=True, help="Publish again what the topics hold since that savepoint, or at all.")
@drained_option
@click.option("--print-only", is_flag=True, help="Validate, pack and print the command, but do not run it.")
@click.option("--json", "as_json", is_flag=True, help="Print job id, command and package as JSON.")
def submit(
    config_file: Path, from_savepoint: str | None, repeat: bool, drained: bool, print_only: bool, as_json: bool
) -> None:
    """Submit the align job of a deployment to the session cluster."""
    deployment = read_deployment(config_file)
    endpoints = load_endpoints()
    client, rest = flink_client(endpoints), FlinkRest(endpoints.rest_url)
    package = build_package(PROJECT_ROOT, config_file, deployment, PACKAGES)
    path = plain_path(from_savepoint) if from_savepoint else None
    command = client.command(package, deployment.parallelism, path)
    environment = client.needs(public_variables(config_file))
    if not as_json:
        info(f"+ {shell_line(command, environment)}")
        if secrets := [name for name, secret in variables(config_file).items() if secret]:
            info(f"  with {', '.join(secrets)} from your environment")
    job_id = None
    if not print_only:
        refuse_unfit_surroundings(deployment, config_file)
        refuse_second_job(rest, deployment)
        if path:
            point = find_point(path)
            refuse_unfit_state(rest, point, plan(client, package), drained)
            if not repeat:
                refuse_older(rest, endpoints, job_name(deployment), point)
        elif not repeat:
            refuse_doubled_output(rest, endpoints, deployment)
        job_id = run(client, command)
        remember(rest, job_id, deployment, package)
        if not as_json:
            success(f"submitted {job_name(deployment)} as job {job_id}; web interface: {endpoints.rest_url}")
    if as_json:
        shown = {"command": command, "environment": environment, "package": str(package.folder)}
        print_json({"job_id": job_id, **shown})


def flink_client(endpoints: Endpoints) -> FlinkClient:
    return FlinkClient(flink_home(), flink_client_env(endpoints))


def public_variables(config_file: Path) -> dict[str, str]:
    """What a deployment file takes from the environment and may be shown."""
    mentioned = [name for name, secret in variables(config_file).items() if not secret]
    return {name: os.environ[name] for name in mentioned if name in os.environ}


def run(client: FlinkClient, command: list[str]) -> str:
    try:
        return client.run(command)
    except ClusterError as error:
        raise CliError(str(error), EXIT_FAILED, "the client's log is in the stack's log folder") from None


def plan(client: FlinkClient, package: Package) -> Manifest:
    try:
        return client.plan(package)
    except ClusterError as error:
        raise CliError(str(error), EXIT_USAGE) from None


def remember(rest: FlinkRest, job_id: str, deployment: Deployment, package: Package) -> None:
    """Note what a job was started from: for a roll-back, and to judge its savepoints when it is gone."""
    manifest = None
    try:
        # A job that is still initialising has no parameters yet.
        rest.wait(lambda: PARAMETER in rest.user_config(job_id), _MANIFEST_TIMEOUT_S, f"manifest of job {job_id}")
        manifest = rest.user_config(job_id)[PARAMETER]
    except ClusterError as error:
        warn(f"job {job_id} runs, but its manifest is not kept: {error}")
    HISTORY.remember(Submission(job_id, job_name(deployment), str(package.folder), manifest))
