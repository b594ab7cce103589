"""`meridian probe`: control records through every stage, a bridge too, and how long they take."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import click
from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry

from jobs.bridge.feed import PROBE_ADAPTER
from jobs.bridge.mqtt.config import MqttBridge
from jobs.cli.bridge_file import read_any_bridge
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_USAGE, CliError, info, warn
from jobs.cli.deployment import deployment_option, read_deployment
from jobs.cli.generate import Duration
from jobs.cli.metrics import shown, stop_event
from jobs.observe.endpoint import HOST
from jobs.observe.probes import ProbeMetrics, Prober
from jobs.observe.ways import Mqtt, NotSent, Push, Straight, Way
from jobs.pipeline.config import Deployment

_RECEIVE_S = 0.2


@click.command(
    epilog="\b\nExamples:\n  meridian probe --config flink-conf/deployments/demo.yaml\n"
    "  meridian probe --config flink-conf/deployments/demo.yaml --every 5s --metrics-port 9402\n"
    "  meridian probe --config my.yaml --through push.yaml --token-file /run/secrets/probe-token"
)
@deployment_option
@click.option("--every", "every_ms", type=Duration(), default="30 s", show_default=True, help="Between two probes.")
@click.option(
    "--through",
    "bridge_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of an MQTT bridge or a push endpoint that has a feed of adapter `probe`.  [default: straight to Kafka]",
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Holds the bearer token for a push endpoint, and nothing else.",
)
@click.option("--metrics-port", type=click.IntRange(0, 65535), default=0, help="Port of the metrics.  [default: any]")
def probe(
    config_file: Path, every_ms: int, bridge_file: Path | None, token_file: Path | None, metrics_port: int
) -> None:
    """Send a probe every so often, and show how long each stage takes it, until SIGTERM or Ctrl-C.

    A probe is a control record: it passes source, align, deduplicate and the exactly-once sink of the accounting topic,
    moves no watermark, and enters neither the aligned topic nor any window. The audit counts it as control. With
    --through it comes as readings do, and the stage `bridge` includes broker, endpoint and bridge.
    """
    deployment = read_deployment(config_file)
    registry = CollectorRegistry()
    through, way = _way(deployment, bridge_file, token_file)
    metrics = ProbeMetrics(registry, deployment.name, through, every_ms / 1000)
    prober = Prober(deployment, way, metrics, every_ms / 1000)
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
        except NotSent as closed:
            warn(str(closed))
        except KafkaException as error:  # the broker is away: the alert of missing probes says so
            warn(error.args[0].str())
            stop.wait(min(every_s, 5))


def _way(deployment: Deployment, bridge_file: Path | None, token_file: Path | None) -> tuple[str, Way]:
    """The way to Kafka, and what it is called: a bridge's name, or `kafka`."""
    if bridge_file is None:
        return "kafka", Straight(deployment)
    config, of_bridge = read_any_bridge(bridge_file)
    if of_bridge.topics.raw.name != deployment.topics.raw.name:
        raise CliError(f"{bridge_file}: it feeds {of_bridge.topics.raw.name}", EXIT_USAGE, "give the same deployment")
    if isinstance(config, MqttBridge):
        topics = [taken.template for taken in config.subscriptions if taken.adapter == PROBE_ADAPTER]
        try:
            return config.name, Mqtt(config.broker, bridge_file.parent, _only(topics, bridge_file))
        except NotSent as refused:
            raise CliError(str(refused), EXIT_ENVIRONMENT) from None
    feeds = [feed.name for feed in config.feeds if feed.adapter == PROBE_ADAPTER]
    listen, feed = config.listen, _only(feeds, bridge_file)
    if not listen.port:
        raise CliError(f"{bridge_file}: listen.port is any free one", EXIT_USAGE, "give it a number")
    scheme = "http" if listen.certificate is None else "https"
    token = None if token_file is None else token_file.read_text(encoding="utf-8").strip()
    return config.name, Push(f"{scheme}://{listen.host}:{listen.port}/v1/feeds/{feed}", token)


def _only(found: list[str], bridge_file: Path) -> str:
    if len(found) == 1 and "{" not in found[0]:
        return found[0]
    hint = f"give it one feed or subscription, without {{names}}, with adapter: {PROBE_ADAPTER} (docs/bridges.md)"
    raise CliError(f"{bridge_file}: it takes no probes", EXIT_USAGE, hint)
