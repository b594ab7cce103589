"""The ways that a probe can take to the raw topic: straight, or through a bridge, as its readings come."""

from __future__ import annotations

import itertools
import ssl
import zlib
from pathlib import Path
from typing import Protocol

import httpx
import paho.mqtt.client as paho
from confluent_kafka import KafkaException, Producer
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from jobs.bridge.mqtt.config import Broker
from jobs.bridge.mqtt.connection import RefusedByBroker, identify
from jobs.broker.clients import client_settings
from jobs.pipeline.config import Deployment
from udfs.probe import Probe

TIMEOUT_S = 10.0


class NotSent(RuntimeError):  # noqa: N818
    """The way is closed just now; one line for a person."""


class Way(Protocol):
    """Takes probes to a partition of the raw topic; each is there, or safe with a bridge, when `send` returns.

    Raises
    ------
    NotSent
    """

    def send(self, probe: Probe, partition: int) -> None: ...

    def close(self) -> None: ...


def key_of(partition: int, partitions: int) -> str:
    """A key that a bridge's record gets into a partition by, see `jobs.bridge.envelope.Message`."""
    keys = (f"probe-{number}" for number in itertools.count())
    return next(key for key in keys if zlib.crc32(key.encode()) % partitions == partition)


class Straight:
    """To Kafka, as a producer of one's own."""

    def __init__(self, deployment: Deployment) -> None:
        self._topic = deployment.topics.raw.name
        self._producer = Producer({**client_settings(deployment), "linger.ms": 0, "enable.idempotence": True})

    def send(self, probe: Probe, partition: int) -> None:
        try:
            headers: list[tuple[str, str | bytes | None]] = [*probe.headers().items()]
            self._producer.produce(self._topic, probe.value(), partition=partition, headers=headers)
            self._producer.flush(TIMEOUT_S)
        except (KafkaException, BufferError) as error:
            raise NotSent(str(error)) from None

    def close(self) -> None:
        self._producer.flush(0)


class Push:
    """By HTTP POST, with the token of a client.

    Parameters
    ----------
    url : of a feed whose adapter is `probe`.
    """

    def __init__(self, url: str, token: str | None) -> None:
        headers = {"content-type": "application/json"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        self._url, self._client = url, httpx.Client(timeout=TIMEOUT_S, headers=headers)

    def send(self, probe: Probe, partition: int) -> None:
        try:
            answer = self._client.post(self._url, content=probe.value())
        except httpx.TransportError as error:
            raise NotSent(f"{self._url}: {error}") from None
        if answer.status_code != 200:
            raise NotSent(f"{self._url}: status {answer.status_code}: {answer.text[:100]}")

    def close(self) -> None:
        self._client.close()


class Mqtt:
    """By the broker of an MQTT bridge, as the user that the bridge is.

    Parameters
    ----------
    topic : of a subscription whose adapter is `probe`.
    folder : that the files of `broker` are relative to.
    """

    def __init__(self, broker: Broker, folder: Path, topic: str) -> None:
        self._topic, self._address = topic, (broker.host, broker.port)
        protocol = MQTTProtocolVersion.MQTTv5 if broker.protocol == "5" else MQTTProtocolVersion.MQTTv311
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        try:
            identify(self._client, broker, folder)
        except RefusedByBroker as refused:
            raise NotSent(str(refused)) from None
        self._is_started = False

    def send(self, probe: Probe, partition: int) -> None:
        try:
            if not self._is_started:
                self._client.connect(*self._address)
                self._client.loop_start()  # connects again, too
                self._is_started = True
            sent = self._client.publish(self._topic, probe.value(), qos=1)
            sent.wait_for_publish(TIMEOUT_S)
        except (OSError, ssl.SSLError, ValueError, RuntimeError) as error:
            raise NotSent(f"MQTT broker: {error}") from None
        if not sent.is_published():
            raise NotSent("the MQTT broker does not acknowledge")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
