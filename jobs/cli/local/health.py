"""Whether the broker and the cluster answer, and waiting until they do."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Any

import requests

from jobs.cli.console import EXIT_ENVIRONMENT, CliError
from jobs.cli.local.layout import StackLayout
from jobs.cli.local.ports import HOST
from jobs.cli.local.render import StackInfo
from jobs.cli.local.secure import superuser_settings
from jobs.cli.local.supervision import Supervisor


@dataclass(frozen=True)
class Health:
    """What broker and cluster say about themselves."""

    broker_ready: bool
    jobmanager_ready: bool
    taskmanagers: int
    slots_total: int
    slots_free: int
    jobs_running: int

    def is_complete(self, info: StackInfo) -> bool:
        """At least, not exactly: a killed TaskManager may be listed beside its successor for a few seconds."""
        return (
            self.broker_ready
            and self.taskmanagers >= info.taskmanagers
            and self.slots_total >= info.taskmanagers * info.slots
        )


def broker_answers(info: StackInfo, timeout_s: float = 2.0) -> bool:
    """Whether all brokers are there. A plain connection comes first: librdkafka is noisy about refused ones."""
    try:
        for port in info.kafka_ports:
            socket.create_connection((HOST, port), timeout=timeout_s).close()
    except OSError:
        return False
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    # log_level 2 is critical only: the probe's own failures are the answer, not news.
    settings = superuser_settings(info, info.secure) if info.secure else {"bootstrap.servers": info.bootstrap_servers}
    admin = AdminClient({**settings, "log_level": 2})
    try:
        return len(admin.list_topics(timeout=timeout_s).brokers) >= info.brokers
    except KafkaException:
        return False


def cluster_overview(info: StackInfo, timeout_s: float = 2.0) -> dict[str, Any] | None:
    try:
        tls = info.secure.rest.options() if info.secure else {}
        answer = requests.get(f"{info.rest_url}/overview", timeout=timeout_s, **tls)
        return dict(answer.json()) if answer.ok else None
    except (requests.RequestException, ValueError):
        return None


def check(info: StackInfo) -> Health:
    overview = cluster_overview(info)
    facts = overview or {}
    return Health(
        broker_ready=broker_answers(info),
        jobmanager_ready=overview is not None,
        taskmanagers=int(facts.get("taskmanagers", 0)),
        slots_total=int(facts.get("slots-total", 0)),
        slots_free=int(facts.get("slots-available", 0)),
        jobs_running=int(facts.get("jobs-running", 0)),
    )


def wait_until_complete(info: StackInfo, layout: StackLayout, supervisor: Supervisor, timeout_s: float) -> Health:
    """Poll until broker, JobManager and all slots are there.

    Raises
    ------
    CliError: a process cannot be started, or the time is up; the message says which part is missing.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        health = check(info)
        if health.is_complete(info):
            return health
        given_up = next((state.name for state in supervisor.states() if state.state == "FATAL"), None)
        if given_up or time.monotonic() > deadline:
            missing = given_up or _missing(health)
            raise CliError(
                f"{missing} does not start" if given_up else f"not ready after {timeout_s:.0f} s: {missing}",
                EXIT_ENVIRONMENT,
                f"see the logs in {layout.logs}",
            )
        time.sleep(0.25)


def _missing(health: Health) -> str:
    if not health.broker_ready:
        return "broker"
    if not health.jobmanager_ready:
        return "jobmanager"
    return f"taskmanagers (registered: {health.taskmanagers} with {health.slots_total} slots)"
