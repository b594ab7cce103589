"""`meridian demo bridges`: Mosquitto, a REST service and HTTP push feed the whole job, and the accounting closes."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from confluent_kafka import KafkaException

from jobs.broker.clients import make_admin
from jobs.broker.topic_records import topic_records
from jobs.cli.console import EXIT_ENVIRONMENT, CliError, info, success
from jobs.cli.demo_support import command, port_options, run_meridian, start_afresh, step
from jobs.cli.deployment import read_deployment
from jobs.cli.local.mosquitto import find_mosquitto, mosquitto_command
from jobs.cli.local.ports import first_free, is_free
from jobs.cli.project import FLINK_CONF, PROJECT_ROOT
from jobs.cli.stack import load_endpoints
from jobs.cli.watch import follow
from jobs.cluster.rest import FlinkRest
from jobs.field.accounts import Accounts, Ledger
from jobs.field.clock import FieldClock
from jobs.field.plan import HOUR_MS, Reading, Transport, plan
from jobs.field.publish import publish_mqtt, push_http
from jobs.field.rest_server import rest_server
from jobs.field.shapes import ledger, traceparent
from jobs.pipeline.config import Deployment

FIELD = FLINK_CONF / "deployments" / "field.yaml"
_BRIDGES = FLINK_CONF / "bridges" / "field"
_CURSORS = "field.cursors"
_MQTT_PORT = 21_883
_ENDED_MS = 20 * 60_000  # before now: then the end markers, which are of now, close every window of the hour
_START_S, _STOP_S, _ARRIVE_S = 60.0, 60.0, 120.0


@click.command(epilog="\b\nExample:\n  meridian demo bridges --readings 60000 --rate 1000")
@click.option("--readings", default=150_000, show_default=True, type=click.IntRange(100), help="Readings, about.")
@click.option("--rate", default=1_500, show_default=True, type=click.IntRange(10), help="Readings per second.")
@click.option("--seed", default=2026, show_default=True, help="Same seed, same readings.")
@click.option("--kafka-port", type=int, help="Port of the broker, where 9092 is taken.")
@click.option("--rest-port", type=int, help="Port of Flink's web interface, where 8081 is taken.")
def bridges(readings: int, rate: int, seed: int, **ports: int | None) -> None:
    """Let stations that speak MQTT, HTTP push and REST feed the job, and compare every id with what they have sent.

    A real Mosquitto, and a REST service on loopback with pages, late inserts, 429 and 500 now and then. What was not
    running before is stopped at the end; with `meridian up` before, broker and cluster stay, to be looked at.
    """
    started_s = time.monotonic()
    with ExitStack() as cleanup:
        step("1/5", "broker, cluster and Mosquitto")
        rest = FlinkRest(_start_stack(cleanup, ports))
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="meridian-field-")))
        mqtt_port = cleanup.enter_context(_mosquitto(folder))
        step("2/5", "fresh topics, and the job")
        deployment = read_deployment(FIELD)
        _delete_cursors(deployment)
        job_id = start_afresh(FIELD, rest)
        cleanup.callback(run_meridian, "cancel", "--config", str(FIELD), check=False, quiet=True)

        step("3/5", f"about {readings:,} readings of one hour by MQTT bridge, REST poller and push endpoint")
        planned = plan(readings, seed)
        clock = FieldClock(time.time_ns() // 1_000_000 - HOUR_MS - _ENDED_MS, readings / rate)
        sent = ledger(planned, clock.begin_ms)
        accounts = Accounts()
        with _sources(planned, clock, mqtt_port, folder) as is_over:
            _watch(rest, job_id, deployment, is_over, sent, accounts)

        step("4/5", "the audit: every offset of the raw topic")
        audit = subprocess.run(command("audit", "--config", str(FIELD), "--close", "--wait", "120"), check=False)
        step("5/5", "one reading through every stage, and the field's own ledger")
        problems = _trace(planned[Transport.MQTT][len(planned[Transport.MQTT]) // 2], clock)
        problems += _compare(deployment, accounts, sent)
        for problem in problems:
            info(f"  {problem}")
        if audit.returncode:
            raise CliError("the audit found readings that are not where they belong")
        if problems:
            raise CliError("the accounting does not close")
    info(f"done in {time.monotonic() - started_s:.0f} s")
    success(f"closed: {accounts.line(sent)}")


def _start_stack(cleanup: ExitStack, ports: dict[str, int | None]) -> str:
    """Start what is missing; the URL of Flink. What was not there before is stopped at the end."""
    try:
        load_endpoints()
    except CliError:
        cleanup.callback(run_meridian, "down", check=False, quiet=True)
    run_meridian("up", *port_options(ports))
    endpoints = load_endpoints()
    os.environ["MERIDIAN_KAFKA"] = endpoints.bootstrap_servers  # the deployment's default is port 9092
    return endpoints.rest_url


@contextmanager
def _mosquitto(folder: Path) -> Iterator[int]:
    """A broker of this run alone, fetched where there is none; its port."""
    try:
        find_mosquitto()
    except CliError:
        subprocess.run([PROJECT_ROOT / "scripts" / "bootstrap", "--mqtt"], check=False)
    port = first_free(_MQTT_PORT, set())
    with _process("Mosquitto", mosquitto_command(port, folder / "mosquitto"), folder / "mosquitto.log"):
        _await(lambda: not is_free(port), _START_S, "start of Mosquitto")
        yield port


def _delete_cursors(deployment: Deployment) -> None:
    """The poller's, which speak of an earlier run's topics."""
    admin = make_admin(deployment)
    try:
        if _CURSORS in admin.list_topics(timeout=15).topics:
            admin.delete_topics([_CURSORS])[_CURSORS].result(30)
    except KafkaException as error:
        raise CliError(f"no answer from Kafka: {error.args[0].str()}", EXIT_ENVIRONMENT) from None


@contextmanager
def _sources(
    planned: dict[Transport, list[Reading]], clock: FieldClock, mqtt_port: int, folder: Path
) -> Iterator[Callable[[], bool]]:
    """Stations and bridges at work; the function says whether the stations have sent everything.

    Raises
    ------
    CliError : a sender or a bridge has failed.
    """
    with ExitStack() as running:
        _, rest_url = running.enter_context(rest_server(planned, clock))
        os.environ.update(
            MERIDIAN_FIELD_MQTT_PORT=str(mqtt_port), MERIDIAN_FIELD_REST_URL=rest_url, MERIDIAN_FIELD_FOLDER=str(folder)
        )
        started = [running.enter_context(_bridge(kind, folder)) for kind in ("mqtt", "rest", "push")]
        _event(folder, "mqtt", "subscribed")
        push_url = f"http://127.0.0.1:{_event(folder, 'push', 'listening')['port']}/v1/feeds/readings"
        pool = running.enter_context(ThreadPoolExecutor(2, "sender"))
        running.callback(clock.stopped.set)
        senders: list[Future[int]] = [
            pool.submit(publish_mqtt, planned[Transport.MQTT], clock, mqtt_port),
            pool.submit(push_http, planned[Transport.PUSH], clock, push_url),
        ]

        def is_over() -> bool:
            for process in started:
                if process.poll() is not None:
                    raise CliError(f"a bridge ended with exit code {process.returncode}")
            for sender in senders:
                if sender.done() and (error := sender.exception()):
                    raise CliError(f"a sender failed: {error}")
            return all(sender.done() for sender in senders) and clock.now_ms() >= HOUR_MS

        yield is_over


def _watch(
    rest: FlinkRest, job_id: str, deployment: Deployment, is_over: Callable[[], bool], sent: Ledger, accounts: Accounts
) -> None:
    """Draw the job's figures until the raw topic holds all that was sent."""
    over_s: float | None = None

    def finished(_figures: Any) -> bool:
        nonlocal over_s
        if not is_over():
            return False
        over_s = over_s or time.monotonic()
        _read_raw(deployment, accounts)
        return accounts.has_all_of(sent) or time.monotonic() - over_s > _ARRIVE_S

    follow(rest, job_id, finished)


def _read_raw(deployment: Deployment, accounts: Accounts) -> None:
    accounts.raw.clear()
    accounts.add_raw(topic_records(deployment, deployment.topics.raw.name))


def _trace(reading: Reading, clock: FieldClock) -> list[str]:
    """Show its way; what is wrong with it."""
    name = traceparent(reading, clock.begin_ms)
    info(f"meridian trace {name} --config {FIELD.relative_to(PROJECT_ROOT)}")
    traced = subprocess.run(command("trace", name, "--config", str(FIELD)), check=False)
    return [f"the trace {name} cannot be followed"] if traced.returncode else []


def _compare(deployment: Deployment, accounts: Accounts, sent: Ledger) -> list[str]:
    """Read the raw topic to its end, and what became of it; what does not close."""
    topics = deployment.topics
    _read_raw(deployment, accounts)
    accounts.add_aligned(topic_records(deployment, topics.aligned.name))
    accounts.add_invalid(topic_records(deployment, topics.invalid_events.name))
    accounts.add_accounting(topic_records(deployment, topics.accounting.name))
    return accounts.problems(sent)


@contextmanager
def _bridge(kind: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = command("bridge", kind, "--config", str(_BRIDGES / f"{kind}.yaml"))
    with _process(f"the {kind} bridge", words, _log(folder, kind)) as process:
        yield process


@contextmanager
def _process(name: str, words: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is told to end when the block ends, and must do so in order."""
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            try:
                code = process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
        if code:
            raise CliError(f"{name} ended with exit code {code}: {log.read_text(errors='replace')[-500:]}")


def _log(folder: Path, kind: str) -> Path:
    return folder / f"{kind}.jsonl"


def _event(folder: Path, kind: str, name: str) -> dict[str, Any]:
    """The first event of that name that a bridge logs."""

    def find() -> dict[str, Any] | None:
        lines = _log(folder, kind).read_text().splitlines()
        events = (json.loads(line) for line in lines if line.startswith("{") and line.endswith("}"))
        return next((event for event in events if event["event"] == name), None)

    return dict(_await(find, _START_S, f"{name} of the {kind} bridge"))


def _await(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    deadline_s = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline_s:
            raise CliError(f"not within {timeout_s:.0f} s: {what}", EXIT_ENVIRONMENT)
        time.sleep(0.05)
    return found
