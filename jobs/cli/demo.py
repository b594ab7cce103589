"""`meridian demo`: a lively hour of readings through the whole job, in a few minutes, and the audit of it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Final

import click

from jobs.cli.console import CliError, info, success
from jobs.cli.demo_support import command, port_options, run_meridian, start_afresh, step
from jobs.cli.lazy import LazyGroup
from jobs.cli.project import FLINK_CONF, STATE_DIR
from jobs.cli.stack import load_endpoints
from jobs.cli.watch import follow
from jobs.cluster.rest import FlinkRest

DEMO = FLINK_CONF / "deployments" / "demo.yaml"


COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "bridges": ("jobs.cli.demo_bridges:bridges", "Stations that speak MQTT, REST and HTTP push."),
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    invoke_without_command=True,
    epilog="\b\nExamples:\n  meridian demo --readings 1200000 --rate 12000\n  meridian demo bridges",
)
@click.option("--readings", default=1_050_000, show_default=True, help="Readings to generate.")
@click.option("--rate", default=9_000, show_default=True, help="Records per second.")
@click.option("--seed", default=2026, show_default=True, help="Same seed, same readings.")
@click.option("--kafka-port", type=int, help="Port of the broker, where 9092 is taken.")
@click.option("--rest-port", type=int, help="Port of Flink's web interface, where 8081 is taken.")
@click.pass_context
def demo(ctx: click.Context, /, readings: int, rate: int, seed: int, **ports: int | None) -> None:
    """Start the stack and the job, send an hour of hostile readings, watch them, audit them.

    The topics of the deployment `demo` are emptied first.
    """
    if ctx.invoked_subcommand is not None:
        return
    started = time.monotonic()
    step("1/5", "broker and cluster")
    run_meridian("up", *port_options(ports))
    endpoints = load_endpoints()
    os.environ["MERIDIAN_KAFKA"] = endpoints.bootstrap_servers  # the deployment's default is port 9092
    rest = FlinkRest(endpoints.rest_url)
    step("2/5", "fresh topics, and the job")
    job_id = start_afresh(DEMO, rest)

    step("3/5", f"{readings:,} readings of one hour: late, twice, skewed, mis-projected and broken ones among them")
    ledger = STATE_DIR / "demo-ledger.parquet"
    generator = _start_generator(readings, rate, seed, ledger)
    try:
        follow(rest, job_id, lambda _: generator.poll() is not None)
    finally:
        if generator.poll() is None:
            generator.kill()
    if generator.returncode:
        raise CliError(f"the generator ended with exit code {generator.returncode}")

    step("4/5", "the audit: every offset of the raw topic, and the ledger that says what must become of it")
    audit = subprocess.run(
        command("audit", "--config", str(DEMO), "--ledger", str(ledger), "--close", "--wait", "120"), check=False
    )
    step("5/5", "look around")
    info(_NEXT.format(rest_url=endpoints.rest_url, config=DEMO.relative_to(FLINK_CONF.parent)))
    if audit.returncode:
        raise CliError("the audit found readings that are not where they belong")
    success(f"done in {time.monotonic() - started:.0f} s")


_NEXT = """\
  web interface      {rest_url}
  the job, live      scripts/meridian watch --config {config}
  the topics         scripts/meridian topics list --config {config}
  upgrade it         scripts/meridian upgrade --config {config}
  stop everything    scripts/meridian down
"""


def _start_generator(readings: int, rate: int, seed: int, ledger: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(
            "generate", "--config", str(DEMO), "--readings", str(readings), "--rate", str(rate), "--seed", str(seed),
            "--ledger", str(ledger), "--no-end-markers",
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
