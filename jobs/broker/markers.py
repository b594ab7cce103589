"""End markers: control records that move the watermark of every partition and carry no reading."""

from __future__ import annotations

import time

import orjson
from confluent_kafka import Producer

from jobs.broker.clients import UndeliveredRecords, make_producer
from jobs.pipeline.config import Deployment
from udfs.align import CONTROL_CONTENT_TYPE

__all__ = ["UndeliveredRecords", "end_marker", "send_end_markers"]


def end_marker(now_ms: int) -> tuple[bytes, list[tuple[str, str | bytes | None]]]:
    """Value and headers of a marker: event time is now, so all windows that ended well before now are due."""
    value = orjson.dumps({"control": "end-marker", "event_time": now_ms, "meaning": "no reading; moves the watermark"})
    stamp = str(now_ms).encode()
    headers: list[tuple[str, str | bytes | None]] = [
        ("content-type", CONTROL_CONTENT_TYPE.encode()),
        ("ingest_timestamp", stamp),
        ("event_timestamp", stamp),
        ("payload_version", b"1"),
    ]
    return value, headers


def send_end_markers(deployment: Deployment, producer: Producer | None = None) -> int:
    """Send one marker into every partition of the raw topic; sending them again is harmless. Returns how many."""
    producer = producer or make_producer(deployment)
    topic = deployment.topics.raw.name
    partitions = producer.list_topics(topic, timeout=10).topics[topic].partitions
    value, headers = end_marker(time.time_ns() // 1_000_000)
    failures: list[str] = []
    for partition in sorted(partitions):
        producer.produce(
            topic,
            value,
            partition=partition,
            headers=headers,
            on_delivery=lambda error, _: failures.append(str(error)) if error else None,
        )
    left = producer.flush(30)
    if left or failures:
        raise UndeliveredRecords(f"end markers: {failures[0] if failures else f'{left} not acknowledged'}")
    return len(partitions)
