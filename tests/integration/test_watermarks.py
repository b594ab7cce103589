"""What moves the watermark of the whole job and what does not, seen in its output topics."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.integration.support import (
    TOPICS,
    Stack,
    audit,
    committed,
    envelope,
    produce,
    running_job,
    wait_for,
    write_deployment,
)

SECOND, MINUTE, DAY = 1_000, 60_000, 86_400_000
START = time.time_ns() // 1_000_000 // DAY * DAY - 2 * DAY  # midnight, two days ago


def deployment_of(folder: Path, name: str, partitions: int, idle_after: str) -> Path:
    stream = {
        "name": "weather", "metrics": ["air_temperature"], "unit": "degC",
        "windows": [{"name": "1min", "size": "1 min"}],
    }  # fmt: skip
    return write_deployment(
        folder / f"{name}.yaml",
        name,
        parallelism=1,
        topics={topic: {"name": f"{name}.{topic}", "partitions": partitions} for topic in TOPICS},
        time={"out_of_orderness": "0 s", "watermarks": "on-event", "idle_after": idle_after},
        position={},
        streams=[stream],
    )


def windows_of(stack: Stack, name: str) -> dict[tuple[str, int], Any]:
    """Final rows by key and minute."""
    records = committed(stack, f"{name}.windows")
    return {(w["key"], (w["window_start_ms"] - START) // MINUTE): w["count"] for w in records}


def test_with_skewed_partitions_nothing_of_the_slower_one_is_late(stack: Stack, tmp_path: Path) -> None:
    deployment = deployment_of(tmp_path, "skewed", partitions=2, idle_after="10 min")
    fast = [envelope("fast", START + minute * MINUTE, 0) for minute in range(120)]
    slow = [envelope("slow", START + second * SECOND, 1) for second in range(0, 300, 10)]
    with running_job(deployment):
        produce(stack, "skewed.raw", fast)
        wait_for(lambda: len(committed(stack, "skewed.aligned")) == len(fast), 120, "the fast partition has been read")
        assert windows_of(stack, "skewed") == {}
        produce(stack, "skewed.raw", slow)
        wait_for(lambda: ("slow", 3) in windows_of(stack, "skewed"), 60, "the slower partition moves the watermark")
        assert committed(stack, "skewed.late_events") == []
        # The watermark is the slower partition's: 4:50 minus 1 ms.
        assert windows_of(stack, "skewed") == {("fast", m): 1 for m in range(4)} | {("slow", m): 6 for m in range(4)}
        assert audit(deployment)["late"] == 0


def test_an_idle_partition_does_not_hold_the_watermark(stack: Stack, tmp_path: Path) -> None:
    deployment = deployment_of(tmp_path, "idle", partitions=2, idle_after="1 s")
    with running_job(deployment):
        produce(stack, "idle.raw", [envelope("alone", START + second * SECOND, 0) for second in range(0, 300, 10)])
        wait_for(lambda: ("alone", 3) in windows_of(stack, "idle"), 120, "windows close without the idle partition")
        produce(stack, "idle.raw", [envelope("awake", START, 1)])
        letter = wait_for(lambda: committed(stack, "idle.late_events"), 60, "the idle partition awakes too late")
        assert [(x["sensor_id"], x["watermark_ms"]) for x in letter] == [("awake", START + 290 * SECOND - 1)]
        assert audit(deployment)["late"] == 1


def test_a_refused_time_never_moves_the_watermark(stack: Stack, tmp_path: Path) -> None:
    deployment = deployment_of(tmp_path, "refused-time", partitions=1, idle_after="10 min")
    far_ms = time.time_ns() // 1_000_000 + DAY
    refused = {
        "in_future": [envelope("clock", far_ms), envelope("clock", far_ms)._replace(headers=())],
        "before_floor": [envelope("clock", 0)],
        "too_old": [envelope("clock", START - 400 * DAY)],
        "unreadable_time": [envelope("clock", START, event_time="yesterday")._replace(headers=())],
        "broken_header": [envelope("clock", START)._replace(headers=(("event_timestamp", "yesterday"),))],
    }
    records = [record for records in refused.values() for record in records]
    with running_job(deployment):
        produce(stack, "refused-time.raw", [envelope("good", START), *records])
        expected = sorted(reason for reason, found in refused.items() for _ in found)

        def reasons() -> list[str]:
            return sorted(letter["reason"] for letter in committed(stack, "refused-time.invalid_events"))

        wait_for(lambda: len(reasons()) == len(expected), 120, "the refused are published")
        assert reasons() == expected
        produce(stack, "refused-time.raw", [envelope("good", START + second * SECOND) for second in (10, 20, 61)])
        wait_for(lambda: windows_of(stack, "refused-time"), 60, "the first window closes")
        assert windows_of(stack, "refused-time") == {("good", 0): 3}
        assert committed(stack, "refused-time.late_events") == []
        assert audit(deployment)["late"] == 0
