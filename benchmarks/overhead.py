"""What instrumentation costs: the same readings drained with all of it and with none, in turn, in CPU seconds.

Two stacks stay up side by side, so that neither starts with cold JVMs more often than the other: one as `meridian up
--observe` has it, with probes, and one with the profile `uninstrumented`. The time of the exporter, of the page that
Flink pushes to and of `meridian probe` counts; Prometheus' own does not, which is elsewhere in earnest.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil
from confluent_kafka import Consumer

from benchmarks.broker_io import end_offsets
from benchmarks.meridian_job import meridian
from benchmarks.point import Measured, Point, Say, drain, send
from benchmarks.settings import Topics
from benchmarks.workload import Workload, ending_at
from jobs.cli.local.ports import HOST, first_free

WITH, WITHOUT = "with", "without"
PREFIX: Final = "bench.overhead"
GOAL: Final = 1.03
_BESIDE: Final = ("metrics_gateway.py", "exporter")
_PROBE_EVERY: Final = "30s"


@dataclass(frozen=True)
class Side:
    """A stack of its own."""

    name: str
    folder: Path
    bootstrap: str
    beside: tuple[psutil.Process, ...] = ()
    """Processes of its instrumentation."""


@dataclass(frozen=True)
class Drained:
    side: str
    measured: Measured


@contextmanager
def side(name: str, folder: Path, *options: str) -> Iterator[Side]:
    """A stack that is up while the block runs; the environment of this process names it, until another is up."""
    taken: set[int] = set()
    ports: list[str] = []
    for option, first in (("--kafka-port", 39_092), ("--rest-port", 38_081)):
        port = first_free(first, taken)
        taken.add(port)
        ports += [option, str(port)]
    _choose(folder)
    try:
        meridian(kafka := f"{HOST}:{ports[1]}", "up", *ports, "--taskmanagers", "1", "--slots", "4", *options)
        yield Side(name, folder, kafka, tuple(_of_stack(folder)))
    finally:
        _choose(folder)
        meridian("", "down", "--wipe")


def run_rounds(records: int, rounds: int, say: Say) -> Iterator[Drained]:
    """Drain so many records on each side in each round, in an order that turns, after a round that is not counted."""
    point = Point("overhead", ending_at(Workload("whole", records, 0, sensors=1_000), time.time_ns() // 1_000_000))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        say("two stacks: as always, and without instrumentation")
        observe = ("--observe-port", str(first_free(39_390, set())))
        sides = [
            stack.enter_context(side(WITH, folder / WITH, *observe)),
            stack.enter_context(side(WITHOUT, folder / WITHOUT, "--profile", "uninstrumented")),
        ]
        for one in sides:
            send(point.workload, one.bootstrap, f"{PREFIX}.raw", say)
        for number in range(rounds + 1):
            for one in sides if number % 2 == 0 else sides[::-1]:
                _choose(one.folder)
                name = f"{one.name} instrumentation, {f'round {number}' if number else 'warm-up'}"
                drained = Drained(one.name, _drain(replace(point, name=name), one, say))
                if number:
                    yield drained


def _drain(point: Point, one: Side, say: Say) -> Measured:
    topics = Topics(PREFIX)
    # Uncommitted records, too, or progress would come in steps of a checkpoint.
    settings = {"bootstrap.servers": one.bootstrap, "group.id": PREFIX, "isolation.level": "read_uncommitted"}
    consumer = Consumer(settings)

    def accounted() -> int:
        """By the topics, since a job without counters does not say; commit markers count too, a few in each."""
        return sum(sum(end_offsets(consumer, t).values()) for t in (topics.aligned, topics.accounting, topics.invalid))

    @contextmanager
    def beside(config: Path) -> Iterator[list[psutil.Process]]:
        with _probes(config, one.bootstrap) if one.name == WITH else nullcontext(()) as probes:
            yield [*one.beside, *probes]

    try:
        return drain(point, one.bootstrap, PREFIX, say, beside=beside, accounted=accounted)
    finally:
        consumer.close()


@contextmanager
def _probes(config: Path, bootstrap: str) -> Iterator[list[psutil.Process]]:
    command = [sys.executable, "-m", "jobs.cli.main", "probe", "--config", str(config), "--every", _PROBE_EVERY]
    environment = os.environ | {"MERIDIAN_KAFKA": bootstrap}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield [psutil.Process(process.pid)]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def summarise(drained: Sequence[Drained]) -> list[dict[str, Any]]:
    """One object per side: medians, with the ratio of CPU time to the side without, and whether it meets the goal."""
    rows = []
    base = _cpu_s(drained, WITHOUT)
    for name in (WITHOUT, WITH):
        mine = [d.measured for d in drained if d.side == name]
        ratio = _cpu_s(drained, name) / base
        rows.append(
            {
                "work": "overhead",
                "variant": f"{name} instrumentation",
                "readings_per_s": round(median(m.readings_per_s for m in mine)),
                "cpu_s_per_million": round(_cpu_s(drained, name), 2),
                "each_cpu_s_per_million": [round(m.cpu_s_per_million, 2) for m in mine],
                "cpu_ratio": round(ratio, 3),
                "meets_goal": ratio <= GOAL,
                "correct": all(m.verdict.correct for m in mine),
            }
        )
    return rows


def _cpu_s(drained: Sequence[Drained], name: str) -> float:
    return median(d.measured.cpu_s_per_million for d in drained if d.side == name)


def _choose(folder: Path) -> None:
    os.environ["MERIDIAN_STACK_DIR"] = str(folder)


def _of_stack(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if any(name in command for name in _BESIDE) and process.environ().get("MERIDIAN_STACK_DIR") == str(folder):
                yield process
        except psutil.Error:
            continue
