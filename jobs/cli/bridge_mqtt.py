"""`meridian bridge mqtt`: one broker session into the raw topic."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from prometheus_client import CollectorRegistry

from jobs.bridge.breakers.diversion import Diversion, open_diversion
from jobs.bridge.journal import Journal
from jobs.bridge.lanes import Lane, Lanes
from jobs.bridge.mqtt.bridge import Bridge
from jobs.bridge.mqtt.config import MqttBridge
from jobs.bridge.mqtt.connection import RefusedByBroker
from jobs.bridge.producer import BridgeProducer, ProducerFailed
from jobs.bridge.shedding.config import Shedding
from jobs.bridge.spool import Spool, SpoolUnusable
from jobs.broker.clients import make_admin
from jobs.cli.bridge_file import COLD_HINT, read_bridge
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, CliError, success
from jobs.cli.metrics import shown
from jobs.cold.store import ColdUnusable
from jobs.observe.bridges import BridgeCollector
from jobs.pipeline.config import Deployment

_LOOK_FOR_TOPICS_EVERY_S = 5.0
_ALARMS = "alarms"  # folder in the spool's
_ALARM_SHARE = 4  # of what may be in flight, alarms have one part more


@click.command(
    epilog="""\b
Examples:
  meridian bridge mqtt --config flink-conf/bridges/mqtt.yaml --check
  meridian bridge mqtt --config flink-conf/bridges/mqtt.yaml 2>bridge.jsonl

\b
Exit codes: 0 ended by SIGTERM or Ctrl-C, with everything safe; 1 Kafka's client failed (start it again);
2 wrong configuration; 3 the broker refuses, or a topic is missing.
"""
)
@click.option(
    "--config",
    "config_file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Bridge file, such as flink-conf/bridges/mqtt.yaml.",
)
@click.option("--check", is_flag=True, help="Only say whether the file is right.")
def mqtt(config_file: Path, check: bool) -> None:
    """Carry MQTT messages into the raw topic; each is acknowledged once Kafka or the spool's disk has it.

    Says what it does as JSON lines on stderr. Runs until SIGTERM or Ctrl-C.
    """
    config, deployment = read_bridge(config_file, MqttBridge)
    if check:
        success(f"{config_file}: bridge {config.name!r}, {len(config.subscriptions)} subscriptions")
        return
    folder = config_file.parent
    journal = Journal(config.name)
    lanes = _open_lanes(config, folder, deployment, journal)
    try:
        bridge = Bridge(config, folder, deployment, lanes, journal)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: bridge.stop())
        check_topics = _topic_check(config, deployment, lanes.routine.producer)
        with _metrics(config) as metrics:

            def tend(now_s: float) -> None:
                check_topics(now_s)
                if metrics is not None:
                    metrics.figures = bridge.figures()

            bridge.run(on_tend=tend)
    except RefusedByBroker as refused:
        raise CliError(str(refused), EXIT_ENVIRONMENT, "see docs/bridges.md, and the broker's log") from None
    except ProducerFailed as failed:
        raise CliError(
            f"Kafka's client failed: {failed}", EXIT_FAILED, "start the bridge again: nothing is lost"
        ) from None


@contextmanager
def _metrics(config: MqttBridge) -> Iterator[BridgeCollector | None]:
    """The page for Prometheus, where the configuration asks for one."""
    if config.metrics_port is None:
        yield None
        return
    registry, collector = CollectorRegistry(), BridgeCollector(config.name)
    registry.register(collector)
    with shown(registry, config.metrics_port, "choose another metrics_port"):
        yield collector


def _open_lanes(config: MqttBridge, folder: Path, deployment: Deployment, journal: Journal) -> Lanes:
    """The lane of alarms is also opened for what an earlier configuration has left on its spool."""
    spool, shedding = folder / os.path.expanduser(config.spool.folder), config.shedding
    diversion = None
    if config.breakers is not None:
        try:
            diversion = open_diversion(config.breakers, config.name, folder, deployment.topics.raw.name, journal.event)
        except ColdUnusable as unusable:
            raise CliError(f"breakers.cold: {unusable}", EXIT_ENVIRONMENT, COLD_HINT) from None
    routine = _open_lane(config, deployment, spool, config.spool.max_size, 1, diversion)
    if (shedding is None or not shedding.alarms) and not (spool / _ALARMS).exists():
        return Lanes(routine)
    alarm_spool = Shedding.model_fields["alarm_spool"].default if shedding is None else shedding.alarm_spool
    return Lanes(routine, _open_lane(config, deployment, spool / _ALARMS, alarm_spool, _ALARM_SHARE))


def _open_lane(
    config: MqttBridge,
    deployment: Deployment,
    folder: Path,
    spool_bytes: int,
    share: int,
    diversion: Diversion | None = None,
) -> Lane:
    try:
        spool = Spool(folder, spool_bytes)
    except SpoolUnusable as unusable:
        raise CliError(f"spool: {unusable}", EXIT_ENVIRONMENT, "give each bridge a folder of its own") from None
    return Lane(
        BridgeProducer(deployment.kafka, config.client_id, times_answers=diversion is not None),
        spool,
        max_in_flight=max(1, config.in_flight.records // share),
        max_in_flight_bytes=config.in_flight.size // share,
        spool_after_s=config.spool.after / 1000,
        diversion=diversion,
    )


def _topic_check(config: MqttBridge, deployment: Deployment, producer: BridgeProducer) -> Callable[[float], None]:
    """Look for the topics until a broker has answered: a bridge starts, and spools, without Kafka too."""
    next_s: float | None = 0.0

    def check(now_s: float) -> None:
        nonlocal next_s
        if next_s is None or now_s < next_s:
            return
        next_s = now_s + _LOOK_FOR_TOPICS_EVERY_S
        topics = producer.topics(timeout_s=0.2)
        if topics is None:
            return
        next_s = None
        if deployment.topics.raw.name not in topics:
            raise CliError(
                f"there is no topic {deployment.topics.raw.name}",
                EXIT_ENVIRONMENT,
                f"meridian topics create --config {config.deployment}",
            )
        if config.has_status and config.status_topic not in topics:
            _create_status_topic(make_admin(deployment), config.status_topic, deployment.topics.raw.replication)

    return check


def _create_status_topic(admin: AdminClient, name: str, replication: int) -> None:
    wanted = NewTopic(name, 1, replication, config={"cleanup.policy": "compact"})
    try:
        admin.create_topics([wanted])[name].result(10)
    except KafkaException as error:
        raise CliError(f"cannot create the topic {name}: {error.args[0].str()}", EXIT_ENVIRONMENT) from None
