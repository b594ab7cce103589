"""`meridian exporter`: offsets and open transactions of all topics, for Prometheus."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from jobs.broker.clients import client_settings
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_USAGE, CliError, info
from jobs.cli.deployment import read_deployment
from jobs.observe.endpoint import HOST, PageUnavailable, metrics_page
from jobs.observe.topics import TopicCollector, read_ends


@click.command(
    epilog="\b\nExamples:\n  meridian exporter --config flink-conf/deployments/demo.yaml\n"
    "  meridian exporter --kafka 127.0.0.1:9092 --metrics-port 9401"
)
@click.option("--config", "config_file", type=click.Path(dir_okay=False, path_type=Path), help="Deployment file.")
@click.option("--kafka", metavar="HOST:PORT", help="Broker, instead of a deployment's.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), default=9401, show_default=True, help="0: any free one.")
def exporter(config_file: Path | None, kafka: str | None, metrics_port: int) -> None:
    """Show how far all topics have come, and how long transactions are open, until SIGTERM or Ctrl-C.

    `meridian up --observe` runs one beside Prometheus.
    """
    if (config_file is None) == (kafka is None):
        raise CliError("either --config or --kafka", EXIT_USAGE, "give one of them")
    settings = {"bootstrap.servers": kafka} if config_file is None else client_settings(read_deployment(config_file))
    admin = AdminClient({**settings, "log_level": 2})
    registry = CollectorRegistry()
    registry.register(TopicCollector(lambda: read_ends(admin)))
    serve_until_stopped(registry, metrics_port)


def serve_until_stopped(registry: CollectorRegistry, port: int) -> None:
    """Show metrics until the process is told to end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        with metrics_page(registry, port, observed_targets()) as bound:
            info(f"metrics on http://{HOST}:{bound}/metrics")
            stop.wait()
    except PageUnavailable as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, "choose --metrics-port") from None


def observed_targets() -> Path:
    """Where the local stack's Prometheus looks for processes; there is no such folder without `up --observe`."""
    from jobs.cli.local.layout import StackLayout, default_root
    from jobs.cli.local.prometheus import TARGETS

    return StackLayout(default_root()).observe / TARGETS
