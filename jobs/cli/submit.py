"""`meridian submit`: validate a deployment, pack the code, and run the very `flink run` command that it prints."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
from confluent_kafka import TopicPartition

from jobs.broker.clients import make_consumer
from jobs.broker.topics import TopicProblem, describe_topics
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, CliError, info, print_json, success
from jobs.cli.project import PROJECT_ROOT, STATE_DIR, flink_home
from jobs.cli.stack import Endpoints, flink_client_env, load_endpoints
from jobs.cli.topics import deployment_option, read_deployment
from jobs.cluster.package import Package, build_package
from jobs.cluster.rest import ClusterError, FlinkRest
from jobs.pipeline.config import Deployment

PACKAGES = STATE_DIR / "packages"


def job_name(deployment: Deployment) -> str:
    return f"meridian-{deployment.name}"


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
@click.option("--repeat", is_flag=True, help="Start from the beginning although the topics hold results already.")
@click.option("--print-only", is_flag=True, help="Validate, pack and print the command, but do not run it.")
@click.option("--json", "as_json", is_flag=True, help="Print job id, command and package as JSON.")
def submit(config_file: Path, from_savepoint: str | None, repeat: bool, print_only: bool, as_json: bool) -> None:
    """Submit the align job of a deployment to the session cluster."""
    deployment = read_deployment(config_file)
    endpoints = load_endpoints()
    package = build_package(PROJECT_ROOT, config_file, deployment, PACKAGES)
    command = flink_command(package, deployment, from_savepoint)
    if not as_json:
        info(f"+ {shlex.join(command)}")
    job_id = None
    if not print_only:
        refuse_missing_topics(deployment)
        refuse_second_job(FlinkRest(endpoints.rest_url), deployment)
        if not (from_savepoint or repeat):
            refuse_doubled_output(deployment)
        job_id = run_flink(endpoints, command)
        remember_package(job_id, package)
        if not as_json:
            success(f"submitted {job_name(deployment)} as job {job_id}; web interface: {endpoints.rest_url}")
    if as_json:
        print_json({"job_id": job_id, "command": command, "package": str(package.folder)})


def flink_command(package: Package, deployment: Deployment, savepoint: str | None) -> list[str]:
    return [str(flink_home() / "bin" / "flink"), *package.arguments(deployment.parallelism, savepoint)]


def run_flink(endpoints: Endpoints, command: list[str]) -> str:
    """Run `flink run --detached`; the id of the job."""
    result = subprocess.run(command, env=flink_client_env(endpoints), capture_output=True, text=True, check=False)
    output = result.stdout + result.stderr
    submitted = re.search(r"JobID ([0-9a-f]{32})", output)
    if result.returncode != 0 or submitted is None:
        raise CliError(
            f"flink run failed: {last_cause(output)}", EXIT_FAILED, "the client's log is in the stack's log folder"
        )
    return submitted[1]


def remember_package(job_id: str, package: Package) -> None:
    """Note which package a job was started from, for a later roll-back."""
    folder = PACKAGES / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / job_id).write_text(str(package.folder))


def refuse_missing_topics(deployment: Deployment) -> None:
    try:
        missing = [spec.name for spec, partitions, _ in describe_topics(deployment) if partitions is None]
    except TopicProblem as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT, "start the stack with `meridian up`") from None
    if missing:
        raise CliError(
            f"topics missing: {', '.join(missing)}",
            EXIT_ENVIRONMENT,
            "make them with `meridian topics create --config …`",
        )


def refuse_doubled_output(deployment: Deployment) -> None:
    """A job without state reads the raw topic from its start, and would publish everything once more."""
    consumer = make_consumer(deployment)
    try:
        name = deployment.topics.aligned.name
        partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
        offsets = [consumer.get_watermark_offsets(TopicPartition(name, p), timeout=10) for p in partitions]
    finally:
        consumer.close()
    if any(high > 0 for _, high in offsets):
        raise CliError(
            f"{name} holds results of an earlier job, which this one would publish again",
            EXIT_USAGE,
            "go on with --from-savepoint (a savepoint, or <checkpoints>/<job id>/chk-<n>), or give --repeat",
        )


def refuse_second_job(rest: FlinkRest, deployment: Deployment) -> None:
    """Two jobs with one transactional prefix would fence each other and lose output."""
    try:
        job = rest.running(job_name(deployment))
    except ClusterError as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, "start the stack with `meridian up`") from None
    if job is not None:
        raise CliError(
            f"{job.name} runs already as job {job.id} ({job.state})",
            EXIT_USAGE,
            "replace it with `meridian upgrade`, or end it with `meridian cancel`",
        )


def last_cause(output: str) -> str:
    """The most telling line of a Java or Python stack trace."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith(("\tat ", "\t..."))]
    causes = [line for line in lines if line.startswith(("Caused by:", "jobs.", "ValueError"))] or lines[-1:]
    return causes[-1].removeprefix("Caused by: ")[:500] if causes else "no output"
