"""What the integration tests share: the command line as a user runs it, deployments, polling with a deadline."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import yaml
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from jobs.cluster.rest import FlinkRest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "flink-conf" / "deployments" / "demo.yaml"
TOPICS = ("raw", "aligned", "windows", "late_events", "invalid_events", "accounting")


class Stack(NamedTuple):
    folder: Path
    bootstrap_servers: str
    rest_url: str

    @property
    def rest(self) -> FlinkRest:
        return FlinkRest(self.rest_url)


class Record(NamedTuple):
    """A Kafka record to be written."""

    value: bytes | None
    key: bytes | None = None
    partition: int = 0
    headers: tuple[tuple[str, str], ...] = ()


def meridian(*arguments: str | Path, check: bool = True, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command line tool; with `check`, a failure shows what it said."""
    command = [sys.executable, "-m", "jobs.cli.main", *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)
    if check and result.returncode != 0:
        raise AssertionError(f"meridian {' '.join(map(str, arguments))}: exit {result.returncode}\n{result.stderr}")
    return result


@contextmanager
def meridian_running(*arguments: str | Path, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A command that goes on while the block does, and is told to end then; `options` are for `Popen`."""
    process = subprocess.Popen([sys.executable, "-m", "jobs.cli.main", *map(str, arguments)], cwd=ROOT, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def wait_for(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Poll until the condition gives something true; its value."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.25)


def write_deployment(path: Path, name: str, base: Path = DEMO, *, replication: int = 1, **changes: Any) -> Path:
    """A deployment of that name with topics of its own, made from `base` by replacing top-level keys."""
    document = yaml.safe_load(base.read_text())
    document.update(
        name=name, topics={t: {"name": f"{name}.{t}", "partitions": 4, "replication": replication} for t in TOPICS}
    )
    for schema in document.get("schemas", {}).get("files", []):
        schema["file"] = str((base.parent / schema["file"]).resolve())
    document.update(changes)
    path.write_text(yaml.safe_dump(document))
    return path


@contextmanager
def running_job(deployment_file: Path) -> Iterator[str]:
    """Topics and a running job of a deployment; cancelled at the end."""
    meridian("topics", "create", "--config", deployment_file)
    submitted = json.loads(meridian("submit", "--config", deployment_file, "--json").stdout)
    try:
        yield submitted["job_id"]
    finally:
        meridian("cancel", "--config", deployment_file, check=False)


def wait_until_running(stack: Stack, job_id: str) -> None:
    wait_for(lambda: stack.rest.vertices_running(job_id), 90, f"all tasks of job {job_id} run")


def failures(stack: Stack, job_id: str) -> list[str]:
    """The failures that Flink restarted the job for, as it remembers them."""
    entries = stack.rest.get(f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
    return [entry["exceptionName"] for entry in entries]


def members(stack: Stack, text: str) -> list[psutil.Process]:
    """Processes of this stack whose command line holds a text."""
    found = []
    for process in psutil.process_iter():
        try:
            if text in " ".join(process.cmdline()) and str(stack.folder) in str(process.environ()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def audit(deployment_file: Path, ledger: Path | None = None, wait_s: int = 120, close: bool = True) -> dict[str, Any]:
    """The audit's verdict as a user gets it; fails the test with the audit's own words when it finds a fault."""
    arguments: list[str | Path] = ["audit", "--config", deployment_file, "--json", "--wait", str(wait_s)]
    if ledger is not None:
        arguments += ["--ledger", ledger]
    if close:
        arguments.append("--close")
    result = meridian(*arguments, check=False, timeout_s=wait_s + 120)
    assert result.returncode == 0, f"audit: exit {result.returncode}\n{result.stderr}\n{result.stdout}"
    return dict(json.loads(result.stdout))


def create_topic(stack: Stack, name: str, partitions: int = 1, **config: str) -> str:
    """A topic for a test of its own; a dot in a configuration name is an underscore here."""
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    wanted = NewTopic(name, partitions, 1, config={key.replace("_", "."): value for key, value in config.items()})
    admin.create_topics([wanted])[name].result(30)
    return name


def produce(stack: Stack, topic: str, records: Iterable[Record]) -> None:
    """Write records and wait until the broker has all of them; their order stays within a partition."""
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "enable.idempotence": True, "linger.ms": 5})
    for record in records:
        producer.produce(
            topic, record.value, record.key, record.partition, headers=[(k, v.encode()) for k, v in record.headers]
        )
    assert producer.flush(60) == 0


def committed(stack: Stack, topic: str) -> list[Any]:
    """The values of a topic as JSON, up to its last stable offset: what a read_committed consumer sees now."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "group.id": "tests",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    try:
        unread = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in unread])
        values = []
        while unread:
            for message in consumer.consume(5_000, timeout=1.0):
                if message.error() is None:
                    if message.value() is not None:  # a tombstone of an upsert topic
                        values.append(json.loads(message.value()))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())
                else:
                    raise AssertionError(message.error())
        return values
    finally:
        consumer.close()


def envelope(sensor: str, time_ms: int, partition: int = 0, value: float = 20.0, **fields: Any) -> Record:
    """A reading as the bridges send it, with all headers; `fields` replace or add fields of the value."""
    reading = {
        "event_id": f"{sensor}-{time_ms}",
        "sensor_id": sensor,
        "region": "grampian",
        "metric": "air_temperature",
        "value": value,
        "unit": "degC",
        "event_time": time_ms,
        "x": -2.1,
        "y": 57.15,
        "crs": "EPSG:4326",
        **fields,
    }
    headers = {
        "sensor_id": sensor,
        "ingest_timestamp": str(time.time_ns() // 1_000_000),
        "event_timestamp": str(time_ms),
        "crs_source": "EPSG:4326",
        "payload_version": "1",
        "content-type": "application/json",
    }
    return Record(json.dumps(reading).encode(), b"grampian", partition, tuple(headers.items()))
