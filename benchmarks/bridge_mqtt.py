"""The MQTT bridge beside a bare subscriber: both drain the same messages from sessions that the broker has queued.

Publishing is over before a run begins, so that a run has the machine for broker, subscriber and, for the bridge, Kafka.
The bridge's rate is that of Kafka's append times: between the first and the last record in the raw topic, each
acknowledged to the MQTT broker after Kafka had it. It is judged by the topic: every message that was published, once.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psutil
import yaml
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from benchmarks.bridge_row import bridge_row
from jobs.cli.local.mosquitto import mosquitto_command
from jobs.cli.local.ports import HOST, first_free
from jobs.cli.project import FLINK_CONF, PROJECT_ROOT

BARE, BRIDGE = "bare subscriber", "MQTT bridge"
_RECEIVE_MAXIMUM = 4_000
_SENSORS, _REGIONS = 1_000, 40
_FILTER = "site/+/+/+"


def measure(messages: int, rounds: int, bootstrap_servers: str, folder: Path, say: Callable[[str], None]) -> list[Any]:
    """Run both, alternating; one row for each run."""
    rows = []
    with _mosquitto(folder) as port:
        for number in range(rounds):
            run = f"{number}-{uuid.uuid4().hex[:6]}"
            topic = f"bench.bridge.{run}"
            admin = AdminClient({"bootstrap.servers": bootstrap_servers})
            config = {"message.timestamp.type": "LogAppendTime"}
            admin.create_topics([NewTopic(topic, 4, 1, config=config)])[topic].result(30)
            bridge_file = _write_bridge(folder / run, f"bench-{run}", port, topic, bootstrap_servers)
            for client_id in (f"bare-{run}", f"meridian-bench-{run}"):
                _make_session(port, client_id)
            say(f"round {number + 1}: publishing {messages:,} messages with QoS 1 …")
            _publish(port, messages)
            variants = [
                lambda: _bare(port, f"bare-{run}", messages),  # noqa: B023 - called in this round
                lambda: _bridge(bridge_file, topic, bootstrap_servers, messages),  # noqa: B023
            ]
            for variant in variants if number % 2 == 0 else variants[::-1]:
                rows.append(variant())
                say(f"  {rows[-1]['variant']}  {rows[-1]['messages_per_s']:>8,}/s  {rows[-1]['problems']}")
            for client_id in (f"bare-{run}", f"meridian-bench-{run}"):
                _forget_session(port, client_id)
            admin.delete_topics([topic])[topic].result(30)
    return rows


def _bare(port: int, client_id: str, messages: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bridge_bare", str(port), client_id, _FILTER]
    answer = subprocess.run(
        [*command, str(messages), str(_RECEIVE_MAXIMUM)], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=600
    )
    figures = json.loads(answer.stdout)
    return bridge_row("mqtt", BARE, messages, figures["seconds"], figures["cpu_s"], figures["peak_rss_mb"], "")


def _bridge(config: Path, topic: str, bootstrap_servers: str, messages: int) -> dict[str, Any]:
    log = config.with_suffix(".jsonl")
    with log.open("wb") as output:
        command = [sys.executable, "-m", "jobs.cli.main", "bridge", "mqtt", "--config", str(config)]
        process = subprocess.Popen(command, cwd=PROJECT_ROOT, stderr=output)
        cpu_s, peak_rss = 0.0, 0
        try:
            begin_cpu_s: float | None = None
            deadline = time.monotonic() + 600
            while (last := _last_event(log)).get("acknowledged") != messages:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the bridge has not acknowledged {messages} messages: {log}")
                times = psutil.Process(process.pid).cpu_times()
                cpu_s = times.user + times.system
                if begin_cpu_s is None and last:
                    begin_cpu_s = cpu_s
                peak_rss = max(peak_rss, last.get("rss_bytes", 0))
                time.sleep(0.1)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    seconds, problems = _judge(topic, bootstrap_servers, messages)
    return bridge_row("mqtt", BRIDGE, messages, seconds, cpu_s - (begin_cpu_s or 0.0), peak_rss / 1024**2, problems)


def _judge(topic: str, bootstrap_servers: str, messages: int) -> tuple[float, str]:
    """Seconds from the first record to the last, and what is wrong with them."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "bench",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(4)])
    unread, seen, count, first_ms, last_ms = 4, set(), 0, 1 << 62, 0
    while unread:
        for message in consumer.consume(10_000, 1.0):
            error = message.error()
            if error is None:
                count += 1
                seen.add(json.loads(message.value() or b"{}").get("event_id"))
                stamp = message.timestamp()[1]
                first_ms, last_ms = min(first_ms, stamp), max(last_ms, stamp)
            elif error.code() == KafkaError._PARTITION_EOF:
                unread -= 1
    consumer.close()
    missing = messages - len(seen)
    problems = f"{missing} missing, {count - len(seen)} repeated" if missing or count != len(seen) else ""
    return max(1, last_ms - first_ms) / 1000, problems


def _last_event(log: Path) -> dict[str, Any]:
    lines = log.read_bytes().splitlines()
    return next((e for line in reversed(lines) if (e := _parse(line)) and e["event"] != "started"), {})


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        return dict(json.loads(line))
    except ValueError:
        return None


@contextmanager
def _mosquitto(folder: Path) -> Iterator[int]:
    port = first_free(37_883, set())
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen(mosquitto_command(port, folder / "mosquitto"), stdout=log, stderr=log)
        try:
            time.sleep(1)
            yield port
        finally:
            process.terminate()
            process.wait(60)


def _write_bridge(folder: Path, name: str, port: int, topic: str, bootstrap_servers: str) -> Path:
    folder.mkdir()
    deployment = yaml.safe_load((FLINK_CONF / "deployments" / "demo.yaml").read_text())
    deployment["name"] = name
    deployment["topics"] = {"raw": {"name": topic}}
    deployment["kafka"] = {"bootstrap_servers": bootstrap_servers}
    for named in ("avro", "schemas"):  # their paths are relative to the file
        deployment.pop(named, None)
    (folder / "deployment.yaml").write_text(yaml.safe_dump(deployment))
    file = folder / "bridge.yaml"
    bridge = {
        "name": name,
        "deployment": "deployment.yaml",
        "broker": {"port": port, "receive_maximum": _RECEIVE_MAXIMUM},
        "key": {"by": "region"},
        "subscriptions": [{"template": "site/{region}/{sensor_id}/{metric}", "adapter": "meridian"}],
        "spool": {"folder": "spool"},
        "report_every": "500 ms",
    }
    file.write_text(yaml.safe_dump(bridge))
    return file


def _make_session(port: int, client_id: str) -> None:
    """A session with its subscription, for which the broker queues."""
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3_600
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5)
    granted: list[int] = []
    client.on_subscribe = lambda *_: granted.append(1)
    client.connect(HOST, port, clean_start=False, properties=properties)
    client.subscribe(_FILTER, qos=1)
    while not granted:
        client.loop(0.1)
    client.disconnect()


def _forget_session(port: int, client_id: str) -> None:
    """Or the broker would queue the next round's messages for it too."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5)
    client.connect(HOST, port, clean_start=True)
    while not client.is_connected():
        client.loop(0.1)
    client.disconnect()


def _publish(port: int, messages: int) -> None:
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.max_inflight_messages_set(2_000)
    acknowledged = 0

    def on_publish(*_: Any) -> None:
        nonlocal acknowledged
        acknowledged += 1

    client.on_publish = on_publish
    client.connect(HOST, port)
    client.loop_start()
    now_ms = time.time_ns() // 1_000_000
    for number in range(messages):
        sensor = number % _SENSORS
        body = {"event_id": f"e{number}", "value": 20.5 + number % 7, "unit": "degC", "event_time": now_ms + number}
        position = {"x": -0.12, "y": 51.5, "crs": "EPSG:4326"}
        client.publish(f"site/r{sensor % _REGIONS}/s{sensor}/temperature", json.dumps(body | position), qos=1)
        while number - acknowledged > 5_000:
            time.sleep(0.005)
    while acknowledged < messages:
        time.sleep(0.01)
    client.disconnect()
    client.loop_stop()
