"""Latency of the job on the local stack at fixed rates: from when a reading was due to when a reader may see it.

One job per delivery guarantee takes all rates, the lowest first; each rate begins with a warm-up that is not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.broker_io import create_topics, delete_topics
from benchmarks.latency_reader import LatencyReader
from benchmarks.latency_stages import Pace, ReadingTimes, WindowTimes, curve, pace, summary, table
from benchmarks.measure import cpu_seconds, descendants, flink_processes
from jobs.broker.topics import topic_specs
from jobs.cli.stack import Endpoints
from jobs.cluster.rest import TERMINAL_STATES, FlinkRest
from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import load_deployment

CONFIG = Path(__file__).resolve().parent / "deployments" / "latency.yaml"
_ROOT = CONFIG.parents[2]
DELIVERIES = ("at-least-once", "exactly-once")
GOAL_RATE = 10_000
GOAL_MS = 500
_GRACE_S = 20.0  # after the last reading was due, and two checkpoint intervals
_SILENT_S = 10.0
_SETTLE_MS = 3_000
_COMMANDS_TIMEOUT_S = 180


class LatencyFailed(RuntimeError):  # noqa: N818
    """The job, the sender or a command did not do its part."""


@dataclass(frozen=True)
class Load:
    """What is offered: one reading per sensor and second unless `sensors` says otherwise."""

    rate: int
    sensors: int
    warmup_s: float
    seconds: float


class Cpu(NamedTuple):
    """CPU seconds at a time: Flink's, those of all that takes part, the whole machine's."""

    at_s: float
    flink_s: float
    ours_s: float
    machine_s: float

    def since(self, earlier: Cpu) -> Cpu:
        return Cpu(*(now - then for now, then in zip(self, earlier, strict=True)))

    def percent(self, cpu_s: float) -> float:
        """A share of all cores."""
        return round(100.0 * cpu_s / (self.at_s * (psutil.cpu_count() or 1)), 1)


class Processes(NamedTuple):
    """Flink's processes, and all that take part: broker, sender and reader, too."""

    flink: list[psutil.Process]
    ours: list[psutil.Process]

    def cpu(self) -> Cpu:
        """CPU seconds so far; quick, since the reader waits meanwhile."""
        times = psutil.cpu_times()
        machine = sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
        return Cpu(time.monotonic(), cpu_seconds(self.flink), cpu_seconds(self.ours), machine)


class Job(NamedTuple):
    """The job under test."""

    id: str
    rest: FlinkRest
    endpoints: Endpoints
    deployment: Deployment
    checkpoint_interval_ms: int

    def check(self) -> None:
        state = self.rest.state(self.id)
        if state in TERMINAL_STATES:
            raise LatencyFailed(f"the job is {state}: {self.rest.root_cause(self.id)}")

    def processes(self) -> Processes:
        """All that takes part, as of now; looking for them takes a while."""
        supervisor = int((self.endpoints.stack_dir / "supervisord.pid").read_text())
        return Processes(
            descendants(flink_processes(str(self.endpoints.stack_dir))),
            descendants([psutil.Process(supervisor), psutil.Process()]),
        )


def run(endpoints: Endpoints, delivery: str, loads: list[Load], say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """A row per rate, the lowest first; what is above a rate that falls behind is left out.

    Raises
    ------
    LatencyFailed, ClusterError, KafkaException, Undelivered : it cannot be measured.
    """
    with _submitted(endpoints, delivery) as job:
        topics = job.deployment.topics
        reader = LatencyReader(
            endpoints.bootstrap_servers, topics.aligned.name, topics.windows.name, topics.aligned.partitions
        )
        try:
            for load in sorted(loads, key=lambda load: load.rate):
                say(f"{delivery}: {load.rate:,}/s of {load.sensors:,} sensors, {load.warmup_s:g} + {load.seconds:g} s")
                row = _measure(job, reader, load, delivery)
                yield row
                if row["falls_behind"]:
                    return
        finally:
            reader.close()


def _measure(job: Job, reader: LatencyReader, load: Load, delivery: str) -> dict[str, Any]:
    sender = _start_sender(job, load)
    try:
        announced = _line(sender)
        start_ms = announced["start_ms"] + round(load.warmup_s * 1_000)
        end_ms = start_ms + round(load.seconds * 1_000)
        _read_until(job, reader, start_ms - _SETTLE_MS, lambda: False)
        processes = job.processes()
        _read_until(job, reader, start_ms, lambda: False)
        before = processes.cpu()
        _read_until(job, reader, end_ms, lambda: False)
        cpu = processes.cpu().since(before)
        last_ms = end_ms + 2 * job.checkpoint_interval_ms + round(_GRACE_S * 1_000)
        _read_until(job, reader, last_ms, lambda: reader.readings_seen >= announced["count"])
        if sender.poll():
            raise LatencyFailed(f"the sender failed: {sender.stderr.read()[-1_000:] if sender.stderr else ''}")
    finally:
        sender.kill()
        sender.wait()
    # Results of the last windows come with the watermark of the last readings.
    _read_until(job, reader, time.time_ns() // 1_000_000 + job.checkpoint_interval_ms + 2_000, lambda: False)
    readings, windows = reader.take()
    found = pace(readings, start_ms, end_ms, round(load.rate * load.seconds))
    measured = readings.between(start_ms, end_ms)
    closed = windows.between(start_ms, end_ms - job.deployment.time.out_of_orderness)
    return _row(job, load, delivery, found, measured, closed) | {
        "cpu_s_per_million": round(cpu.flink_s * 1e6 / max(1.0, found.visible_per_s * load.seconds), 1),
        "busy_percent": cpu.percent(cpu.machine_s),
        "other_work_percent": cpu.percent(cpu.machine_s - cpu.ours_s),
    }


def _row(
    job: Job, load: Load, delivery: str, found: Pace, readings: ReadingTimes, windows: WindowTimes
) -> dict[str, Any]:
    """A run that falls behind has no percentiles: they would grow with its length."""
    goal_ms = GOAL_MS + (job.checkpoint_interval_ms if delivery == "exactly-once" else 0)
    stages = readings.stages()
    sent_late = summary(stages["due to sent"])
    window_stages = windows.stages(job.deployment.time.out_of_orderness)
    row: dict[str, Any] = {
        "rate": load.rate,
        "delivery": delivery,
        "profile": job.endpoints.profile,
        "sensors": load.sensors,
        "seconds": load.seconds,
        "checkpoint_interval_ms": job.checkpoint_interval_ms,
        "visible_per_s": round(found.visible_per_s),
        "unseen": found.unseen,
        "sender_behind_ms": sent_late["p99"],
        "growth_ms_per_s": round(found.growth_ms_per_s, 1),
        "falls_behind": found.falls_behind,
        "stages": None if found.falls_behind else table(stages),
        "windows": None if found.falls_behind else table(window_stages),
        "curve": None if found.falls_behind else curve(stages["due to visible"]),
        "goal_ms": goal_ms if load.rate == GOAL_RATE else None,
        "met": None,
    }
    if row["goal_ms"] is not None:
        row["met"] = not found.falls_behind and row["stages"]["due to visible"]["p99"] <= goal_ms
    return row


def _read_until(job: Job, reader: LatencyReader, deadline_ms: int, done: Callable[[], bool]) -> None:
    seen, heard_s = reader.readings_seen, time.monotonic()
    while time.time_ns() // 1_000_000 < deadline_ms and not done():
        reader.poll(0.1)
        if reader.readings_seen > seen:
            seen, heard_s = reader.readings_seen, time.monotonic()
        elif time.monotonic() - heard_s > _SILENT_S:
            job.check()  # only now: asking takes time in which nothing is read
            heard_s = time.monotonic()


def _start_sender(job: Job, load: Load) -> subprocess.Popen[str]:
    """A process of its own: what reads must not slow down what sends."""
    raw = job.deployment.topics.raw
    command = [sys.executable, "-m", "benchmarks.paced", "--bootstrap", job.endpoints.bootstrap_servers]
    command += ["--topic", raw.name, "--partitions", str(raw.partitions)]
    command += ["--rate", str(load.rate), "--sensors", str(load.sensors)]
    command += ["--seconds", str(load.warmup_s + load.seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=_ROOT)


def _line(sender: subprocess.Popen[str]) -> dict[str, Any]:
    assert sender.stdout is not None
    line = sender.stdout.readline()
    if not line:
        raise LatencyFailed(f"the sender failed: {sender.stderr.read()[-1_000:] if sender.stderr else ''}")
    return json.loads(line)  # type: ignore[no-any-return]


@contextmanager
def _submitted(endpoints: Endpoints, delivery: str) -> Iterator[Job]:
    """The job on fresh topics, cancelled at the end."""
    environment = {**os.environ, "MERIDIAN_KAFKA": endpoints.bootstrap_servers, "LATENCY_DELIVERY": delivery}
    environment["MERIDIAN_STACK_DIR"] = str(endpoints.stack_dir)
    deployment = load_deployment(CONFIG, environment)
    specs = topic_specs(deployment)
    names = [spec.name for spec in specs]
    delete_topics(endpoints.bootstrap_servers, names)
    for spec in specs:
        # Stamped by the broker: that is when a record was written, whatever its producer says.
        configs = spec.configs | {"message.timestamp.type": "LogAppendTime"}
        create_topics(endpoints.bootstrap_servers, [spec.name], spec.partitions, configs)
    rest = FlinkRest(endpoints.rest_url)
    job_id = _submit(environment)
    try:
        rest.wait(lambda: rest.completed_checkpoints(job_id) > 0, _COMMANDS_TIMEOUT_S, "first checkpoint")
        interval_ms = rest.get(f"/jobs/{job_id}/checkpoints/config")["interval"]
        yield Job(job_id, rest, endpoints, deployment, interval_ms)
    finally:
        if rest.state(job_id) not in TERMINAL_STATES:
            rest.cancel(job_id)
            rest.wait(lambda: rest.state(job_id) in TERMINAL_STATES, _COMMANDS_TIMEOUT_S, f"end of job {job_id}")
        delete_topics(endpoints.bootstrap_servers, names)


def _submit(environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "jobs.cli.main", "submit", "--config", str(CONFIG), "--repeat", "--json"]
    done = subprocess.run(command, env=environment, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LatencyFailed(done.stderr.strip().removeprefix("error: ")[-1_000:])
    return str(json.loads(done.stdout)["job_id"])
