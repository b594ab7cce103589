"""Medians by stream, of what is fresh and enough."""

from __future__ import annotations

import json

from jobs.broker.topic_records import TopicRecord
from jobs.scaling.figures import FRESH_MS, LEAST_READINGS, medians_ms

NOW_MS = 1_800_000_000_000


def aligned(stream: str, latency_ms: int, written_ms: int = NOW_MS - 1_000) -> TopicRecord:
    reading = {"stream": stream, "append_time_ms": written_ms - latency_ms}
    return TopicRecord("telemetry.aligned", 0, 0, written_ms, json.dumps(reading).encode(), {})


def test_each_stream_has_its_own_median() -> None:
    records = [aligned("weather", ms) for ms in range(100, 121)] + [aligned("rivers", 5_000)] * LEAST_READINGS
    assert medians_ms(records, NOW_MS) == {"weather": 110.0, "rivers": 5_000.0}


def test_what_is_old_or_too_little_says_nothing() -> None:
    old = [aligned("weather", 100, NOW_MS - FRESH_MS - 1)] * 50
    few = [aligned("rivers", 100)] * (LEAST_READINGS - 1)
    assert medians_ms(old + few, NOW_MS) == {}
