"""`meridian bridge mqtt` as a process under test, what publishes to it, and what has come to Kafka."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import yaml
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from tests.support.mosquitto import Mosquitto

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = "site/{region}/{sensor_id}/{metric}"


def write_bridge(folder: Path, deployment: Path, port: int, **changes: Any) -> Path:
    """A bridge file with one subscription; `changes` replace top-level keys, or add to those that are mappings."""
    document: dict[str, Any] = {
        "name": f"test-{folder.name}",
        "deployment": str(deployment),
        "broker": {"port": port},
        "key": {"by": "region"},
        "subscriptions": [{"template": TEMPLATE, "adapter": "meridian"}],
        "spool": {"folder": "spool", "after": "1 s"},
        "report_every": "500 ms",
    }
    for key, value in changes.items():
        document[key] = document.get(key, {}) | value if isinstance(value, dict) else value
    file = folder / "bridge.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


class BridgeProcess:
    """The bridge as a user runs it. Its JSON lines are read as they come."""

    def __init__(self, config: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self.other_lines: list[str] = []
        self.peak_rss = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jobs.cli.main", "bridge", "mqtt", "--config", str(config)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            try:
                event = json.loads(line)
            except ValueError:
                self.other_lines.append(line)
                continue
            self.events.append(event)
            self.peak_rss = max(self.peak_rss, event.get("rss_bytes", 0))

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def counters(self) -> dict[str, Any]:
        return next((e for e in reversed(self.events) if e["event"] in ("counters", "stopped")), {})

    def wait_for(self, event: str, timeout_s: float = 60, **facts: Any) -> dict[str, Any]:
        """The first line of an event in which all facts hold; a fact may be a function of its value."""
        deadline = time.monotonic() + timeout_s
        while True:
            for line in list(self.events):
                if line["event"] == event and all(_holds(line.get(k), wanted) for k, wanted in facts.items()):
                    return line
            if time.monotonic() > deadline or (self._process.poll() is not None and not self._reader.is_alive()):
                raise AssertionError(
                    f"no {event} {facts} within {timeout_s} s: {self.events[-3:]} {self.other_lines[-5:]}"
                )
            time.sleep(0.05)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def stop(self, timeout_s: float = 60) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 60) -> int:
        code = self._process.wait(timeout_s)
        self._reader.join(5)
        return code

    def __enter__(self) -> BridgeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()


def _holds(value: Any, wanted: Any) -> bool:
    return bool(wanted(value)) if callable(wanted) else value == wanted


def reading(number: int, sensor: int | None = None) -> tuple[str, bytes]:
    """Topic and payload of a reading that carries its number."""
    sensor = number % 50 if sensor is None else sensor
    body = {"event_id": str(number), "value": 20.5, "unit": "degC", "event_time": time.time_ns() // 1_000_000}
    position = {"x": -0.12, "y": 51.5, "crs": "EPSG:4326"}
    return f"site/r{sensor % 4}/s{sensor}/temperature", json.dumps(body | position).encode()


class Publisher:
    """Publishes with QoS 1 or 2 and knows which messages the broker has acknowledged."""

    def __init__(self, broker: Mosquitto, window: int = 500) -> None:
        # Without a lock: paho calls `_published` with one of its own held, which `publish` wants. Message ids are
        # used again, and the acknowledgements of one come in order.
        self._sent: defaultdict[int, list[int]] = defaultdict(list)
        self._acknowledged: Counter[int] = Counter()
        self._window = threading.Semaphore(window)
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.max_inflight_messages_set(window)
        self._client.on_publish = self._published
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def _published(self, _client: Any, _userdata: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self._acknowledged[mid] += 1
        self._window.release()

    def publish(self, messages: Iterable[tuple[int, tuple[str, bytes]]], qos: int = 1, retain: bool = False) -> None:
        for number, (topic, body) in messages:
            assert self._window.acquire(timeout=30), "the broker does not acknowledge"
            self._sent[self._client.publish(topic, body, qos, retain).mid].append(number)

    def finish(self, timeout_s: float = 60) -> set[int]:
        """Wait until the broker has acknowledged everything, or the time is up; the numbers that it has."""
        deadline = time.monotonic() + timeout_s
        count = sum(map(len, self._sent.values()))
        while self._acknowledged.total() < count and time.monotonic() < deadline:
            time.sleep(0.02)
        self._client.disconnect()
        self._client.loop_stop()
        return {number for mid, numbers in self._sent.items() for number in numbers[: self._acknowledged[mid]]}


class Steady(threading.Thread):
    """Publishes readings 0, 1, 2, … at a rate, in messages a second, until it is told to end."""

    def __init__(self, publisher: Publisher, rate: float) -> None:
        super().__init__(daemon=True)
        self._publisher, self._rate, self._is_over = publisher, rate, threading.Event()

    def run(self) -> None:
        self._publisher.publish(self._readings())

    def _readings(self) -> Iterator[tuple[int, tuple[str, bytes]]]:
        begin_s, number = time.monotonic(), 0
        while not self._is_over.wait(max(0.0, begin_s + number / self._rate - time.monotonic())):
            yield number, reading(number)
            number += 1

    def end(self) -> set[int]:
        """The numbers that the MQTT broker has acknowledged."""
        self._is_over.set()
        self.join()
        return self._publisher.finish()


def consume(bootstrap_servers: str, topic: str) -> Iterator[Message]:
    """All records of a topic, as they are now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "tests",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        unread = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in unread])
        while unread:
            for message in consumer.consume(5_000, timeout=1.0):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())
                else:
                    raise AssertionError(error)
    finally:
        consumer.close()


def numbers_in(bootstrap_servers: str, topic: str) -> list[int]:
    """The numbers of the readings in a topic, partition by partition in their order."""
    return [int(json.loads(message.value() or b"{}")["event_id"]) for message in consume(bootstrap_servers, topic)]


def kill_later(pid: int, after_s: float) -> threading.Timer:
    """End a process of the test's own, by its id."""
    timer = threading.Timer(after_s, os.kill, (pid, signal.SIGKILL))
    timer.start()
    return timer
