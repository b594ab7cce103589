"""Kafka hangs or is slow while a bridge runs: it trips, diverts, tries and recovers; what was diverted is sent again.

In the end every reading that the MQTT broker acknowledged is aligned exactly once, and the bridge's account closes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.integration.support import (
    ROOT,
    Stack,
    audit,
    committed,
    create_topic,
    members,
    meridian,
    running_job,
    wait_for,
    wait_until_running,
    write_deployment,
)
from tests.support.bridges import account_of, bridge
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.mqtt_bridge import BridgeProcess, Publisher, Steady, numbers_in, reading, write_bridge
from tests.support.rest_scene import Scene
from tests.support.rest_source import reading as pushed

RATE = 500  # messages a second
STREAM = {"name": "weather", "metrics": ["temperature"], "unit": "degC", "windows": [{"name": "1min", "size": "1 min"}]}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "mosquitto") as started:
        yield started


@pytest.fixture
def kafka(stack: Stack) -> Iterator[psutil.Process]:
    [process] = members(stack, "kafka.Kafka")
    yield process
    process.resume()


def bridge_file(folder: Path, deployment: Path, broker: Mosquitto, **kafka: Any) -> Path:
    """A bridge that numbers its readings, for the audit, and has small cold files."""
    return write_bridge(
        folder,
        deployment,
        broker.port,
        name="b",
        shedding={"alarms": [{"stream": "weather", "above": 100.0}]},
        breakers={
            "cold": {"folder": "cold", "file_size": "256 kB"},
            "kafka": {"open_for": "3 s", "trials": 3, **kafka},
        },
    )


def account(report: dict[str, Any]) -> dict[str, int]:
    [found] = report["bridges"]
    return {name: found[name] for name in ("received", "raw", "cold", "unconfirmed", "lost", "wrong")}


@needs_mosquitto
def test_kafka_hangs_and_every_reading_is_aligned_once_after_the_cold_store_was_sent_again(
    stack: Stack, kafka: psutil.Process, broker: Mosquitto, tmp_path: Path
) -> None:
    deployment = write_deployment(tmp_path / "deployment.yaml", "breakers", streams=[STREAM])
    cold = tmp_path / "cold"
    with running_job(deployment) as job_id:
        wait_until_running(stack, job_id)
        with BridgeProcess(bridge_file(tmp_path, deployment, broker, gone_after="3 s")) as bridge:
            bridge.wait_for("subscribed")
            steady = Steady(Publisher(broker), RATE)
            steady.start()
            time.sleep(3)
            kafka.suspend()
            opened = bridge.wait_for("breaker", state="open")
            assert opened["cause"] == "gone"
            time.sleep(8)
            kafka.resume()
            bridge.wait_for("breaker", state="half_open", timeout_s=30)
            bridge.wait_for("breaker", state="closed", timeout_s=60)
            time.sleep(2)
            published = steady.end()
            wait_for(lambda: bridge.counters["acknowledged"] >= len(published), 30, "all is acknowledged")
            diverted = bridge.wait_for("counters", unacknowledged=0, spool_records=0)["diverted"]
            assert bridge.stop() == 0
        states = [event["state"] for event in bridge.events if event["event"] == "breaker"]
        assert states[0] == "open" and states[-1] == "closed"
        assert sum(diverted.values()) > 5 * RATE
        before = account(audit(deployment, wait_s=120, close=False))
        assert before["cold"] == sum(diverted.values())
        assert before["received"] == before["raw"] + before["cold"] == len(published)

        killed = subprocess.Popen(
            [sys.executable, "-m", "jobs.cli.main", "cold", "reingest", str(cold), "--config", str(deployment)],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: list(cold.glob("dt=*/hour=*/_*.done.json")) or killed.poll() is not None, 60, "a file is done")
        killed.kill()
        killed.wait(10)
        files = json.loads(meridian("cold", "list", cold, "--all", "--json").stdout)
        assert sum(file["records"] for file in files) == sum(diverted.values())
        again = json.loads(meridian("cold", "reingest", cold, "--config", deployment, "--json").stdout)
        assert again["sent"] == sum(file["records"] for file in files if file["done"] is None)
        assert json.loads(meridian("cold", "reingest", cold, "--config", deployment, "--json").stdout)["sent"] == 0

        report = audit(deployment, wait_s=120)
        assert account(report) == {"received": len(published), "raw": len(published)} | dict.fromkeys(
            ("cold", "unconfirmed", "lost", "wrong"), 0
        )
        aligned = Counter(int(row["event_id"]) for row in committed(stack, "breakers.aligned"))
        assert set(aligned) == published
        assert set(aligned.values()) == {1}
        print(f"{len(published)} published, {diverted} diverted, states {states}, {report['duplicates']} duplicates")


@needs_mosquitto
def test_kafka_is_slow_ten_times_in_a_row(
    stack: Stack, kafka: psutil.Process, broker: Mosquitto, tmp_path: Path
) -> None:
    deployment = write_deployment(tmp_path / "deployment.yaml", "slow", streams=[STREAM])
    for topic in ("raw", "accounting"):
        create_topic(stack, f"slow.{topic}", 4)
    config = bridge_file(tmp_path, deployment, broker)
    with BridgeProcess(config) as bridge:
        bridge.wait_for("subscribed")
        publisher = Publisher(broker)
        number = 0

        def publish() -> None:
            nonlocal number
            publisher.publish([(number, reading(number))])
            number += 1

        publish()
        wait_for(lambda: bridge.counters.get("delivered"), 20, "Kafka is there")
        for _ in range(15):
            kafka.suspend()
            publish()
            time.sleep(0.8)
            kafka.resume()
            time.sleep(0.2)
            if bridge.counters["breakers"]["kafka"]["state"] != "closed":
                break
        opened = bridge.wait_for("breaker", state="open", timeout_s=5)
        assert opened["cause"] == "slow"
        assert 10 <= number <= 14

        def is_closed() -> bool:
            publish()
            return bool(bridge.counters["breakers"]["kafka"]["state"] == "closed")

        wait_for(is_closed, 30, "trials close it")
        wait_for(lambda: bridge.counters["acknowledged"] == number, 20, "all is acknowledged")
        assert bridge.stop() == 0
    assert len(publisher.finish()) == number
    meridian("cold", "reingest", tmp_path / "cold", "--config", deployment)
    assert sorted(numbers_in(stack.bootstrap_servers, "slow.raw")) == list(range(number))


def test_a_push_endpoint_without_kafka_takes_batches_into_the_cold_store_and_no_age_doubles_them(
    stack: Stack, kafka: psutil.Process, tmp_path: Path
) -> None:
    scene = Scene(stack, tmp_path)
    create_topic(stack, f"{scene.name}.accounting", 4)
    breakers = {
        "cold": {"folder": "cold"},
        "kafka": {"gone_after": "2 s", "open_for": "2 s", "trials": 2},
    }
    shedding = {"alarms": [{"stream": "weather", "above": 100.0}]}
    config = scene.push(0, breakers=breakers, shedding=shedding)
    with bridge("push", "--config", config) as endpoint:
        url = f"http://127.0.0.1:{endpoint.wait_for('listening')['port']}/v1/feeds/readings"
        sent: set[str] = set()
        statuses: list[int] = []

        def push() -> int:
            old_ms = time.time_ns() // 1_000_000 - 25 * 3_600_000
            batch = [pushed(f"p{len(statuses)}", old_ms + i) for i in range(20)]
            try:
                answer = httpx.post(url, json=batch, timeout=60)
            except httpx.ConnectError:
                return 0  # it does not listen yet
            statuses.append(answer.status_code)
            if answer.status_code == 200:
                sent.update(reading["event_id"] for reading in batch)
            return answer.status_code

        wait_for(lambda: push() == 200, 20, "the endpoint takes batches")
        kafka.suspend()
        push()
        assert endpoint.wait_for("breaker")["cause"] in ("gone", "failing")
        answers = Counter(push() for _ in range(50))
        assert set(answers) <= {200, 503}
        assert answers[200] >= 45, "all but the batches that were trials"
        health = httpx.get(url.replace("/v1/feeds/readings", "/health"))
        assert (health.status_code, health.json()["breakers"]["kafka"]["state"] != "closed") == (200, True)
        kafka.resume()
        wait_for(lambda: push() and endpoint.named("breaker")[-1]["state"] == "closed", 30, "it closes again")
        assert push() == 200
        assert endpoint.end() == 0
    in_raw = scene.ids()
    in_cold = sent - in_raw.keys()
    assert len(in_cold) >= 45 * 20

    def reingest() -> dict[str, Any]:
        deployment = tmp_path / "deployment.yaml"
        return dict(
            json.loads(meridian("cold", "reingest", tmp_path / "cold", "--config", deployment, "--json").stdout)
        )

    first = reingest()
    assert first["had_before"] == 0
    found = account_of(stack.bootstrap_servers, scene.name)
    assert (found.cold, found.lost, found.wrong) == (0, 0, 0)
    for mark in (tmp_path / "cold").glob("dt=*/hour=*/_*.done.json"):
        mark.unlink()  # as if it had been killed between Kafka's acknowledgement and the mark
    again = reingest()
    assert again["had_before"] == len(in_cold), "dedup has forgotten their time, so the raw topic is asked"
    assert again["sent"] == first["sent"] - len(in_cold), "reports of the account, which may come twice"
    assert set(scene.ids().values()) == {1}
    assert scene.ids().keys() == in_raw.keys() | sent
