"""`meridian probe`: synthetic readings through every stage, and how long they take."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import click
from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry

from jobs.cli.console import EXIT_ENVIRONMENT, CliError, info, warn
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.cli.generate import Duration
from jobs.cli.metrics import shown, stop_event
from jobs.observe.endpoint import HOST
from jobs.observe.probes import ProbeMetrics, Prober

_RECEIVE_S = 0.2


@click.command(
    epilog="\b\nExamples:\n  meridian probe --config flink-conf/deployments/demo.yaml\n"
    "  meridian probe --config flink-conf/deployments/demo.yaml --every 5s --metrics-port 9402"
)
@deployment_option
@click.option("--every", "every_ms", type=Duration(), default="30 s", show_default=True, help="Between two probes.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), default=0, help="Port of the metrics.  [default: any]")
def probe(config_file: Path, every_ms: int, metrics_port: int) -> None:
    """Send a probe every so often, and show how long each stage takes it, until SIGTERM or Ctrl-C.

    A probe is a control record: it passes source, align, deduplicate and the exactly-once sink of the accounting topic,
    moves no watermark, and enters neither the aligned topic nor any window. The audit counts it as control.
    """
    deployment = read_deployment(config_file)
    registry = CollectorRegistry()
    prober = Prober(deployment, ProbeMetrics(registry, deployment.name, every_ms / 1000), every_ms / 1000)
    stop = stop_event()
    try:
        with shown(registry, metrics_port) as port:
            info(f"a probe every {every_ms / 1000:g} s; metrics on http://{HOST}:{port}/metrics")
            _run(prober, every_ms / 1000, stop)
    finally:
        prober.close()


def _run(prober: Prober, every_s: float, stop: threading.Event) -> None:
    try:
        prober.open()
    except KafkaException as error:
        raise CliError(error.args[0].str(), EXIT_ENVIRONMENT, "is the stack up, and are the topics there?") from None
    due_s = time.monotonic()
    while not stop.is_set():
        try:
            if time.monotonic() >= due_s:
                due_s += every_s
                prober.send()
            prober.receive(_RECEIVE_S)
        except KafkaException as error:  # the broker is away: the alert of missing probes says so
            warn(error.args[0].str())
            stop.wait(min(every_s, 5))
