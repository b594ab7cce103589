"""`meridian plan disorder` over a real raw topic: what the broker's partitions hold is what it measures."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.integration.support import Record, Stack, envelope, meridian, produce, write_deployment


def test_disorder_is_that_of_the_topic_and_implausible_times_count_for_nothing(stack: Stack, tmp_path: Path) -> None:
    config = write_deployment(tmp_path / "deployment.yaml", "plan-disorder")
    meridian("topics", "create", "--config", config)
    now_ms = time.time_ns() // 1_000_000
    in_order = [envelope(f"s-{i}", now_ms - 120_000 + i * 100, partition=i % 2) for i in range(1_000)]
    behind = [envelope("s-late", now_ms - 120_000 + 99_900 - 40_000, partition=1) for _ in range(20)]
    forged = [envelope("s-forged", now_ms + 86_400_000, partition=0), Record(b"no reading", partition=1)]
    produce(stack, "plan-disorder.raw", [*in_order[:500], *forged, *in_order[500:], *behind])
    found = json.loads(meridian("plan", "disorder", "--config", config, "--json").stdout)
    assert (found["readings"], found["in_order"], found["max_ms"], found["p99_ms"]) == (1_020, 1_000, 40_000, 40_000)
    assert found["out_of_orderness_ms"] == 120_000
    newest = json.loads(meridian("plan", "disorder", "--config", config, "--last", "100", "--json").stdout)
    assert (newest["readings"], newest["in_order"]) == (50, 30)  # 25 offsets of each partition; two are empty
