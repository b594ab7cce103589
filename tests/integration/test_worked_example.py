"""The worked example of the documentation on the real engine: an outage of two hours and what becomes of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tests.integration.support import (
    TOPICS,
    Stack,
    audit,
    committed,
    envelope,
    failures,
    produce,
    running_job,
    wait_for,
    write_deployment,
)

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
DAY = int(dt.datetime(2014, 7, 1, tzinfo=dt.UTC).timestamp() * 1_000)


def at(hour: int, minute: int, second: int = 0) -> int:
    return DAY + hour * HOUR + minute * MINUTE + second * SECOND


def test_of_720_buffered_readings_714_are_late_and_6_are_in_the_open_window(stack: Stack, tmp_path: Path) -> None:
    """A sensor is cut off in [08:46, 10:46); another one moves the watermark to 10:46:00 - 30 s - 1 ms."""
    stream = {
        "name": "weather", "metrics": ["air_temperature"], "unit": "degC", "max_age": "20000 d",
        "windows": [{"name": "5min", "size": "5 min"}],
    }  # fmt: skip
    deployment = write_deployment(
        tmp_path / "d.yaml",
        "worked-example",
        parallelism=1,
        topics={topic: {"name": f"worked-example.{topic}", "partitions": 1} for topic in TOPICS},
        time={"out_of_orderness": "30 s", "watermarks": "on-event", "floor": "2014-01-01"},
        position={},
        streams=[stream],
    )
    raw, windows, late = (f"worked-example.{topic}" for topic in ("raw", "windows", "late_events"))
    before = [envelope(s, ms) for ms in range(at(8, 0), at(8, 46), 10 * SECOND) for s in ("steady", "cut-off")]
    meanwhile = [envelope("steady", ms) for ms in range(at(8, 46), at(10, 46) + 1, 10 * SECOND)]
    flushed = [envelope("cut-off", ms) for ms in range(at(8, 46), at(10, 46), 10 * SECOND)]
    afterwards = [envelope("steady", ms) for ms in range(at(10, 46, 10), at(11, 0), 10 * SECOND)]
    assert len(flushed) == 720

    with running_job(deployment) as job_id:
        produce(stack, raw, before + meanwhile)
        # Not in one go: readings of one batch are judged by the watermark before it.
        wait_for(
            lambda: [
                w for w in committed(stack, windows) if (w["key"], w["window_start_ms"]) == ("steady", at(10, 40))
            ],
            120,
            "the watermark has passed 10:45",
        )
        produce(stack, raw, flushed + afterwards)
        wait_for(
            lambda: [
                w for w in committed(stack, windows) if (w["key"], w["window_start_ms"]) == ("cut-off", at(10, 45))
            ],
            60,
            "the window that was open at the flush has closed",
        )
        letters = committed(stack, late)
        results = [w for w in committed(stack, windows) if w["key"] == "cut-off"]
        verdict = audit(deployment)
        assert failures(stack, job_id) == []

    assert len(letters) == 714
    assert {letter["event_time_ms"] for letter in letters} == set(range(at(8, 46), at(10, 45), 10 * SECOND))
    assert {letter["watermark_ms"] for letter in letters} == {at(10, 45, 30) - 1}
    assert all(letter["lateness_ms"] == letter["watermark_ms"] - letter["event_time_ms"] for letter in letters)
    assert {letter["reason"] for letter in letters} == {"late"}

    counts = {w["window_start_ms"]: w["count"] for w in results}
    full = dict.fromkeys(range(at(8, 0), at(8, 45), 5 * MINUTE), 30)
    assert counts == full | {at(8, 45): 6, at(10, 45): 6}
    assert {(w["revision"], w["timing"]) for w in results} == {(1, "on_time")}

    total = len(before + meanwhile + flushed + afterwards)
    assert {name: verdict[name] for name in ("aligned", "late", "windowed", "duplicates", "invalid")} == {
        "aligned": total, "late": 714, "windowed": total - 714, "duplicates": 0, "invalid": 0,
    }  # fmt: skip
