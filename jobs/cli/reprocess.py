"""`meridian reprocess`: the align job over history, into topics of a further version."""

from __future__ import annotations

from pathlib import Path

import click

from jobs.broker.markers import UndeliveredRecords
from jobs.broker.snapshot import UnreadableTopic
from jobs.broker.topics import TopicProblem, create_topics
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, CliError, info, print_json, success, warn
from jobs.cli.deployment import deployment_option, job_name, read_deployment
from jobs.cli.preconditions import PACKAGES, ask, refuse_doubled_output, refuse_second_job, refuse_unfit_surroundings
from jobs.cli.project import PROJECT_ROOT
from jobs.cli.stack import load_endpoints
from jobs.cli.submit import flink_client, remember, run
from jobs.cli.times import UtcTime
from jobs.cluster.package import build_package
from jobs.cluster.rest import TERMINAL_STATES, ClusterError, FlinkRest
from jobs.reprocess.deployment import Span, rerun_document
from jobs.reprocess.outputs import Version, new_version, read_outputs, register
from jobs.reprocess.run import EmptySpan, find_span, read_document, write_document

HINT = "is the stack up, and do the topics exist?"


@click.command(
    epilog="""\b
Examples:
  meridian reprocess --config my.yaml                              all that the raw topic holds now
  meridian reprocess --config my.yaml --from 2019-03-28 --to 2019-04-04
  meridian reprocess --config my.yaml --follow                     catch up, and go on as the next live job
  meridian outputs switch 2 --config my.yaml                       when it is done: make it the current version

\b
--from and --to are when Kafka got a record. History in files comes into the raw topic by `meridian replay`. A bounded
run has no late readings; one that follows judges as the live job does. The version's own deployment file is written
beside yours; the running job is left alone.
"""
)
@deployment_option
@click.option("--from", "from_ms", type=UtcTime(), help="Raw records from here on.  [default: the oldest]")
@click.option("--to", "to_ms", type=UtcTime(), help="Raw records before this.  [default: now]")
@click.option("--follow", is_flag=True, help="Do not end: go on with what comes.")
@click.option("--version", "number", type=click.IntRange(2), help="Number of the version.  [default: the next]")
@click.option("--timeout", "timeout_s", type=click.IntRange(1), default=86_400, help="Seconds to wait for the end.")
@click.option("--detach", is_flag=True, help="Do not wait for the end.")
@click.option("--json", "as_json", is_flag=True, help="Print version, file and job as JSON.")
def reprocess(
    config_file: Path,
    from_ms: int | None,
    to_ms: int | None,
    follow: bool,
    number: int | None,
    timeout_s: int,
    detach: bool,
    as_json: bool,
) -> None:
    """Run the align job again over the raw topic, into versioned output topics."""
    if follow and to_ms is not None:
        raise CliError("--follow has no end, and --to is one", EXIT_USAGE)
    deployment = read_deployment(config_file)
    try:
        versions = read_outputs(deployment).versions
        number = number or max(versions) + 1
        if number in versions:
            hint = f"take another, or `meridian outputs drop {number} --config {config_file}`"
            raise CliError(f"version {number} is there already", EXIT_USAGE, hint)
        span = find_span(deployment, from_ms, to_ms, bounded=not follow)
        version = new_version(deployment, number, span)
        file = config_file.with_name(f"{config_file.stem}.v{number}{config_file.suffix}")
        document = rerun_document(read_document(config_file), deployment, version.job, version.topics, span)
        write_document(file, document, f"Version {number} of {config_file.name}, written by `meridian reprocess`.")
        info(f"wrote {file}")
        job_id = start_run(file)
        register(deployment, version)
    except (UnreadableTopic, UndeliveredRecords) as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, HINT) from None
    except EmptySpan as error:
        raise CliError(str(error), EXIT_USAGE) from None
    if not follow and not detach:
        wait_for_end(job_id, timeout_s)
    if as_json:
        print_json({"version": number, "deployment": file, "job_id": job_id, "topics": version.topics})
    success(_next_step(version, span, config_file, detach))


def start_run(file: Path) -> str:
    """Create the topics of a deployment file and submit its job, which has to be the first to write there."""
    deployment = read_deployment(file)
    try:
        create_topics(deployment)
    except TopicProblem as problem:
        raise CliError(str(problem), EXIT_ENVIRONMENT, HINT) from None
    endpoints = load_endpoints()
    client, rest = flink_client(endpoints), FlinkRest(endpoints.rest_url)
    package = build_package(PROJECT_ROOT, file, deployment, PACKAGES)
    refuse_unfit_surroundings(deployment, file)
    refuse_second_job(rest, deployment)
    refuse_doubled_output(rest, endpoints, deployment)
    job_id = run(client, client.command(package, deployment.parallelism, None))
    remember(rest, job_id, deployment, package)
    info(f"{job_name(deployment)} runs as job {job_id}")
    return job_id


def wait_for_end(job_id: str, timeout_s: float) -> None:
    """Wait until a bounded job is done; with its end all that it wrote is committed."""
    rest = FlinkRest(load_endpoints().rest_url)
    ask(lambda: rest.wait(lambda: rest.state(job_id) in TERMINAL_STATES, timeout_s, f"end of job {job_id}"))
    state = ask(lambda: rest.state(job_id))
    if state != "FINISHED":
        raise CliError(f"job {job_id} ended as {state}: {ask(lambda: rest.root_cause(job_id))}", EXIT_FAILED)


def wait_or_cancel(job_id: str, timeout_s: float) -> None:
    """Wait as `wait_for_end` does, and cancel the job when it is not waited for to its end."""
    try:
        wait_for_end(job_id, timeout_s)
    except BaseException:
        rest = FlinkRest(load_endpoints().rest_url)
        if rest.state(job_id) not in TERMINAL_STATES:
            try:
                rest.cancel(job_id)
                warn(f"job {job_id} was cancelled")
            except ClusterError as refused:
                if rest.state(job_id) not in TERMINAL_STATES:
                    warn(f"job {job_id} could not be cancelled: {refused}")
        raise


def _next_step(version: Version, span: Span, config_file: Path, detached: bool) -> str:
    switch = f"`meridian outputs switch {version.version} --config {config_file}`"
    if span.stop is None:
        return f"version {version.version} follows; when it has caught up: {switch}, then cancel the old job"
    return f"version {version.version} {'runs' if detached else 'is whole'}; {switch} makes it the current one"
