"""The MQTT bridge between a real Mosquitto and a real Kafka."""

from __future__ import annotations

import json
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import yaml

from tests.integration.support import Stack, create_topic, wait_for, write_deployment
from tests.support.certificates import make_certificates
from tests.support.mosquitto import Mosquitto, find_passwd, needs_mosquitto
from tests.support.mqtt_bridge import BridgeProcess, Publisher, consume, numbers_in, reading, write_bridge

pytestmark = needs_mosquitto


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as started:
        yield started


class Target:
    """A deployment with a raw topic of its own."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.servers = stack.bootstrap_servers
        self.deployment = write_deployment(folder / "deployment.yaml", f"mqtt-{uuid.uuid4().hex[:8]}")
        self.raw = yaml.safe_load(self.deployment.read_text())["topics"]["raw"]["name"]
        create_topic(stack, self.raw, 4, message_timestamp_type="LogAppendTime")

    def numbers(self) -> list[int]:
        return numbers_in(self.servers, self.raw)


@pytest.fixture
def target(stack: Stack, tmp_path: Path) -> Target:
    return Target(stack, tmp_path)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [1, 2])
def test_every_message_arrives_once_with_the_envelope_and_in_the_order_of_its_sensor(
    target: Target, broker: Mosquitto, tmp_path: Path, protocol: str, qos: int
) -> None:
    subscriptions = [{"template": f"q{qos}v{protocol}/{{region}}/{{sensor_id}}/{{metric}}", "adapter": "meridian"}]
    subscriptions[0]["qos"] = qos  # type: ignore[assignment]
    config = write_bridge(
        tmp_path, target.deployment, broker.port, broker={"protocol": protocol}, subscriptions=subscriptions
    )
    with BridgeProcess(config) as bridge:
        bridge.wait_for("subscribed")
        publisher = Publisher(broker)
        messages = ((n, reading(n)) for n in range(2_000))
        publisher.publish(((n, (t.replace("site", f"q{qos}v{protocol}"), b)) for n, (t, b) in messages), qos=qos)
        assert publisher.finish() == set(range(2_000))
        bridge.wait_for("counters", acknowledged=2_000)
        assert bridge.stop() == 0
    records = list(consume(target.servers, target.raw))
    numbers = [int(json.loads(record.value() or b"")["event_id"]) for record in records]
    assert sorted(numbers) == list(range(2_000))
    for sensor in range(50):
        mine = [number for number in numbers if number % 50 == sensor]
        assert mine == sorted(mine)
    headers = dict(records[0].headers() or [])
    sensor_id = json.loads(records[0].value() or b"")["sensor_id"]
    assert headers["sensor_id"] == sensor_id.encode()
    assert headers["ce_subject"].startswith(b"q") and headers["ce_subject"].endswith(b"/temperature")
    assert headers["ce_source"] == f"mqtt://127.0.0.1:{broker.port}".encode()
    assert "mqtt_retained" not in headers
    assert records[0].key() == f"r{int(sensor_id[1:]) % 4}".encode()


def test_what_came_while_the_bridge_was_away_is_delivered_when_it_is_back(
    target: Target, broker: Mosquitto, tmp_path: Path
) -> None:
    config = write_bridge(tmp_path, target.deployment, broker.port)
    with BridgeProcess(config) as bridge:
        bridge.wait_for("subscribed")
        assert bridge.stop() == 0
    publisher = Publisher(broker)
    publisher.publish((n, reading(n)) for n in range(3_000))
    acknowledged = publisher.finish()
    with BridgeProcess(config) as bridge:
        assert bridge.wait_for("connected")["session_present"] is True
        bridge.wait_for("counters", acknowledged=3_000)
        assert bridge.stop() == 0
    assert sorted(target.numbers()) == sorted(acknowledged) == list(range(3_000))


def test_what_cannot_be_read_is_in_the_raw_topic_with_its_reason(
    target: Target, broker: Mosquitto, tmp_path: Path
) -> None:
    topics = [{"template": "bad/{region}/{sensor_id}/{metric}", "adapter": "meridian"}]
    config = write_bridge(tmp_path, target.deployment, broker.port, subscriptions=topics)
    bodies = [b"", b"{", b"\xff\xfe", b"[1, 2", b"[]", b"{}", b'{"value": 1e999}', b"[" * 5_000, b"x" * 200_000]
    with BridgeProcess(config) as bridge:
        bridge.wait_for("subscribed")
        publisher = Publisher(broker)
        publisher.publish((n, ("bad/r/s/t", body)) for n, body in enumerate(bodies))
        publisher.finish()
        counters = bridge.wait_for("counters", acknowledged=len(bodies))
        assert bridge.stop() == 0
    records = list(consume(target.servers, target.raw))
    assert len(records) == counters["items"] == counters["delivered"]
    assert counters["items"] + counters["empty"] == len(bodies)
    reasons = [dict(record.headers() or []).get("bridge_reason") for record in records]
    assert counters["unreadable"] == sum(reason is not None for reason in reasons) >= 5
    assert {b"", b"{", b"\xff\xfe"} <= {record.value() for record in records}


def test_retained_messages_are_told_apart_and_come_once_in_a_session(
    target: Target, broker: Mosquitto, tmp_path: Path
) -> None:
    topics = [{"template": "kept/{region}/{sensor_id}/{metric}", "adapter": "meridian"}]
    config = write_bridge(tmp_path, target.deployment, broker.port, subscriptions=topics)
    publisher = Publisher(broker)
    publisher.publish(((n, (f"kept/r/s{n}/temperature", reading(n)[1])) for n in range(20)), retain=True)
    publisher.finish()
    for _ in range(2):  # the second start finds its session, and has seen them
        with BridgeProcess(config) as bridge:
            bridge.wait_for("subscribed")
            bridge.wait_for("counters", acknowledged=lambda n: n == 20 or bridge.counters.get("connections") == 1)
            if not target.numbers():
                bridge.wait_for("counters", acknowledged=20)
            assert bridge.stop() == 0
    records = list(consume(target.servers, target.raw))
    assert len(records) == 20
    assert all(dict(record.headers() or [])["mqtt_retained"] == b"true" for record in records)


def test_a_last_will_becomes_the_stations_status(
    stack: Stack, target: Target, broker: Mosquitto, tmp_path: Path
) -> None:
    status_topic = f"{target.raw}.status"
    subscriptions = [
        {"template": "will/{region}/{sensor_id}/status", "kind": "status", "retained": "always"},
        {"template": "will/{region}/{sensor_id}/{metric}", "adapter": "meridian"},
    ]
    config = write_bridge(
        tmp_path, target.deployment, broker.port, subscriptions=subscriptions, status_topic=status_topic
    )
    with BridgeProcess(config) as bridge:
        bridge.wait_for("subscribed")
        station = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        station.will_set("will/north/s1/status", "offline", qos=1, retain=True)
        station.connect("127.0.0.1", broker.port)
        station.loop_start()
        station.publish("will/north/s1/status", "online", qos=1, retain=True).wait_for_publish(10)
        station.loop_stop()
        sock = station.socket()
        assert sock is not None
        sock.close()  # without DISCONNECT: the broker publishes the will
        bridge.wait_for("counters", acknowledged=lambda count: count >= 2)
        assert bridge.stop() == 0
    records = [json.loads(record.value() or b"") for record in consume(stack.bootstrap_servers, status_topic)]
    assert {record["status"] for record in records} == {"online", "offline"}
    assert records[-1]["status"] == "offline"
    assert (records[-1]["sensor_id"], records[-1]["region"]) == ("s1", "north")


def test_bridges_of_a_group_share_the_messages(target: Target, broker: Mosquitto, tmp_path: Path) -> None:
    topics = [{"template": "shared/{region}/{sensor_id}/{metric}", "adapter": "meridian", "share": "pair"}]
    bridges = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        config = write_bridge(tmp_path / name, target.deployment, broker.port, subscriptions=topics)
        bridges.append(BridgeProcess(config))
    with bridges[0] as one, bridges[1] as two:
        one.wait_for("subscribed")
        two.wait_for("subscribed")
        publisher = Publisher(broker)
        publisher.publish((n, (reading(n)[0].replace("site", "shared"), reading(n)[1])) for n in range(2_000))
        publisher.finish()
        wait_for(
            lambda: sum(bridge.counters.get("acknowledged", 0) for bridge in (one, two)) == 2_000,
            30,
            "all acknowledged",
        )
        assert min(bridge.counters["acknowledged"] for bridge in (one, two)) > 200
        assert (one.stop(), two.stop()) == (0, 0)
    assert sorted(target.numbers()) == list(range(2_000))


def test_tls_with_passwords_and_an_acl(target: Target, tmp_path: Path) -> None:
    trusted, foreign = make_certificates(tmp_path / "ca"), make_certificates(tmp_path / "foreign")
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    for user in ("bridge", "station"):
        subprocess.run([find_passwd(), "-b", str(passwords), user, f"secret-of-{user}"], check=True)
    acl = tmp_path / "acl"
    acl.write_text("user bridge\ntopic read site/#\nuser station\ntopic write site/#\n")
    acl.chmod(0o600)
    settings = [
        f"certfile {trusted.certificate}",
        f"keyfile {trusted.key}",
        f"password_file {passwords}",
        f"acl_file {acl}",
        "allow_anonymous false",
    ]
    (tmp_path / "password").write_text("secret-of-bridge\n")
    access = {"username": "bridge", "password_file": str(tmp_path / "password")}
    with Mosquitto(tmp_path / "mosquitto", settings, without=["allow_anonymous true"]) as broker:

        def run(ca: Path, **changes: object) -> BridgeProcess:
            tls = {"tls": {"ca_file": str(ca)}}
            return BridgeProcess(
                write_bridge(tmp_path, target.deployment, broker.port, broker={**access, **tls, **changes})
            )

        with run(foreign.authority) as bridge:
            assert bridge.wait() == 3
            assert "certificate is not trusted" in "".join(bridge.other_lines)
        (tmp_path / "wrong").write_text("wrong")
        with run(trusted.authority, password_file=str(tmp_path / "wrong")) as bridge:
            assert bridge.wait() == 3
            assert "refuses the connection" in "".join(bridge.other_lines)
        with run(trusted.authority) as bridge:
            bridge.wait_for("subscribed")
            station = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
            station.username_pw_set("station", "secret-of-station")
            station.tls_set_context(ssl.create_default_context(cafile=str(trusted.authority)))
            station.connect("127.0.0.1", broker.port)
            station.loop_start()
            for number in range(500):
                station.publish(*reading(number), qos=1)
            bridge.wait_for("counters", acknowledged=500)
            station.loop_stop()
            assert bridge.stop() == 0
            assert "secret" not in json.dumps(bridge.events) + "".join(bridge.other_lines)
    assert sorted(target.numbers()) == list(range(500))


def test_two_bridges_of_one_name_end_with_one_line(target: Target, broker: Mosquitto, tmp_path: Path) -> None:
    config = write_bridge(tmp_path, target.deployment, broker.port)
    with BridgeProcess(config) as first:
        first.wait_for("subscribed")
        other = write_bridge(tmp_path, target.deployment, broker.port, spool={"folder": "other"})
        with BridgeProcess(other) as second:
            wait_for(lambda: not (first.is_alive and second.is_alive), 60, "one gives up")
            ended = second if first.is_alive else first
            assert ended.wait() == 3
            assert "another client" in "".join(ended.other_lines)


def test_a_missing_raw_topic_is_said_at_once(stack: Stack, broker: Mosquitto, tmp_path: Path) -> None:
    deployment = write_deployment(tmp_path / "deployment.yaml", "nowhere")
    with BridgeProcess(write_bridge(tmp_path, deployment, broker.port)) as bridge:
        assert bridge.wait() == 3
        assert "meridian topics create" in "".join(bridge.other_lines)
