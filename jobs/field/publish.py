"""The field's senders: each goes on until everything of its plan has been acknowledged, or the clock is stopped."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any, Final

import httpx
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from jobs.cli.local.ports import HOST
from jobs.field.clock import FieldClock
from jobs.field.plan import Reading
from jobs.field.shapes import mqtt_topic, sensor_reading, traceparent

_WINDOW: Final = 500  # messages without a PUBACK
_PATIENCE_S: Final = 60.0
_BATCH: Final = 500
_BATCH_EVERY_S: Final = 0.25
_POST_AGAIN_EVERY: Final = 25  # batches that are sent again as if the answer had been lost


class SenderFailed(RuntimeError):  # noqa: N818
    """A sender cannot go on; one line for a person."""


def publish_mqtt(readings: Sequence[Reading], clock: FieldClock, port: int) -> int:
    """Publish with QoS 1; how many messages were acknowledged.

    Raises
    ------
    SenderFailed : the broker acknowledges nothing for a minute.
    """
    window, acknowledged = threading.Semaphore(_WINDOW), 0

    def on_publish(*_: Any) -> None:
        nonlocal acknowledged
        acknowledged += 1
        window.release()

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.max_inflight_messages_set(_WINDOW)
    client.on_publish = on_publish
    client.connect(HOST, port)
    client.loop_start()
    sent = 0
    try:
        for reading in readings:
            if not clock.wait_until(reading.due_ms):
                break
            for _ in range(1 + reading.is_repeated):
                if not window.acquire(timeout=_PATIENCE_S):
                    raise SenderFailed("the MQTT broker does not acknowledge")
                properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
                properties.UserProperty = [("traceparent", traceparent(reading, clock.begin_ms))]
                body = sensor_reading(reading, clock.begin_ms, whole=False)
                client.publish(mqtt_topic(reading), body, qos=1, properties=properties)
                sent += 1
        _await(lambda: acknowledged == sent, "the MQTT broker does not acknowledge")
    finally:
        client.disconnect()
        client.loop_stop()
    return acknowledged


def push_http(readings: Sequence[Reading], clock: FieldClock, url: str) -> int:
    """Post gzipped batches of lines, each until it is answered with 200; how many batches were.

    Raises
    ------
    SenderFailed : a batch is refused for what it is, or not taken for a minute.
    """
    headers = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
    batches = 0
    with httpx.Client(timeout=30, headers=headers) as client:
        for batch in _batches(readings, clock):
            lines = [sensor_reading(r, clock.begin_ms, whole=True) for r in batch for _ in range(1 + r.is_repeated)]
            body = gzip.compress(b"\n".join(lines), 1)
            batches += 1
            for _ in range(2 if batches % _POST_AGAIN_EVERY == 0 else 1):
                _post(client, url, body, clock)
    return batches


def _batches(readings: Sequence[Reading], clock: FieldClock) -> Iterator[list[Reading]]:
    at = 0
    while at < len(readings) and clock.wait_until(readings[at].due_ms):
        clock.stopped.wait(_BATCH_EVERY_S)
        now_ms = clock.now_ms()
        batch = list(takewhile(lambda r: r.due_ms <= now_ms, readings[at : at + _BATCH]))  # noqa: B023 - used at once
        yield batch
        at += len(batch)


def _post(client: httpx.Client, url: str, body: bytes, clock: FieldClock) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not clock.stopped.is_set():
        problem, wait_s = "", 1.0
        try:
            answer = client.post(url, content=body)
        except httpx.TransportError as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            if answer.status_code == 200:
                return
            problem = f"status {answer.status_code}: {answer.text[:100]}"
            if answer.status_code not in (408, 429, 503):
                raise SenderFailed(f"the push endpoint refuses a batch: {problem}")
            wait_s = float(answer.headers.get("retry-after", "1"))
        if time.monotonic() > deadline_s:
            raise SenderFailed(f"the push endpoint does not take a batch: {problem}")
        clock.stopped.wait(wait_s)


def _await(condition: Any, problem: str) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise SenderFailed(problem)
        time.sleep(0.02)
