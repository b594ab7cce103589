"""`meridian scale`: the same job with more or fewer subtasks, through a savepoint."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click

from jobs.cli.console import EXIT_FAILED, EXIT_USAGE, CliError, info, print_json, success
from jobs.cli.deployment import deployment_option, job_name, read_deployment
from jobs.cli.lifecycle import Version, replace_job, running_job, version_of
from jobs.cli.preconditions import ask, refuse_unfit_surroundings
from jobs.cli.stack import Endpoints
from jobs.cluster.rest import FlinkRest, Job
from jobs.scaling.limits import Room, obstacles


class Running(NamedTuple):
    """A job that can be scaled, with what it was started from."""

    endpoints: Endpoints
    rest: FlinkRest
    job: Job
    version: Version
    room: Room


@click.command(
    epilog="""\b
Examples:
  meridian scale --config my.yaml --parallelism 4
  meridian scale --config my.yaml --parallelism 4 --check     only say whether it can be done

\b
Stops the job with a savepoint and starts the same package from it, so nothing is read twice;
goes back when the new one does not run. The deployment file is not touched: `meridian upgrade`
keeps what a job was scaled to until `parallelism` in the file changes.
More: docs/scaling-out.md
"""
)
@deployment_option
@click.option("--parallelism", required=True, type=click.IntRange(1), help="Subtasks that the job shall have.")
@click.option("--check", is_flag=True, help="Only say whether the job can be scaled so.")
@click.option("--timeout", "timeout_s", default=120, show_default=True, help="Seconds for the new job to run.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def scale(config_file: Path, parallelism: int, check: bool, timeout_s: int, as_json: bool) -> None:
    """Change the parallelism of a running job, through a savepoint."""
    running = find_running(config_file)
    refuse_unfit_parallelism(parallelism, running.room)
    before = running.version.parallelism
    name = job_name(running.version.deployment)
    if check:
        success(f"{name} can be scaled from {before} to {parallelism}")
        return
    job_id, path = running.job.id, None
    if parallelism == before:
        success(f"{name} runs with parallelism {before} already")
    else:
        job_id, path = rescale(running, parallelism, config_file, timeout_s)
        success(f"{name} runs as job {job_id} with parallelism {parallelism}")
    configured = read_deployment(config_file).parallelism
    if configured != parallelism:
        info(f"{config_file} says `parallelism: {configured}`, and `meridian submit` would start with that;")
        info(f"  `meridian upgrade` keeps {parallelism} until that line changes (to {parallelism}, if this is to stay)")
    if as_json:
        print_json({"old_job_id": running.job.id, "job_id": job_id, "savepoint": path, "parallelism": parallelism,
                    "was": before, "configured": configured})  # fmt: skip


def find_running(config_file: Path) -> Running:
    """The running job of a deployment file.

    Raises
    ------
    CliError : it does not run, was submitted elsewhere, or its topics are not what it needs.
    """
    endpoints, rest, job = running_job(read_deployment(config_file))
    version = version_of(job.id, ask(lambda: rest.parallelism(job.id)))
    if version is None:
        hint = f"write the parallelism into {config_file}, and `meridian upgrade`"
        raise CliError(f"job {job.id} was not submitted from here, so its package is not known", EXIT_USAGE, hint)
    deployment = version.deployment
    refuse_unfit_surroundings(deployment, config_file)
    slots = ask(rest.free_slots) + version.parallelism
    return Running(endpoints, rest, job, version, Room(deployment.topics.raw.partitions, deployment.shards, slots))


def refuse_unfit_parallelism(wanted: int, room: Room) -> None:
    if found := obstacles(wanted, room):
        raise CliError("\n  ".join(["the job cannot be scaled so:", *found]), EXIT_USAGE)


def rescale(running: Running, parallelism: int, config_file: Path, timeout_s: float) -> tuple[str, str]:
    """Start the same package with another parallelism; the id of the new job, and the savepoint between them.

    Raises
    ------
    CliError : it does not run, and the old one does again (or the message says from where to start it).
    """
    new = running.version._replace(parallelism=parallelism)
    endpoints, rest = running.endpoints, running.rest
    job_id, path = replace_job(endpoints, rest, running.job, new, running.version, config_file, timeout_s)
    became = ask(lambda: rest.parallelism(job_id))
    if became != parallelism:
        hint = "its code is older than `meridian scale`: `meridian upgrade` first"
        raise CliError(f"job {job_id} runs with parallelism {became} all the same", EXIT_FAILED, hint)
    return job_id, path
