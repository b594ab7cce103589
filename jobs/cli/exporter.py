"""`meridian exporter`: offsets and open transactions of all topics, for Prometheus."""

from __future__ import annotations

from pathlib import Path

import click
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from jobs.broker.clients import client_settings
from jobs.cli.console import EXIT_USAGE, CliError, info
from jobs.cli.deployment import read_deployment
from jobs.cli.metrics import shown, stop_event
from jobs.observe.endpoint import HOST
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
    stop = stop_event()
    with shown(registry, metrics_port) as port:
        info(f"metrics on http://{HOST}:{port}/metrics")
        stop.wait()
