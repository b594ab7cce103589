"""A flood through Mosquitto, a bridge that sheds in every way, Kafka and the job: alarms pass, the counts close."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.bridge.shedding.policy import sampling_hash
from tests.integration.support import (
    Stack,
    audit,
    committed,
    create_topic,
    running_job,
    wait_for,
    wait_until_running,
    write_deployment,
)
from tests.support.bridges import account_of, bridge, committed_records
from tests.support.bridges import write_bridge as write_config
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.mqtt_bridge import BridgeProcess, Publisher, write_bridge

pytestmark = [needs_mosquitto, pytest.mark.extended]

WINDOW_MS = 300_000
SENSORS = 20
FRACTION = 0.2
LIMIT = 10
ALARM_ABOVE_M = 4.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as started:
        yield started


def flood() -> list[dict[str, Any]]:
    """Two windows of three streams in the order of event time; every hundredth water level is an alarm."""
    chance = random.Random(11)
    begin_ms = (time.time_ns() // 1_000_000 - 2_400_000) // WINDOW_MS * WINDOW_MS
    readings = []
    for number in range(15_000):
        sensor = number % SENSORS
        common = {"sensor_id": f"s{sensor}", "event_time": begin_ms + number * 2 * WINDOW_MS // 15_000}
        values = {"air_temperature": chance.gauss(12.0 + sensor, 3.0)}
        if number % 5 == 0:
            values["water_level"] = 5.0 if number % 500 == 0 else 1.0
            values["pm2_5"] = 7.0
        units = {"air_temperature": "degC", "water_level": "m", "pm2_5": "ug/m3"}
        readings += [
            {**common, "event_id": f"{metric}-{number}", "metric": metric, "value": value, "unit": units[metric]}
            for metric, value in values.items()
        ]
    return readings


def test_under_a_flood_alarms_come_through_the_counts_close_and_windows_know_what_they_have_not_seen(
    stack: Stack, broker: Mosquitto, tmp_path: Path
) -> None:
    def stream(name: str, metric: str, unit: str, **more: Any) -> dict[str, Any]:
        window = {"name": "5min", "size": "5 min"}
        return {"name": name, "metrics": [metric], "unit": unit, "windows": [window], "period": "800 ms", **more}

    deployment = write_deployment(
        tmp_path / "deployment.yaml",
        "shedding",
        # An alarm overtakes routine and takes the watermark with it; here minutes of event time pass in a second.
        time={"out_of_orderness": "20 min"},
        streams=[
            stream("weather", "air_temperature", "degC", sampled=True),
            stream("rivers", "water_level", "m"),
            stream("debug", "pm2_5", "ug/m3"),
        ],
    )
    config = write_bridge(
        tmp_path,
        deployment,
        broker.port,
        name="flooded",
        shedding={
            "streams": [
                {"stream": "weather", "sample": FRACTION},
                {"stream": "rivers", "limit": {"count": LIMIT, "per": "1 h"}},
                {"stream": "debug", "delivery": "best-effort"},
            ],
            "alarms": [{"stream": "rivers", "above": ALARM_ABOVE_M}],
            "backlog": {"above": 2, "below": 1},
        },
    )
    readings = flood()
    with running_job(deployment) as job_id:
        wait_until_running(stack, job_id)
        with BridgeProcess(config) as flooded:
            flooded.wait_for("subscribed")
            publisher = Publisher(broker)
            publisher.publish((n, message(reading)) for n, reading in enumerate(readings))
            assert len(publisher.finish()) == len(readings)
            counters = flooded.wait_for("counters", acknowledged=len(readings))
            assert flooded.stop() == 0
        report = audit(deployment, wait_s=180)

        [account] = report["bridges"]
        assert account["received"] == len(readings) == account["raw"] + account["shed"]
        assert (account["unconfirmed"], account["lost"], account["wrong"]) == (0, 0, 0)
        assert report["raw"] == account["raw"]
        assert report["raw"] == report["aligned"] + report["duplicates"] + report["invalid"] + report["shed"]
        shed = account["shed_by_reason"]
        assert set(shed) == {"weather/sampled_out", "rivers/rate_limited", "debug/backlog"}
        assert sum(counters["shed"].values()) == account["shed"] == sum(shed.values())

        aligned = {row["event_id"]: row for row in committed(stack, "shedding.aligned")}
        alarms = [r for r in readings if r["metric"] == "water_level" and r["value"] > ALARM_ABOVE_M]
        assert counters["alarms"] == len(alarms) > 20
        assert all(alarm["event_id"] in aligned for alarm in alarms)
        levels = [row for row in aligned.values() if row["stream"] == "rivers"]
        assert len(levels) == len(alarms) + LIMIT * len({row["sensor_id"] for row in levels if row["value"] == 1.0})
        assert shed["rivers/rate_limited"] == len(readings) // 7 - len(levels)

        kept = {r["event_id"] for r in readings if sampling_hash(r) < FRACTION * 2**64}
        weather = {event_id for event_id, row in aligned.items() if row["stream"] == "weather"}
        assert weather == {event_id for event_id in kept if event_id.startswith("air")}
        assert {row.get("sampling_fraction") for row in aligned.values() if row["stream"] == "weather"} == {FRACTION}
        assert all("sampling_fraction" not in row for row in levels)
        check_windows(committed(stack, "shedding.windows"), readings)


def message(reading: dict[str, Any]) -> tuple[str, bytes]:
    topic = f"site/grampian/{reading['sensor_id']}/{reading['metric']}"
    return topic, json.dumps({**reading, "x": -2.1, "y": 57.15, "crs": "EPSG:4326"}).encode()


def check_windows(windows: list[dict[str, Any]], readings: list[dict[str, Any]]) -> None:
    """Intervals of sampled windows hold the true mean and count about 19 times in 20; others have no estimates."""
    truth: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    for reading in readings:
        if reading["metric"] == "air_temperature":
            truth[reading["sensor_id"], reading["event_time"] // WINDOW_MS * WINDOW_MS].append(reading["value"])
    of_weather = [row for row in windows if row["stream"] == "weather"]
    assert {(row["key"], row["window_start_ms"]) for row in of_weather} == set(truth)
    holds_mean = holds_count = 0
    for row in of_weather:
        values = truth[row["key"], row["window_start_ms"]]
        mean = sum(values) / len(values)
        assert row["sampling_fraction"] == FRACTION
        assert row["estimated_count"] == pytest.approx(row["count"] / FRACTION)
        assert row["completeness"] == pytest.approx(row["estimated_count"] / row["expected_count"])
        holds_mean += row["estimated_mean_low"] <= mean <= row["estimated_mean_high"]
        holds_count += row["estimated_count_low"] <= len(values) <= row["estimated_count_high"]
    assert holds_mean >= 0.85 * len(of_weather)
    assert holds_count >= 0.85 * len(of_weather)
    assert not [row for row in windows if row["stream"] != "weather" and "estimated_count" in row]


def test_what_a_killed_bridge_had_shed_and_acknowledged_is_counted(
    stack: Stack, broker: Mosquitto, tmp_path: Path
) -> None:
    name = f"killed-{uuid.uuid4().hex[:8]}"
    config = write_bridge(
        tmp_path,
        sampled_topics(stack, tmp_path, name),
        broker.port,
        name=name,
        broker={"receive_maximum": 100},
        subscriptions=[{"template": f"{name}/{{region}}/{{sensor_id}}/{{metric}}", "adapter": "meridian"}],
        shedding={"streams": [{"stream": "weather", "sample": FRACTION}]},
    )
    readings = [r for r in flood() if r["metric"] == "air_temperature"]
    kept = {r["event_id"] for r in readings if sampling_hash(r) < FRACTION * 2**64}
    with BridgeProcess(config) as first:
        first.wait_for("subscribed")
    publisher = Publisher(broker)
    messages = ((n, message(reading)) for n, reading in enumerate(readings))
    publisher.publish((n, (topic.replace("site", name, 1), body)) for n, (topic, body) in messages)
    assert len(publisher.finish()) == len(readings)
    for received in (500, 1_500):
        with BridgeProcess(config) as killed:
            killed.wait_for("counters", acknowledged=lambda n, least=received: n >= least)
            killed.kill()
    with BridgeProcess(config) as last:
        left = last.wait_for("connected") and wait_for(lambda: queued_up(last), 60, "all has come")
        assert left["unacknowledged"] == 0
        assert last.stop() == 0
    raw = committed_records(stack.bootstrap_servers, f"{name}.raw")
    assert {json.loads(record.value or b"")["event_id"] for record in raw} == kept
    account = account_of(stack.bootstrap_servers, name)
    assert account.shed >= len(readings) - len(kept)
    assert (account.lost, account.wrong) == (0, 0)
    assert account.received == account.raw + account.shed + account.unconfirmed


def queued_up(running: BridgeProcess) -> dict[str, Any] | None:
    """The counters, once nothing more has come between three of them; nothing at all, if the killed ones got it all."""
    counters = [event for event in running.events if event["event"] == "counters"]
    received = {event["received"] for event in counters[-3:]}
    return counters[-1] if len(counters) > 2 and len(received) == 1 else None


def sampled_topics(stack: Stack, folder: Path, name: str) -> Path:
    """A deployment with a sampled stream, and the topics that a bridge needs of it."""
    streams = [{"name": "weather", "metrics": ["air_temperature"], "unit": "degC", "sampled": True}]
    create_topic(stack, f"{name}.raw", 4, message_timestamp_type="LogAppendTime")
    create_topic(stack, f"{name}.accounting", 4)
    return write_deployment(folder / "deployment.yaml", name, streams=streams)


def test_a_push_is_answered_once_what_was_shed_of_it_is_counted_in_kafka(stack: Stack, tmp_path: Path) -> None:
    name = f"push-{uuid.uuid4().hex[:8]}"
    document = {
        "name": name,
        "deployment": str(sampled_topics(stack, tmp_path, name)),
        "listen": {"port": 0},
        "auth": {"kind": "none"},
        "shedding": {"streams": [{"stream": "weather", "sample": FRACTION}]},
        "feeds": [{"name": "readings", "adapter": "meridian"}],
    }
    readings = [r for r in flood() if r["metric"] == "air_temperature"][:2_000]
    kept = [r for r in readings if sampling_hash(r) < FRACTION * 2**64]
    sent = [json.loads(message(reading)[1]) for reading in readings]
    with bridge("push", "--config", write_config(tmp_path / "push.yaml", document)) as endpoint:
        url = f"http://127.0.0.1:{endpoint.wait_for('listening')['port']}/v1/feeds/readings"
        answer = wait_for(lambda: _posted(url, sent[:1_500]), 20, "the endpoint answers")
        in_first = sum(r in kept for r in readings[:1_500])
        assert (answer["readings"], answer["shed"]) == (in_first, 1_500 - in_first)
        account = account_of(stack.bootstrap_servers, name)
        assert (account.raw, account.shed, account.unconfirmed) == (in_first, 1_500 - in_first, 0)
        assert httpx.post(url, json=sent[1_500:]).json()["shed"] == 500 - (len(kept) - in_first)
        assert endpoint.end() == 0
    account = account_of(stack.bootstrap_servers, name)
    assert (account.received, account.raw, account.shed) == (2_000, len(kept), 2_000 - len(kept))
    assert (account.unconfirmed, account.lost, account.wrong) == (0, 0, 0)
    raw = committed_records(stack.bootstrap_servers, f"{name}.raw")
    assert {json.loads(record.value or b"")["event_id"] for record in raw} == {r["event_id"] for r in kept}
    assert {record.headers["sampling_fraction"] for record in raw} == {b"0.2"}


def _posted(url: str, readings: list[dict[str, Any]]) -> Any:
    try:
        return httpx.post(url, json=readings).json()
    except httpx.TransportError:
        return None
