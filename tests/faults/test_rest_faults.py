"""Faults around the REST poller and the push endpoint.

The laws: cursors and readings agree exactly, whatever is killed; what the endpoint has answered with 200 is in Kafka.
`MERIDIAN_OUTAGE_S` is how long Kafka stays away (20 s by default; 600 for the ten minutes of the requirement).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.integration.support import Stack, create_topic, wait_for, write_deployment
from tests.support.bridges import ROOT, BridgeProcess, bridge, committed_records, newest_cursors, write_bridge
from tests.support.outages import kafka_away
from tests.support.rest_source import RestSource, reading, rest_source

OUTAGE_S = float(os.environ.get("MERIDIAN_OUTAGE_S", "20"))
MEMORY_LIMIT = 400 * 1024 * 1024

# A writer that dies at a stated point of its transaction; what it has sent by then is in the partitions' logs.
WRITER = """
import os, signal, sys, time
from pathlib import Path
import msgspec
from jobs.bridge.envelope import Message
from jobs.bridge.journal import Journal
from jobs.bridge.rest.config import RestBridge
from jobs.bridge.rest.cursors import ensure_cursors_topic
from jobs.bridge.rest.run import Run
from jobs.bridge.rest.writer import FeedWriter
from jobs.pipeline.config import Kafka
from jobs.pipeline.deployment_file import load_model

bridge, servers, raw, die_at = sys.argv[1:]
config = load_model(Path(bridge), RestBridge, os.environ, "")
run = Run(config, Path(bridge).parent, Kafka(bootstrap_servers=servers), raw, Journal("w"))
ensure_cursors_topic(run)
writer = FeedWriter(run, "b/f")
before = writer.open()

def die():
    time.sleep(1)  # librdkafka sends what it has
    os.kill(os.getpid(), signal.SIGKILL)

def messages():
    for number in range(100):
        yield Message(b"k", b"{}", [("content-type", b"application/json")])
    if die_at == "before the cursor":
        die()

writer.commit(messages, lambda: msgspec.structs.replace(before, readings=before.readings + 100))

def dying():
    yield Message(b"k", b"{}", [("content-type", b"application/json")])
    writer._producer.produce(config.cursors.topic, b'{"readings": 999}', b"b/f")
    die()

writer.commit(dying, lambda: writer.cursor)
"""


class Scene:
    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.name = f"fault-{uuid.uuid4().hex[:8]}"
        kafka = {"bootstrap_servers": stack.bootstrap_servers}
        write_deployment(folder / "deployment.yaml", self.name, kafka=kafka)
        self.raw = create_topic(stack, f"{self.name}.raw", 4, message_timestamp_type="LogAppendTime")

    def rest(self, url: str, **feed: Any) -> Path:
        document = {
            "name": "b",
            "deployment": "deployment.yaml",
            "cursors": {"topic": f"{self.name}.cursors"},
            "transaction_timeout": "10 s",
            "feeds": [
                {
                    "name": "f",
                    "adapter": "meridian",
                    "url": f"{url}/range",
                    "params": {"from": "{from}", "to": "{to}", "page": "{page}"},
                    "pagination": {"kind": "page", "items": "", "size": 50},
                    "time_format": "epoch-ms",
                    "every": "500 ms",
                    "overlap": "1 min",
                    "first_range": "1 h",
                    **feed,
                }
            ],
        }
        return write_bridge(self.folder / "rest.yaml", document)

    def ids(self) -> Counter[str]:
        records = committed_records(self.stack.bootstrap_servers, self.raw)
        return Counter(json.loads(record.value or b"{}").get("event_id", "") for record in records)

    def cursor(self) -> dict[str, Any]:
        return newest_cursors(self.stack.bootstrap_servers, f"{self.name}.cursors")["b/f"]

    def assert_cursor_agrees(self) -> None:
        assert self.cursor().get("readings", 0) == sum(self.ids().values())


@pytest.fixture
def scene(stack: Stack, tmp_path: Path) -> Scene:
    return Scene(stack, tmp_path)


class Stream(threading.Thread):
    """Adds readings to a source as time goes by, some of them late."""

    def __init__(self, source: RestSource) -> None:
        super().__init__(daemon=True)
        self.source, self.is_over = source, threading.Event()

    def run(self) -> None:
        number = 0
        while not self.is_over.wait(0.02):
            late_ms = 20_000 if number % 10 == 0 else 0
            time_ms = time.time_ns() // 1_000_000 - late_ms
            self.source.readings.append(reading(f"s{number % 7}n{number}", time_ms))
            number += 1


def test_a_writer_killed_at_any_point_of_its_transaction(scene: Scene) -> None:
    config = scene.rest("http://127.0.0.1:1")
    committed = 0
    for die_at, adds in (("before the cursor", 0), ("before the commit", 100)) * 2:
        script = [sys.executable, "-c", WRITER, str(config), scene.stack.bootstrap_servers, scene.raw, die_at]
        ended = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        committed += adds
    with rest_source() as source, bridge("rest", "--config", scene.rest(source.url)) as poller:
        poller.wait_for("polled")
        assert poller.end() == 0
    assert scene.cursor()["readings"] == committed == sum(scene.ids().values())
    in_the_log = committed_records(scene.stack.bootstrap_servers, scene.raw, "read_uncommitted")
    assert len(in_the_log) > committed  # what was killed had reached Kafka


def test_a_poller_killed_again_and_again_loses_and_invents_nothing(scene: Scene) -> None:
    random.seed(6)
    with rest_source() as source:
        config = scene.rest(source.url)
        stream = Stream(source)
        stream.start()
        for _ in range(8):
            with bridge("rest", "--config", config) as poller:
                poller.wait_for("polled", timeout_s=60)
                time.sleep(random.uniform(0, 1.5))
                poller.process.kill()
        stream.is_over.set()
        stream.join()
        wanted = {r["event_id"] for r in source.readings}
        with bridge("rest", "--config", config) as poller:
            wait_for(lambda: scene.ids().keys() >= wanted, 60, "all readings")
            assert poller.end() == 0
    scene.assert_cursor_agrees()


def test_a_poller_waits_for_kafka_and_goes_on(scene: Scene) -> None:
    with rest_source() as source:
        stream = Stream(source)
        with bridge("rest", "--config", scene.rest(source.url, overlap=f"{int(OUTAGE_S) + 60} s")) as poller:
            poller.wait_for("polled", timeout_s=60)
            stream.start()
            peak = 0
            with kafka_away(scene.stack):
                ends = time.monotonic() + OUTAGE_S
                while time.monotonic() < ends:
                    peak = max(peak, psutil.Process(poller.process.pid).memory_info().rss)
                    assert poller.process.poll() is None
                    time.sleep(0.5)
            stream.is_over.set()
            wanted = {r["event_id"] for r in source.readings}
            polls = len(poller.named("polled"))
            poller.wait_for("polled", polls + 2, timeout_s=120)
            wait_for(lambda: scene.ids().keys() >= wanted, 60, "all readings")
            assert poller.end() == 0
    assert peak < MEMORY_LIMIT
    assert set(scene.ids().values()) == {1}
    scene.assert_cursor_agrees()


class Pusher(threading.Thread):
    """Posts batches for as long as it is let, and remembers which were answered with 200."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.url, self.is_over = f"http://127.0.0.1:{port}/v1/feeds/readings", threading.Event()
        self.acknowledged: set[str] = set()
        self.statuses: Counter[int] = Counter()

    def run(self) -> None:
        number = 0
        with httpx.Client(timeout=60) as client:
            while not self.is_over.is_set():
                number += 1
                now_ms = time.time_ns() // 1_000_000
                batch = [reading(f"p{number}", now_ms + i) for i in range(50)]
                try:
                    answer = client.post(self.url, json=batch)
                except httpx.TransportError:
                    time.sleep(0.05)
                    continue
                self.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    self.acknowledged |= {r["event_id"] for r in batch}
                else:
                    time.sleep(0.05)


def push_bridge(scene: Scene, port: int) -> Path:
    document = {
        "name": "p",
        "deployment": "deployment.yaml",
        "listen": {"port": port},
        "auth": {"kind": "none"},
        "limits": {"ack_timeout": "3 s"},
        "feeds": [{"name": "readings", "adapter": "meridian"}],
    }
    return write_bridge(scene.folder / "push.yaml", document)


def test_an_endpoint_without_kafka_says_503_and_recovers(scene: Scene) -> None:
    with bridge("push", "--config", push_bridge(scene, 0)) as endpoint:
        pusher = Pusher(endpoint.wait_for("listening")["port"])
        pusher.start()
        wait_for(lambda: pusher.statuses[200] > 5, 30, "batches are taken")
        with kafka_away(scene.stack):
            time.sleep(OUTAGE_S)
        before = pusher.statuses[200]
        wait_for(lambda: pusher.statuses[200] > before + 5, 60, "batches are taken again")
        pusher.is_over.set()
        pusher.join(60)
        assert endpoint.end() == 0
    assert pusher.statuses[503] > 0
    assert set(pusher.statuses) <= {200, 503}
    assert scene.ids().keys() >= pusher.acknowledged


def test_an_endpoint_killed_again_and_again_has_lost_nothing_it_acknowledged(scene: Scene) -> None:
    first = BridgeProcess("push", "--config", push_bridge(scene, 0))
    port = first.wait_for("listening")["port"]
    pusher = Pusher(port)
    pusher.start()
    running = first
    try:
        for _ in range(4):
            taken = pusher.statuses[200]
            wait_for(lambda taken=taken: pusher.statuses[200] > taken + 3, 60, "batches are taken")  # type: ignore[misc]
            running.process.kill()
            running.process.wait()
            running = BridgeProcess("push", "--config", push_bridge(scene, port))
            running.wait_for("listening")
        pusher.is_over.set()
        pusher.join(60)
        assert running.end() == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
    assert len(pusher.acknowledged) > 500
    assert scene.ids().keys() >= pusher.acknowledged
