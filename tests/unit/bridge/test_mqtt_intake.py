"""From MQTT messages to Kafka records."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.bridge.envelope import Message
from jobs.bridge.mqtt.config import MqttBridge
from jobs.bridge.mqtt.intake import Intake
from jobs.bridge.mqtt.publish import Publish
from jobs.bridge.mqtt.status import station_status

NOW_MS = 1_780_000_000_000
READING = {"value": 1.5, "unit": "degC", "event_time": NOW_MS - 1_000, "x": -0.12, "y": 51.5, "crs": "EPSG:4326"}
CONFIG: dict[str, Any] = {
    "name": "test",
    "deployment": "demo.yaml",
    "key": {"by": "region"},
    "spool": {"folder": "spool"},
    "subscriptions": [
        {"template": "site/{region}/{sensor_id}/status", "kind": "status"},
        {"template": "site/{region}/{sensor_id}/{metric}", "adapter": "meridian"},
        {"template": "quiet/{region}/{sensor_id}/{metric}", "adapter": "meridian", "retained": "never"},
    ],
}


@pytest.fixture
def intake() -> Intake:
    return Intake(MqttBridge.model_validate(CONFIG), "raw")


def records_of(
    intake: Intake, topic: str, body: bytes, retained: bool = False, traceparent: str | None = None
) -> list[tuple[str, Message]]:
    found = intake.records(Publish(topic, body, 1, retained, False, 1, traceparent), NOW_MS)
    return [(outgoing.topic, outgoing.message) for outgoing in found if outgoing is not None]


def only(records: Any) -> tuple[str, Message, dict[str, bytes]]:
    [(topic, message)] = records
    return topic, message, dict(message.headers)


def test_levels_of_the_topic_fill_up_the_reading(intake: Intake) -> None:
    topic, message, headers = only(records_of(intake, "site/north/s1/pm25", json.dumps(READING).encode()))
    assert topic == "raw"
    assert message.key == b"north"
    assert json.loads(message.value) == {**READING, "sensor_id": "s1", "region": "north", "metric": "pm25"}
    assert headers["ce_subject"] == b"site/north/s1/pm25"
    assert headers["ce_source"] == b"mqtt://127.0.0.1:1883"
    assert headers["ingest_timestamp"] == b"%d" % NOW_MS
    assert "mqtt_retained" not in headers


def test_a_repeat_makes_the_same_record_so_that_dedup_absorbs_it(intake: Intake) -> None:
    body = json.dumps(READING).encode()
    first, again = (only(records_of(intake, "site/n/s/t", body)) for _ in range(2))
    assert (first[1].value, first[1].key, first[2]["ce_id"]) == (again[1].value, again[1].key, again[2]["ce_id"])


def test_a_trace_goes_on(intake: Intake) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = json.dumps(READING).encode()
    _, _, headers = only(records_of(intake, "site/n/s/t", body, traceparent=parent))
    assert headers["traceparent"].split(b"-")[1] == parent.split("-")[1].encode()


def test_retained_messages_are_marked_and_counted(intake: Intake) -> None:
    _, _, headers = only(records_of(intake, "site/n/s/t", json.dumps(READING).encode(), retained=True))
    assert (headers["mqtt_retained"], intake.counters["retained"]) == (b"true", 1)


def test_unwanted_retained_messages_are_passed_over_and_counted(intake: Intake) -> None:
    assert records_of(intake, "quiet/n/s/t", b"1", retained=True) == []
    assert intake.counters["retained_unwanted"] == 1


def test_a_payload_of_several_readings_makes_as_many_records(intake: Intake) -> None:
    records = records_of(intake, "site/n/s/t", json.dumps([READING, "7", READING]).encode())
    assert len(records) == intake.counters["items"] == 3
    assert (intake.counters["unreadable"], sum(intake.refused.values())) == (1, 1)


def test_a_topic_of_no_template_is_kept_with_its_bytes(intake: Intake) -> None:
    topic, message, headers = only(records_of(intake, "old/topic", b"payload"))
    assert (topic, message.value) == ("raw", b"payload")
    assert headers["content-type"].startswith(b"application/vnd.meridian.unreadable")
    assert b"old/topic" in headers["bridge_message"]


@given(topic=st.sampled_from(["site/n/s/t", "site/n/s/status", "else"]), body=st.binary(max_size=200))
def test_no_payload_raises_and_each_leaves_a_record_or_a_count(topic: str, body: bytes) -> None:
    intake = Intake(MqttBridge.model_validate(CONFIG), "raw")
    records = records_of(intake, topic, body)
    assert len(records) or intake.counters["empty"] == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"online", "online"),
        (b"Offline", "offline"),
        (b'"offline"', "offline"),
        (b'{"status": "offline", "since": 5}', "offline"),
        (b'{"online": true}', "online"),
        (b"0", "offline"),
        (b"", "unknown"),
        (b"rebooting", "unknown"),
        (b"\xff", "unknown"),
    ],
)
def test_a_status_is_online_offline_or_unknown(body: bytes, status: str) -> None:
    record = station_status("site/n/s1/status", {"sensor_id": "s1", "region": "n"}, body, False, NOW_MS)
    assert record.key == b"s1"
    found = json.loads(record.value)
    assert (found["status"], found["sensor_id"], found["region"], found["retained"]) == (status, "s1", "n", False)


def test_statuses_go_to_their_own_topic(intake: Intake) -> None:
    topic, message, _ = only(records_of(intake, "site/n/s1/status", b"offline", retained=True))
    assert (topic, json.loads(message.value)["retained"]) == ("telemetry.status", True)
