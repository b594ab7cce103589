"""`meridian savepoint`, `cancel` and `upgrade`: the life of a running job."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, CliError, info, print_json, success, warn
from jobs.cli.project import PROJECT_ROOT, PYTHON, flink_home
from jobs.cli.stack import Endpoints, flink_client_env, load_endpoints
from jobs.cli.submit import (
    PACKAGES,
    flink_command,
    job_name,
    last_cause,
    refuse_missing_topics,
    remember_package,
    run_flink,
)
from jobs.cli.topics import deployment_option, read_deployment
from jobs.cluster.package import Package, build_package
from jobs.cluster.rest import TERMINAL_STATES, ClusterError, FlinkRest, Job
from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import load_deployment
from jobs.pipeline.manifest import PARAMETER, Manifest, obstacles

_SAVEPOINT_TIMEOUT_S = 300.0
_T = TypeVar("_T")


@click.command(epilog="\b\nExample:\n  meridian savepoint --config flink-conf/deployments/demo.yaml --json")
@deployment_option
@click.option("--json", "as_json", is_flag=True, help="Print the path as JSON.")
def savepoint(config_file: Path, as_json: bool) -> None:
    """Take a savepoint of a running job, which goes on."""
    endpoints, rest, job = _running(read_deployment(config_file))
    path = _ask(lambda: rest.savepoint(job.id, endpoints.savepoints_dir.as_uri(), _SAVEPOINT_TIMEOUT_S))
    if as_json:
        print_json({"job_id": job.id, "savepoint": path})
    else:
        click.echo(path)


@click.command(epilog="\b\nExample:\n  meridian cancel --config flink-conf/deployments/demo.yaml --savepoint")
@deployment_option
@click.option("--savepoint", "with_savepoint", is_flag=True, help="Stop with a savepoint, to be started again from it.")
def cancel(config_file: Path, with_savepoint: bool) -> None:
    """End a running job; without --savepoint its open transactions are left to the next job of that name."""
    endpoints, rest, job = _running(read_deployment(config_file))
    if with_savepoint:
        click.echo(_ask(lambda: rest.stop(job.id, endpoints.savepoints_dir.as_uri(), _SAVEPOINT_TIMEOUT_S)))
        return
    _end(rest, job.id)
    success(f"cancelled job {job.id}")


@click.command(
    epilog="""\b
Example:
  meridian upgrade --config flink-conf/deployments/demo.yaml

\b
What it does:
  1. compares operator uids, state version, shards and topics of the running and the new job
  2. stops the running job with a savepoint, without draining
  3. submits the new code and deployment from it, and waits for its first checkpoint
  4. if there is none, goes back to the old package and the same savepoint; possible only
     before the new job's first checkpoint, since that commits output
"""
)
@deployment_option
@click.option("--check", is_flag=True, help="Only say whether the state can be carried over.")
@click.option("--timeout", "timeout_s", default=120, show_default=True, help="Seconds for the new job to run.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def upgrade(config_file: Path, check: bool, timeout_s: int, as_json: bool) -> None:
    """Replace a running job by this checkout's code and the given deployment, through a savepoint."""
    deployment = read_deployment(config_file)
    endpoints, rest, job = _running(deployment)
    package = build_package(PROJECT_ROOT, config_file, deployment, PACKAGES)
    refuse_missing_topics(deployment)
    old_parameters = _ask(lambda: rest.user_config(job.id))
    _refuse_incompatible(old_parameters.get(PARAMETER), _manifest(package, endpoints))
    if check:
        success("the state of the running job can be carried over")
        return
    old_package = _package_of(job.id)
    info(f"stopping job {job.id} with a savepoint …")
    path = _ask(lambda: rest.stop(job.id, endpoints.savepoints_dir.as_uri(), _SAVEPOINT_TIMEOUT_S))
    info(f"savepoint {path}")
    new_id = _start(endpoints, rest, package, deployment, path, timeout_s)
    if isinstance(new_id, CliError):
        _roll_back(endpoints, rest, old_package, path, timeout_s, new_id)
    assert isinstance(new_id, str)
    if as_json:
        print_json({"old_job_id": job.id, "job_id": new_id, "savepoint": path})
    success(f"{job_name(deployment)} runs as job {new_id}")


def _start(
    endpoints: Endpoints, rest: FlinkRest, package: Package, deployment: Deployment, savepoint: str, timeout_s: float
) -> str | CliError:
    """Submit and wait for the first checkpoint, which has seen all tasks and states; the job's id, or what failed."""
    try:
        job_id = run_flink(endpoints, flink_command(package, deployment, savepoint))
    except CliError as error:
        # The client may have failed after the cluster took the job; two jobs of one name would fence each other.
        left = _ask(lambda: rest.running(job_name(deployment)))
        if left is None:
            return error
        job_id = left.id
    remember_package(job_id, package)
    try:
        rest.wait(
            lambda: rest.completed_checkpoints(job_id) or rest.state(job_id) in TERMINAL_STATES,
            timeout_s,
            f"first checkpoint of job {job_id}",
        )
        if rest.completed_checkpoints(job_id):
            return job_id
        reason = rest.root_cause(job_id)
    except ClusterError as error:
        reason = f"{error}; {rest.root_cause(job_id)}"
    _end(rest, job_id)
    # Counted after the end: a checkpoint may complete, and commit, while a job is being cancelled.
    if _ask(lambda: rest.completed_checkpoints(job_id)):
        raise CliError(
            f"job {job_id} completed a checkpoint and then had to be ended: {reason}",
            EXIT_FAILED,
            "its output is committed, so the old savepoint would double it; start again from its own last checkpoint",
        )
    return CliError(f"the new version does not run: {reason}")


def _end(rest: FlinkRest, job_id: str) -> None:
    if _ask(lambda: rest.state(job_id)) not in TERMINAL_STATES:
        _ask(lambda: rest.cancel(job_id))
        _ask(lambda: rest.wait(lambda: rest.state(job_id) in TERMINAL_STATES, 90, f"end of job {job_id}"))


def _roll_back(
    endpoints: Endpoints, rest: FlinkRest, package: Package | None, savepoint: str, timeout_s: float, error: CliError
) -> None:
    if package is None:
        raise CliError(error.message, EXIT_FAILED, f"the old package is not here; start it by hand from {savepoint}")
    warn(f"{error.message}; going back to the old version")
    old = load_deployment(package.deployment_file)
    job_id = _start(endpoints, rest, package, old, savepoint, timeout_s)
    if isinstance(job_id, CliError):
        raise CliError(f"the old version does not run either: {job_id.message}", EXIT_FAILED, f"savepoint: {savepoint}")
    raise CliError(f"{error.message}; rolled back, the old version runs as job {job_id}", EXIT_FAILED)


def _refuse_incompatible(old_text: str | None, new: Manifest) -> None:
    if old_text is None:
        raise CliError("the running job is not one of Meridian's: it has no manifest", EXIT_USAGE)
    found = obstacles(Manifest.parse(old_text), new)
    if found:
        problems = "; ".join(found)
        raise CliError(f"state cannot be carried over: {problems}", EXIT_USAGE, "CHANGELOG.md marks such changes")


def _manifest(package: Package, endpoints: Endpoints) -> Manifest:
    """Ask the new code itself, in a process of its own: its plan decides the uids."""
    command = [str(PYTHON), str(package.entry), "--config", str(package.deployment_file), "--manifest"]
    # With FLINK_HOME set, PyFlink leaves the folders of the stack alone and so finds the connectors there.
    env = flink_client_env(endpoints) | {"PYTHONPATH": str(package.code), "FLINK_HOME": str(flink_home())}
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise CliError(f"the new version cannot be planned: {last_cause(result.stderr)}", EXIT_USAGE)
    return Manifest.parse(result.stdout.strip().splitlines()[-1])


def _package_of(job_id: str) -> Package | None:
    note = PACKAGES / "jobs" / job_id
    if not note.exists():
        return None
    package = Package(Path(note.read_text()))
    return package if package.deployment_file.exists() else None


def _running(deployment: Deployment) -> tuple[Endpoints, FlinkRest, Job]:
    endpoints = load_endpoints()
    rest = FlinkRest(endpoints.rest_url)
    job = _ask(lambda: rest.running(job_name(deployment)))
    if job is None:
        raise CliError(f"no job {job_name(deployment)} is running", EXIT_USAGE, "start it with `meridian submit`")
    return endpoints, rest, job


def _ask(call: Callable[[], _T]) -> _T:
    try:
        return call()
    except ClusterError as error:
        raise CliError(str(error), EXIT_ENVIRONMENT) from None
