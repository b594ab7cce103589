"""The summaries job on aligned readings that come twice, through a savepoint and a killed TaskManager."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.support import (
    TOPICS,
    Record,
    Stack,
    committed,
    failures,
    members,
    meridian,
    produce,
    wait_for,
    wait_until_running,
    write_deployment,
)

pytestmark = pytest.mark.extended

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
START = 1_733_011_200_000  # 2024-12-01T00:00Z
STEP = 5 * MINUTE
SENSORS = ("s0", "s1", "s2", "s3")  # the even ones in partition 0
PACEMAKERS = ("p0", "p1")  # move the watermark of their partition, and nothing else
REGION = "grampian"


class Reading(NamedTuple):
    sensor: str
    time_ms: int

    @property
    def record(self) -> Record:
        """As the align job would have written it."""
        number, partition = self.time_ms // MINUTE, int(self.sensor[1:]) % 2
        fields = {
            "event_id": f"{self.sensor}-{self.time_ms}", "sensor_id": self.sensor, "stream": "weather",
            "region": REGION if self.sensor in SENSORS else "nowhere", "cell": self.sensor,
            "metric": "air_temperature", "value": float(number % 50), "unit": "degC",
            "event_time_ms": self.time_ms, "append_time_ms": self.time_ms, "lon_deg": -2.1, "lat_deg": 57.15,
            "topic": "raw", "partition": partition, "offset": number,
        }  # fmt: skip
        return Record(json.dumps(fields).encode(), self.sensor.encode(), partition)


def readings(first_hour: int, end_hour: int) -> list[Reading]:
    times = range(START + first_hour * HOUR, START + end_hour * HOUR, STEP)
    return [Reading(sensor, time_ms) for time_ms in times for sensor in SENSORS]


LATE = Reading("s0", START + MINUTE)  # when five hours have been read


def with_late(summary: str) -> dict[tuple[str, str, int, int], list[int]]:
    """What the late reading changes: its day, and of the day so far what had not been published."""
    ends_of = {"local_days": [24], "day_so_far": range(5, 25)}.get(summary, [])
    return {("sensor", "s0", 0, h * HOUR): [min(h, 9) * HOUR // STEP + 1] for h in ends_of}


def deployment_file(folder: Path, name: str, **changes: Any) -> Path:
    return write_deployment(
        folder / f"{name}.yaml",
        name,
        parallelism=2,
        topics={topic: {"name": f"{name}.{topic}", "partitions": 2} for topic in TOPICS},
        time={"out_of_orderness": "30 s", "floor": "2024-01-01", "idle_after": "1 h"},
        summaries={"topic_prefix": f"{name}."},
        **changes,
    )


def submit(deployment: Path, *options: str) -> str:
    return str(json.loads(meridian("summaries", "submit", "--config", deployment, "--json", *options).stdout)["job_id"])


@contextmanager
def running_summaries(stack: Stack, deployment: Path) -> Iterator[str]:
    meridian("topics", "create", "--config", deployment)
    job_id = submit(deployment)
    try:
        wait_until_running(stack, job_id)
        yield job_id
    finally:
        meridian("summaries", "cancel", "--config", deployment, check=False)


def send(stack: Stack, name: str, some: Iterable[Reading]) -> None:
    produce(stack, f"{name}.aligned", [reading.record for reading in some])


def published(stack: Stack, name: str, summary: str) -> dict[tuple[str, str, int, int], list[int]]:
    """The counts that were published of each key and window, one after the other."""
    found: dict[tuple[str, str, int, int], list[int]] = {}
    for row in committed(stack, f"{name}.summaries.{summary}"):
        if row["key"] not in (*PACEMAKERS, "nowhere"):
            key = (row["key_kind"], row["key"], (row["window_start_ms"] - START), (row["window_end_ms"] - START))
            found.setdefault(key, []).append(row["count"])
    return found


def wait_for_hour(stack: Stack, name: str, end_hour: int) -> None:
    """Until the hour that ends then has been published for every sensor."""
    key = [("sensor", sensor, (end_hour - 1) * HOUR, end_hour * HOUR) for sensor in SENSORS]
    wait_for(lambda: set(key) <= published(stack, name, "hourly").keys(), 120, f"hour {end_hour} is published")


def expected(summary: str, hours: int) -> dict[tuple[str, str, int, int], list[int]]:
    """What once-only readings of the first `hours` give: each window once."""
    times = range(0, hours * HOUR, STEP)

    def count(start: int, end: int) -> int:
        return sum(start <= t < end for t in times)

    by_sensor = {
        "hourly": [(h * HOUR, (h + 1) * HOUR) for h in range(hours)],
        "sliding": [(q * 15 * MINUTE, q * 15 * MINUTE + HOUR) for q in range(-3, hours * 4)],
        "sessions": [(0, hours * HOUR - STEP + 30 * MINUTE)],
        "local_days": [(0, DAY)],
        "day_so_far": [(0, h * HOUR) for h in range(1, 25)],
        "areas": [],
    }[summary]
    found = {("sensor", s, start, end): [count(start, end)] for s in SENSORS for start, end in by_sensor}
    if summary == "areas":
        for h in range(hours):
            start, end = h * HOUR, (h + 1) * HOUR
            found[("region", REGION, start, end)] = [count(start, end) * len(SENSORS)]
            found |= {("cell", sensor, start, end): [count(start, end)] for sensor in SENSORS}
    return found


def test_a_savepoint_a_killed_taskmanager_and_repeats_lose_and_double_nothing(stack: Stack, tmp_path: Path) -> None:
    name = "sql-restore"
    deployment = deployment_file(tmp_path, name)
    with running_summaries(stack, deployment):
        send(stack, name, readings(0, 4))
        wait_for_hour(stack, name, 3)
        send(stack, name, readings(4, 5))  # every sensor meets the watermark of the hours before
        wait_for_hour(stack, name, 4)
        savepoint = meridian("summaries", "cancel", "--config", deployment, "--savepoint").stdout.strip()
        # Repeats around the savepoint; and before them one that is late by the watermark of before the savepoint.
        send(stack, name, [LATE, *readings(1, 2), *readings(5, 6), *readings(3, 5)])
        job_id = submit(deployment, "--from-savepoint", savepoint)
        wait_until_running(stack, job_id)
        assert stack.rest.get(f"/jobs/{job_id}/checkpoints")["latest"]["restored"]["is_savepoint"]
        wait_for_hour(stack, name, 5)

        send(stack, name, readings(6, 7))
        members(stack, "TaskManagerRunner")[0].send_signal(signal.SIGKILL)
        send(stack, name, [*readings(7, 9), *readings(2, 8)])
        wait_for(lambda: failures(stack, job_id), 90, "the job notices")
        send(stack, name, [Reading(pacemaker, START + 3 * DAY) for pacemaker in PACEMAKERS])

        for summary in ("hourly", "sliding", "sessions", "local_days", "day_so_far", "areas"):
            truth = expected(summary, hours=9) | with_late(summary)
            wait_for(lambda: published(stack, name, summary).keys() >= truth.keys(), 150, f"{summary} are complete")  # noqa: B023
            assert published(stack, name, summary) == truth, summary
        letters = committed(stack, f"{name}.dlq.late_summaries")
        assert {letter["event_id"] for letter in letters} == {f"s0-{LATE.time_ms}"}
        assert sorted(letter["definition"] for letter in letters) == ["areas", "hourly", "sessions", "sliding"]

    refused = meridian("summaries", "submit", "--config", deployment, "--from-savepoint", savepoint, check=False)
    assert refused.returncode == 2
    assert "is older than" in refused.stderr


def test_a_repeat_comes_through_once_its_id_is_forgotten(stack: Stack, tmp_path: Path) -> None:
    name = "sql-ttl"
    deployment = deployment_file(tmp_path, name, dedup={"ttl": "3 s", "bucket": "1 s"})
    with running_summaries(stack, deployment) as job_id:
        reading = Reading("s0", START)
        send(stack, name, [reading, reading])
        # The sources run: the first readings have been taken when a checkpoint has passed them.
        done = stack.rest.completed_checkpoints(job_id)
        wait_for(lambda: stack.rest.completed_checkpoints(job_id) >= done + 2, 90, "the readings have been taken")
        taken_s = time.monotonic()
        wait_for(lambda: time.monotonic() > taken_s + 3.5, 10, "the id is forgotten")
        send(stack, name, [reading, reading, *(Reading(pacemaker, START + 3 * DAY) for pacemaker in PACEMAKERS)])
        wait_for(lambda: published(stack, name, "hourly"), 90, "the hour is published")
        assert Counter(map(tuple, published(stack, name, "hourly").values())) == {(2,): 1}
