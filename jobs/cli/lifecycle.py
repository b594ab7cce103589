"""`meridian savepoint`, `cancel` and `upgrade`: the life of a running job, and how one job replaces another."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click

from jobs.cli.console import EXIT_FAILED, EXIT_USAGE, CliError, info, print_json, success, warn
from jobs.cli.deployment import deployment_option, job_name, read_deployment
from jobs.cli.preconditions import HISTORY, PACKAGES, ask, known_points, refuse_incompatible, refuse_unfit_surroundings
from jobs.cli.project import PROJECT_ROOT
from jobs.cli.stack import Endpoints, load_endpoints
from jobs.cli.submit import drained_option, flink_client, plan, remember
from jobs.cluster.package import Package, build_package
from jobs.cluster.rest import TERMINAL_STATES, ClusterError, FlinkRest, Job
from jobs.cluster.restore_points import latest
from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import InvalidDeployment, load_deployment
from jobs.pipeline.manifest import PARAMETER, Manifest
from jobs.scaling.limits import kept_by_upgrade

_SAVEPOINT_TIMEOUT_S = 300.0


class Version(NamedTuple):
    """What a job is started from."""

    package: Package
    deployment: Deployment
    parallelism: int


@click.command(epilog="\b\nExample:\n  meridian savepoint --config flink-conf/deployments/demo.yaml --json")
@deployment_option
@click.option("--json", "as_json", is_flag=True, help="Print the path as JSON.")
def savepoint(config_file: Path, as_json: bool) -> None:
    """Take a savepoint of a running job, which goes on."""
    endpoints, rest, job = running_job(read_deployment(config_file))
    path = ask(lambda: rest.savepoint(job.id, endpoints.savepoints_dir.as_uri(), _SAVEPOINT_TIMEOUT_S))
    if as_json:
        print_json({"job_id": job.id, "savepoint": path})
    else:
        click.echo(path)


@click.command(epilog="\b\nExample:\n  meridian cancel --config flink-conf/deployments/demo.yaml --savepoint")
@deployment_option
@click.option("--savepoint", "with_savepoint", is_flag=True, help="Stop with a savepoint, to be started again from it.")
def cancel(config_file: Path, with_savepoint: bool) -> None:
    """End a running job; without --savepoint what it has read since its last checkpoint is not published."""
    _cancel(*running_job(read_deployment(config_file)), with_savepoint)


def cancel_beside(name: str, with_savepoint: bool) -> None:
    """End a job that runs beside the align job; what it has published stays."""
    endpoints = load_endpoints()
    rest = FlinkRest(endpoints.rest_url)
    job = ask(lambda: rest.running(name))
    if job is None:
        raise CliError(f"{name} is not running", EXIT_USAGE)
    _cancel(endpoints, rest, job, with_savepoint)


def _cancel(endpoints: Endpoints, rest: FlinkRest, job: Job, with_savepoint: bool) -> None:
    if with_savepoint:
        click.echo(ask(lambda: rest.stop(job.id, endpoints.savepoints_dir.as_uri(), _SAVEPOINT_TIMEOUT_S)))
        return
    _end(rest, job.id)
    success(f"cancelled job {job.id}")


@click.command(
    epilog="""\b
Example:
  meridian upgrade --config flink-conf/deployments/demo.yaml

\b
What it does:
  1. compares operator uids, state version, shards, topics and window definitions of the
     running and the new job
  2. stops the running job with a savepoint, without draining; a job that keeps failing is
     cancelled, and its newest checkpoint taken
  3. submits the new code and deployment from it, and waits for its first checkpoint
  4. if there is none, goes back to the old package and the same savepoint; possible only
     before the new job's first checkpoint, since that commits output
"""
)
@deployment_option
@click.option("--check", is_flag=True, help="Only say whether the state can be carried over.")
@drained_option
@click.option("--timeout", "timeout_s", default=120, show_default=True, help="Seconds for the new job to run.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def upgrade(config_file: Path, check: bool, drained: bool, timeout_s: int, as_json: bool) -> None:
    """Replace a running job by this checkout's code and the given deployment, through a savepoint."""
    deployment = read_deployment(config_file)
    endpoints, rest, job = running_job(deployment)
    package = build_package(PROJECT_ROOT, config_file, deployment, PACKAGES)
    refuse_unfit_surroundings(deployment, config_file)
    old = ask(lambda: rest.user_config(job.id)).get(PARAMETER)
    if old is None:
        raise CliError("the running job is not one of Meridian's: it has no manifest", EXIT_USAGE)
    refuse_incompatible(Manifest.parse(old), plan(flink_client(endpoints), package), drained)
    if check:
        success("the state of the running job can be carried over")
        return
    running = ask(lambda: rest.parallelism(job.id))
    old_version = version_of(job.id, running)
    was_configured = old_version.deployment.parallelism if old_version else None
    parallelism = kept_by_upgrade(running, was_configured, deployment.parallelism)
    _tell_parallelism(running, parallelism, deployment.parallelism, config_file)
    new = Version(package, deployment, parallelism)
    new_id, path = replace_job(endpoints, rest, job, new, old_version, config_file, timeout_s)
    if as_json:
        print_json({"old_job_id": job.id, "job_id": new_id, "savepoint": path, "parallelism": parallelism})
    success(f"{job_name(deployment)} runs as job {new_id}")


def replace_job(
    endpoints: Endpoints,
    rest: FlinkRest,
    job: Job,
    new: Version,
    old: Version | None,
    config_file: Path,
    timeout_s: float,
) -> tuple[str, str]:
    """End a job and start another from its state; the id of that, and the savepoint or checkpoint between them.

    Raises
    ------
    CliError : the new one does not run. The old one does again, where it is here (`old`) and could stop by itself.
    """
    path, was_failing = _stop(endpoints, rest, job)
    new_id = _start(endpoints, rest, new, path, timeout_s)
    if isinstance(new_id, CliError):
        if was_failing:
            again = f"mend it, then `meridian submit --config {config_file} --from-savepoint {path}`"
            raise CliError(new_id.message, EXIT_FAILED, again)
        _roll_back(endpoints, rest, old, path, timeout_s, new_id)
    assert isinstance(new_id, str)
    return new_id, path


def version_of(job_id: str, parallelism: int) -> Version | None:
    """What a running job was started from; None: its package is not here, or this code cannot read it."""
    submission = HISTORY.find(job_id)
    package = submission.package if submission else None
    if package is None:
        return None
    try:
        return Version(package, load_deployment(package.deployment_file), parallelism)
    except InvalidDeployment:
        return None


def _tell_parallelism(running: int, becomes: int, configured: int, config_file: Path) -> None:
    if becomes != configured:
        info(f"parallelism stays {becomes}, as the job was scaled; {config_file} says {configured}, as it did before")
    elif becomes != running:
        info(f"parallelism {running} -> {becomes}, as {config_file} says")


def _stop(endpoints: Endpoints, rest: FlinkRest, job: Job) -> tuple[str, bool]:
    """End a job so that another can go on from it: the path to start from, and whether the job kept failing."""
    info(f"stopping job {job.id} with a savepoint …")
    try:
        path = rest.stop(job.id, endpoints.savepoints_dir.as_uri(), _SAVEPOINT_TIMEOUT_S)
    except ClusterError as error:
        if not ask(lambda: rest.is_failing(job.id)):
            raise CliError(str(error), EXIT_FAILED) from None
        return _give_up(rest, job), True
    info(f"savepoint {path}")
    return path, False


def _give_up(rest: FlinkRest, job: Job) -> str:
    """Cancel a job that keeps failing; the path of its newest checkpoint, or of what it started from."""

    def newest() -> str | None:
        point = latest(ask(lambda: rest.restore_points(job.id)))
        return point.path if point else ask(lambda: rest.restored_from(job.id))

    if newest() is None:
        hint = "it has published nothing: `meridian cancel` it, and submit the mended version with --repeat"
        raise CliError(f"job {job.id} keeps failing and has no checkpoint", EXIT_FAILED, hint)
    if not ask(lambda: rest.retains_checkpoints(job.id)):
        hint = "execution.checkpointing.externalized-checkpoint-retention must be RETAIN_ON_CANCELLATION"
        raise CliError(f"job {job.id} keeps failing, and its checkpoints would end with it", EXIT_FAILED, hint)
    _end(rest, job.id)
    path = newest()  # anew: a checkpoint may complete, and commit, while a job is being cancelled
    assert path is not None
    warn(f"job {job.id} keeps failing ({ask(lambda: rest.root_cause(job.id))}) and cannot stop with a savepoint")
    info(f"cancelled it; the new version starts from its newest checkpoint, {path}")
    return path


def _start(endpoints: Endpoints, rest: FlinkRest, version: Version, savepoint: str, timeout_s: float) -> str | CliError:
    """Submit and wait for the first checkpoint, which has seen all tasks and states; the job's id, or what failed."""
    client = flink_client(endpoints)
    try:
        job_id = client.run(client.command(version.package, version.parallelism, savepoint))
    except ClusterError as error:
        # The client may have failed after the cluster took the job; two jobs of one name would fence each other.
        left = ask(lambda: rest.running(job_name(version.deployment)))
        if left is None:
            return CliError(str(error))
        job_id = left.id
    remember(rest, job_id, version.deployment, version.package)
    try:
        rest.wait(
            lambda: rest.completed_checkpoints(job_id) > 0 or rest.state(job_id) in TERMINAL_STATES,
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
    if ask(lambda: rest.completed_checkpoints(job_id)):
        raise CliError(
            f"job {job_id} completed a checkpoint and then had to be ended: {reason}",
            EXIT_FAILED,
            "its output is committed, so the old savepoint would double it; start again from its own last checkpoint",
        )
    return CliError(f"the new version does not run: {reason}")


def _end(rest: FlinkRest, job_id: str) -> None:
    if ask(lambda: rest.state(job_id)) not in TERMINAL_STATES:
        ask(lambda: rest.cancel(job_id))
        ask(lambda: rest.wait(lambda: rest.state(job_id) in TERMINAL_STATES, 90, f"end of job {job_id}"))


def _roll_back(
    endpoints: Endpoints, rest: FlinkRest, old: Version | None, savepoint: str, timeout_s: float, error: CliError
) -> None:
    if old is None:
        raise CliError(
            error.message, EXIT_FAILED, f"the old package cannot be used here; start it by hand from {savepoint}"
        )
    warn(f"{error.message}; going back to the old version")
    job_id = _start(endpoints, rest, old, savepoint, timeout_s)
    if isinstance(job_id, CliError):
        raise CliError(f"the old version does not run either: {job_id.message}", EXIT_FAILED, f"savepoint: {savepoint}")
    raise CliError(f"{error.message}; rolled back, the old version runs as job {job_id}", EXIT_FAILED)


def running_job(deployment: Deployment) -> tuple[Endpoints, FlinkRest, Job]:
    endpoints = load_endpoints()
    rest = FlinkRest(endpoints.rest_url)
    job = ask(lambda: rest.running(job_name(deployment)))
    if job is None:
        newest = latest(known_points(rest, endpoints, job_name(deployment), None))
        start = f" --from-savepoint {newest.path}" if newest else ""
        raise CliError(
            f"no job {job_name(deployment)} is running", EXIT_USAGE, f"start it with `meridian submit{start}`"
        )
    return endpoints, rest, job
