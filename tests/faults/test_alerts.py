"""Alerts fire on real faults of a real run, and clear when the fault is over. On demand: they take minutes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from tests.integration.conftest import prometheus as prometheus  # a fixture
from tests.integration.support import (
    ROOT,
    Record,
    Stack,
    envelope,
    meridian,
    produce,
    running_job,
    wait_for,
    wait_until_running,
    write_deployment,
)
from tests.support.prometheus import Prometheus


@contextmanager
def traffic(stack: Stack, name: str, partitions: tuple[int, ...] = (0, 1, 2, 3)) -> Iterator[None]:
    """A reading a second into each of these partitions while the block runs."""
    stop = Event()

    def send() -> None:
        while not stop.wait(1.0):
            now_ms = time.time_ns() // 1_000_000
            produce(stack, f"{name}.raw", [envelope(f"s{partition}", now_ms, partition) for partition in partitions])

    thread = Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def probes(deployment: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.cli.main", "probe", "--config", deployment, "--every", "5s"], cwd=ROOT
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def unknown_crs(number: int) -> list[Record]:
    now_ms = time.time_ns() // 1_000_000
    crs = "EPSG:999999"
    sent = [envelope(f"broken{i}", now_ms, i % 4, crs=crs) for i in range(number)]
    return [
        record._replace(headers=(*(h for h in record.headers if h[0] != "crs_source"), ("crs_source", crs)))
        for record in sent
    ]


def test_crs_failures_and_missing_probes_fire_and_clear(stack: Stack, prometheus: Prometheus, tmp_path: Path) -> None:
    deployment, job = write_deployment(tmp_path / "alerts.yaml", "alerts"), {"job_name": "meridian-alerts"}
    with running_job(deployment) as job_id, traffic(stack, "alerts"), probes(deployment):
        wait_until_running(stack, job_id)
        wait_for(lambda: prometheus.numbers('job:aligned_readings:rate1m{job_name="meridian-alerts"} > 0'), 90, "flow")
        wait_for(lambda: not prometheus.firing(deployment="alerts"), 120, "probes arrive")

        produce(stack, "alerts.raw", unknown_crs(200))
        wait_for(lambda: "CrsFailures" in prometheus.firing(**job), 60, "the alert of CRS failures fires")
        wait_for(lambda: "CrsFailures" not in prometheus.firing(**job), 120, "and clears")

        meridian("cancel", "--config", deployment)
        wait_for(lambda: "ProbeMissing" in prometheus.firing(deployment="alerts"), 60, "the alert of probes fires")
        meridian("submit", "--config", deployment, "--repeat")
        wait_for(lambda: "ProbeMissing" not in prometheus.firing(deployment="alerts"), 180, "and clears")


def test_a_silent_partition_fires_and_clears(stack: Stack, prometheus: Prometheus, tmp_path: Path) -> None:
    deployment, job = write_deployment(tmp_path / "silent.yaml", "silent"), {"job_name": "meridian-silent"}
    with running_job(deployment) as job_id:
        wait_until_running(stack, job_id)
        with traffic(stack, "silent"):
            wait_for(
                lambda: prometheus.numbers('job:consumed_records:rate1m{job_name="meridian-silent"} > 0'), 90, "flow"
            )
        with traffic(stack, "silent", (0, 1, 2)):
            wait_for(lambda: prometheus.firing(**job, partition="3") == {"PartitionIdle"}, 480, "the alert fires")
        with traffic(stack, "silent"):
            wait_for(lambda: not prometheus.firing(**job, partition="3"), 60, "and clears")
