"""Bridges as processes, and what a bridge has committed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from jobs.audit.bridges import BridgeIntake, BridgeReport, audit_bridges
from jobs.audit.problems import Problems
from jobs.audit.records import decode_accounting

ROOT = Path(__file__).resolve().parents[2]


class RawRecord(NamedTuple):
    """A committed record."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


class BridgeProcess:
    """A running `meridian bridge …`; its events are read while it runs."""

    def __init__(self, *arguments: str | Path) -> None:
        command = [sys.executable, "-m", "jobs.cli.main", "bridge", *map(str, arguments)]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []
        """Lines that are no events."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def named(self, event: str) -> list[dict[str, Any]]:
        return [found for found in list(self.events) if found["event"] == event]

    def wait_for(self, event: str, count: int = 1, timeout_s: float = 40) -> dict[str, Any]:
        """The event, once it has come so often."""
        deadline = time.monotonic() + timeout_s
        while len(self.named(event)) < count:
            if time.monotonic() > deadline or (self.process.poll() is not None and not self._reader.is_alive()):
                raise AssertionError(f"no {event!r} {count} times; {self.events[-10:]} {self.said}")
            time.sleep(0.05)
        return self.named(event)[count - 1]

    def end(self, timeout_s: float = 30) -> int:
        """End it as a service manager does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 60) -> int:
        code = self.process.wait(timeout_s)
        self._reader.join(5)
        return code

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self.said.append(line)


@contextmanager
def bridge(*arguments: str | Path) -> Iterator[BridgeProcess]:
    """A bridge that does not outlive the block."""
    running = BridgeProcess(*arguments)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def rest_document(topics: str, url: str, feed: dict[str, Any]) -> dict[str, Any]:
    """A bridge `b` whose feed `f` polls a `RestSource`, with keys of `feed` over these."""
    defaults = {
        "name": "f",
        "adapter": "meridian",
        "url": f"{url}/range",
        "params": {"from": "{from}", "to": "{to}", "page": "{page}"},
        "pagination": {"kind": "page", "items": "", "size": 50},
        "time_format": "epoch-ms",
        "first_range": "1 h",
    }
    return {
        "name": "b",
        "deployment": "deployment.yaml",
        "cursors": {"topic": f"{topics}.cursors"},
        "transaction_timeout": "10 s",
        "feeds": [defaults | feed],
    }


def write_bridge(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(document))
    return path


def committed_records(bootstrap_servers: str, topic: str, isolation: str = "read_committed") -> list[RawRecord]:
    """All records of a topic that a reader of that isolation sees now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "tests",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
        }
    )
    try:
        unread = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in unread])
        records = []
        while unread:
            for message in consumer.consume(5_000, timeout=0.5):
                if message.error() is None:
                    headers = {name: value or b"" for name, value in message.headers() or []}
                    records.append(RawRecord(message.key(), message.value(), headers))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())
                else:
                    raise AssertionError(message.error())
        return records
    finally:
        consumer.close()


def account_of(bootstrap_servers: str, name: str) -> BridgeReport:
    """What the audit says of the only bridge that has written to the topics of this name."""
    intake = BridgeIntake()
    for record in committed_records(bootstrap_servers, f"{name}.raw"):
        intake.add_raw(record.headers["bridge_sequence"])
    for record in committed_records(bootstrap_servers, f"{name}.accounting"):
        intake.add_report(decode_accounting(record.value or b""))
    [account] = audit_bridges(intake, True, Problems())
    return account


def newest_cursors(bootstrap_servers: str, topic: str) -> dict[str, dict[str, Any]]:
    """The committed cursors, by key."""
    records = committed_records(bootstrap_servers, topic)
    return {(record.key or b"").decode(): json.loads(record.value or b"{}") for record in records}


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.1)
