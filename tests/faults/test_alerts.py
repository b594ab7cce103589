"""Each alert fires on a real fault of a real run, and clears when the fault is over. On demand: they take minutes.

Times of the rules are a fifth of what they are (`tests/support/quick_rules.py`): ranges, offsets, `for`, ages of five
minutes. docs/metrics.md says which alert is shown by which fault. `TransactionLost` is in `test_job_limits.py`.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

import pytest

from tests.integration.conftest import prometheus as prometheus  # a fixture
from tests.integration.support import (
    Record,
    Stack,
    envelope,
    members,
    meridian,
    meridian_running,
    produce,
    running_job,
    wait_for,
    wait_until_running,
    write_deployment,
)
from tests.support.faults.processes import BROKER, no_checkpoints, stopped
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.mqtt_bridge import BridgeProcess, Publisher, Steady, reading, write_bridge
from tests.support.prometheus import Prometheus
from tests.support.quick_rules import load_quick_rules

NAME = "alerts"
HOUR_MS = 3_600_000

Readings = Callable[[int], list[Record]]
"""What is sent in a second, by the time of it in epoch milliseconds."""


class Scene(NamedTuple):
    stack: Stack
    prometheus: Prometheus
    deployment: Path
    job_id: str

    def firing(self) -> set[str]:
        return self.prometheus.firing()

    def fire(self, alerts: set[str], within_s: float, what: str) -> None:
        """All of them, at some time each."""
        seen: set[str] = set()

        def all_seen() -> bool:
            seen.update(self.firing())
            return alerts <= seen

        try:
            wait_for(all_seen, within_s, what)
        finally:
            print(f"{what}: {sorted(seen)} fired")

    def clear(self, alerts: set[str], within_s: float, what: str) -> None:
        wait_for(lambda: not alerts & self.firing(), within_s, f"{what}: {sorted(alerts)} clear")


@pytest.fixture(scope="module")
def scene(stack: Stack, prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A job that is well, with a probe every five seconds, under the quick rules."""
    load_quick_rules(stack, prometheus, tmp_path_factory.mktemp("rules"))
    deployment = write_deployment(
        tmp_path_factory.mktemp("alerts") / "alerts.yaml", NAME,
        kafka={"bootstrap_servers": stack.bootstrap_servers, "transaction_timeout": "1 min"},
    )  # fmt: skip
    with running_job(deployment) as job_id, probing(deployment, "5s"):
        wait_until_running(stack, job_id)
        yield Scene(stack, prometheus, deployment, job_id)


@pytest.fixture
def well(scene: Scene) -> Scene:
    with traffic(scene.stack, usual):
        wait_for(
            lambda: scene.prometheus.numbers(f'job:aligned_readings:rate1m{{job_name="meridian-{NAME}"}} > 0'),
            90,
            "flow",
        )
        wait_for(lambda: not scene.firing(), 120, "nothing fires while all is well")
    return scene


@contextmanager
def traffic(stack: Stack, readings: Readings) -> Iterator[None]:
    """These readings each second while the block runs."""
    stop = Event()

    def send() -> None:
        while not stop.wait(1.0):
            produce(stack, f"{NAME}.raw", readings(time.time_ns() // 1_000_000))

    thread = Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def probing(deployment: Path, every: str) -> AbstractContextManager[subprocess.Popen[Any]]:
    return meridian_running("probe", "--config", deployment, "--every", every)


def usual(now_ms: int, partitions: tuple[int, ...] = (0, 1, 2, 3)) -> list[Record]:
    return [envelope(f"s{partition}", now_ms, partition) for partition in partitions]


def bad(now_ms: int, partitions: tuple[int, ...]) -> list[Record]:
    """As many readings that are two hours late, and as many with a CRS which nobody knows."""
    late = [envelope(f"late{partition}", now_ms - 2 * HOUR_MS, partition) for partition in partitions]
    unknown = [envelope(f"broken{partition}", now_ms, partition, crs="EPSG:999999") for partition in partitions]
    headers = [(*(h for h in r.headers if h[0] != "crs_source"), ("crs_source", "EPSG:999999")) for r in unknown]
    return [*late, *(r._replace(headers=h) for r, h in zip(unknown, headers, strict=True))]


def test_bad_data_and_a_partition_whose_times_stand_still(well: Scene) -> None:
    begin_ms, others = time.time_ns() // 1_000_000, (0, 1, 2)
    alerts = {"LateReadings", "CrsFailures", "DeadLettersGrow", "WatermarkStalled"}
    with traffic(
        well.stack,
        lambda now_ms: [*usual(now_ms, others), *bad(now_ms, others), envelope("s3", begin_ms, 3)],
    ):
        well.fire(alerts, 180, "late readings, unknown CRSs, a clock that stands still")
    with traffic(well.stack, usual):
        well.clear(alerts, 150, "all is well")


def test_a_partition_that_is_silent(well: Scene) -> None:
    with traffic(well.stack, lambda now_ms: usual(now_ms, (0, 1, 2))):
        well.fire({"PartitionIdle"}, 150, "nothing in one partition")
    with traffic(well.stack, usual):
        well.clear({"PartitionIdle"}, 60, "it speaks again")


def test_checkpoints_that_cannot_be_written(well: Scene) -> None:
    alerts = {"CheckpointsFail", "TransactionOld", "ProbeMissing"}
    with traffic(well.stack, usual):
        with no_checkpoints(well.stack, well.job_id):
            well.fire(alerts, 150, "a file is in the way of checkpoints")
        well.clear(alerts, 150, "they are written again")


def test_a_backlog(well: Scene) -> None:
    alerts = {"ConsumerLag", "BackPressure"}
    generating = Thread(target=meridian, args=("generate", "--config", well.deployment, "--readings", "800000"))
    generating.start()
    try:
        well.fire(alerts, 120, "more comes than the job can take")
    finally:
        generating.join()
    well.clear(alerts, 180, "it has caught up")


@needs_mosquitto
def test_processes_that_hang_or_are_gone(well: Scene, tmp_path: Path) -> None:
    stack = well.stack
    with probing(well.deployment, "60s") as other:
        named = f"{other.pid}-"
        wait_for(lambda: any(f.name.startswith(named) for f in targets(stack)), 30, "its page is known")
        other.kill()
        other.wait(10)
        well.fire({"TargetDown"}, 60, "a process that was killed")
    with probing(well.deployment, "60s"):
        well.clear({"TargetDown"}, 60, "the next one has its place")
    file = write_bridge(tmp_path, well.deployment, (mqtt := Mosquitto(tmp_path)).port, metrics_port=0)
    with mqtt, BridgeProcess(file) as bridge:
        bridge.wait_for("counters", connected=True)
        with stopped(members(stack, BROKER)):
            Publisher(mqtt).publish((number, reading(number)) for number in range(500))
            well.fire({"BridgeSpools"}, 90, "Kafka hangs while a bridge is sent to")
        well.clear({"BridgeSpools"}, 90, "Kafka goes on")
        assert bridge.stop() == 0


@needs_mosquitto
def test_a_breaker_that_opens_and_what_it_has_diverted(well: Scene, tmp_path: Path) -> None:
    cold = tmp_path / "cold"
    breakers = {"cold": {"folder": str(cold)}, "kafka": {"open_for": "3 s", "trials": 3, "gone_after": "3 s"}}
    mqtt = Mosquitto(tmp_path)
    file = write_bridge(tmp_path, well.deployment, mqtt.port, metrics_port=0, breakers=breakers)
    with mqtt, BridgeProcess(file) as bridge:
        bridge.wait_for("counters", connected=True)
        steady = Steady(Publisher(mqtt), rate=20)
        steady.start()
        with stopped(members(well.stack, BROKER)):
            well.fire({"BreakerOpen"}, 90, "Kafka hangs while a bridge with a breaker is sent to")
        well.fire({"ColdReadings"}, 120, "Kafka goes on, and the breaker is closed")
        well.clear({"BreakerOpen"}, 60, "the breaker is closed")
        meridian("cold", "reingest", cold, "--config", well.deployment)
        well.clear({"ColdReadings"}, 90, "what was diverted has been sent again")
        steady.end()
        assert bridge.stop() == 0


def targets(stack: Stack) -> list[Path]:
    return list((stack.folder / "observe" / "targets").glob("*.json"))
