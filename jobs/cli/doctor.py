"""`meridian doctor`: what is wrong with a deployment, the likeliest cause first, and what to change."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.console import EXIT_FAILED, EXIT_USAGE, CliError, print_json, success
from jobs.cli.deployment import deployment_option, job_name, read_deployment
from jobs.cli.jars import read_lock
from jobs.cli.project import STATE_DIR
from jobs.cli.stack import load_endpoints

if TYPE_CHECKING:
    from jobs.doctor.facts import Broker, Settings, Snapshot
    from jobs.doctor.finding import Finding
    from jobs.pipeline.config import Deployment

_LOOPBACK = ("127.", "localhost", "[::1]")


@click.command(
    epilog="""\b
Examples:
  meridian doctor --config my.yaml
  meridian doctor --config my.yaml --spool /var/lib/meridian/spool --production
  meridian doctor meridian-demo --config my.yaml --rest-url http://jobmanager:8081 --json

\b
Exit codes: 0 nothing is wrong; 1 something is; 2 wrong configuration.
What each finding means: OPERATIONS.md, "Ask the doctor".
"""
)
@click.argument("job", required=False)
@deployment_option
@click.option("--rest-url", help="Flink's REST API.  [default: that of the local stack]")
@click.option("--spool", "spools", multiple=True, type=click.Path(path_type=Path), help="Spool folder of a bridge.")
@click.option(
    "--production/--no-production",
    default=None,
    help="Whether three replicas are expected.  [default: unless the brokers are on this machine]",
)
@click.option("--sample", "sample_s", default=5.0, show_default=True, type=click.FloatRange(0.5, 300), help="Seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(
    job: str | None,
    config_file: Path,
    rest_url: str | None,
    spools: tuple[Path, ...],
    production: bool | None,
    sample_s: float,
    as_json: bool,
) -> None:
    """Look at Flink, Kafka, the configuration and this machine. JOB is the job's name, if not the deployment's."""
    from jobs.doctor.diagnose import diagnose
    from jobs.doctor.kafka import collect_broker

    deployment = read_deployment(config_file)
    missing = [str(spool) for spool in spools if not spool.exists()]
    if missing:
        raise CliError(f"--spool {missing[0]}: no such folder", EXIT_USAGE)
    settings = _settings(deployment, production)
    broker = collect_broker(deployment, deployment.rules(config_file.parent))
    found = diagnose(_look(settings, broker, job or job_name(deployment), rest_url, spools, sample_s))
    if as_json:
        print_json({"deployment": deployment.name, "findings": [finding.to_dict() for finding in found]})
    else:
        _show(found)
    if found:
        raise SystemExit(EXIT_FAILED)


def _look(
    settings: Settings, broker: Broker, name: str, rest_url: str | None, spools: tuple[Path, ...], sample_s: float
) -> Snapshot:
    from jobs.cluster.rest import ClusterError, FlinkRest
    from jobs.doctor.facts import Cluster, Job, Snapshot
    from jobs.doctor.flink import collect_cluster, collect_job
    from jobs.doctor.machine import collect_machine, collect_pythons

    folders = [*spools, STATE_DIR]
    job: Job | None = None
    config: dict[str, str] = {}
    try:
        url = rest_url or load_endpoints().rest_url
        rest = FlinkRest(url)
        cluster, config = collect_cluster(rest, url)
        if not cluster.problem:
            job, ahead_ms = collect_job(rest, name, sample_s)
            cluster = replace(cluster, clock_ahead_ms=ahead_ms)
    except CliError as error:
        cluster = Cluster(rest_url or "", problem=error.message)
    except ClusterError as error:
        cluster = Cluster(rest_url or "", problem=str(error))
    return Snapshot(
        now_ms=time.time_ns() // 1_000_000,
        settings=settings,
        cluster=cluster,
        broker=broker,
        job=job,
        pythons=collect_pythons(config.get("python.executable")),
        machine=collect_machine(folders),
    )


def _settings(deployment: Deployment, production: bool | None) -> Settings:
    from jobs.doctor.facts import Settings

    servers = deployment.kafka.bootstrap_servers.split(",")
    return Settings(
        name=deployment.name,
        parallelism=deployment.parallelism,
        out_of_orderness_ms=deployment.time.out_of_orderness,
        idle_after_ms=deployment.time.idle_after,
        max_future_ms=deployment.time.max_future,
        transaction_timeout_ms=deployment.kafka.transaction_timeout,
        is_production=not all(s.strip().startswith(_LOOPBACK) for s in servers) if production is None else production,
        wanted_jars=frozenset(jar.filename for jar in read_lock() if jar.set_name == "flink"),
    )


def _show(found: list[Finding]) -> None:
    for number, finding in enumerate(found, 1):
        click.secho(f"{number}. {finding.text}", bold=True)
        click.echo(f"   {finding.change}")
    if not found:
        success("nothing is wrong")
