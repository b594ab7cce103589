"""Meridian itself as a variant: submitted to the session cluster as a user would, watched until all is accounted for.

    MERIDIAN_STACK_DIR=… python -m benchmarks.meridian_job --bootstrap … --raw bench.whole.raw --work whole \
        --out-prefix bench.whole.meridian

The rate is the steady one: of the last three quarters of the records, when the JVM has compiled what it runs. Readings
are counted where they are accounted for; the topics are complete when a checkpoint after the last one has committed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import psutil

from benchmarks.broker_io import end_offsets, make_consumer
from benchmarks.measure import TreeMeter, descendants, flink_processes, rss_mb
from benchmarks.report import Result, parser_of
from benchmarks.settings import Topics
from benchmarks.variation import topic_names, vary
from jobs.cli.stack import load_endpoints
from jobs.cluster.figures import read_figures
from jobs.cluster.rest import TERMINAL_STATES, FlinkRest

_POLL_S = 2.0  # being asked costs the JobManager time that the job then lacks
_COMMIT_TIMEOUT_S = 180
_STUCK_S = 180.0
_STEADY_AFTER = 0.25  # of the records


Accounted = Callable[[], int]
Beside = Callable[[Path], AbstractContextManager[Sequence[psutil.Process]]]


class JobFailed(RuntimeError):  # noqa: N818
    """The job ended, was restarted or stood still before it had accounted for its input."""


class Sample(NamedTuple):
    """Where the job stood at a time; `cpu_s` counts from the submission, memory is that of all Flink processes."""

    at_s: float
    cpu_s: float
    accounted: int
    rss_mb: float


class Checkpoint(NamedTuple):
    """A completed checkpoint: all of its state, and what was written for it (less, where it is incremental)."""

    id: int
    trigger_ms: int
    duration_ms: int
    state_bytes: int
    written_bytes: int


@dataclass
class RunningJob:
    """A submitted job and what has been seen of it."""

    rest: FlinkRest
    job_id: str
    meter: TreeMeter
    stack_dir: str
    submitted_s: float
    accounted: Accounted | None = None
    """Gives how many records are accounted for; None: the job's counters do."""
    samples: list[Sample] = field(default_factory=list)
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    failed_checkpoints: set[int] = field(default_factory=set)

    def watch(self, records: int) -> None:
        """Take samples until the job has accounted for so many records.

        Raises
        ------
        JobFailed : it never will.
        """
        moved_s = time.monotonic()
        while not self.samples or self.samples[-1].accounted < records:
            state = self.rest.state(self.job_id)
            if state in TERMINAL_STATES:
                raise JobFailed(f"{state}: {self.rest.root_cause(self.job_id)}")
            accounted = self.accounted() if self.accounted else read_figures(self.rest, self.job_id).accounted
            before = self.samples[-1].accounted if self.samples else 0
            if accounted < before:  # counters start anew with each attempt
                raise JobFailed(f"restarted at {before:,} records: {self.rest.root_cause(self.job_id)}")
            if accounted > before:
                moved_s = time.monotonic()
            elif time.monotonic() - moved_s > _STUCK_S:
                raise JobFailed(f"{accounted:,} of {records:,} records after {_STUCK_S:.0f} s without any")
            if accounted:
                memory_mb = rss_mb(descendants(flink_processes(self.stack_dir)))
                self.samples.append(Sample(time.time(), self.meter.cpu_s(), accounted, memory_mb))
            self.look_at_checkpoints()
            time.sleep(_POLL_S)

    def commit(self) -> None:
        """Wait for two checkpoints: the first may have begun before the last record."""
        before = self.rest.completed_checkpoints(self.job_id)
        self.rest.wait(
            lambda: self.rest.completed_checkpoints(self.job_id) >= before + 2, _COMMIT_TIMEOUT_S, "the last commit"
        )
        self.look_at_checkpoints()

    def look_at_checkpoints(self) -> None:
        """Remember the newest ones: Flink keeps ten."""
        # Flink's own count has those, too, that were due before all tasks ran.
        for entry in self.rest.get(f"/jobs/{self.job_id}/checkpoints").get("history", []):
            if entry["status"] == "COMPLETED" and not entry["is_savepoint"]:
                self.checkpoints[entry["id"]] = _checkpoint(entry)
            elif entry["status"] == "FAILED":
                self.failed_checkpoints.add(entry["id"])

    def restarts(self) -> int:
        found = self.rest.get(f"/jobs/{self.job_id}/metrics?get=numRestarts")
        return int(found[0]["value"]) if found else 0


@contextmanager
def running(
    config: Path, bootstrap: str, beside: Beside = lambda _config: nullcontext(()), accounted: Accounted | None = None
) -> Iterator[RunningJob]:
    """Create a deployment's topics and submit its job; cancelled in the end.

    Parameters
    ----------
    beside
        Gives processes whose CPU time counts, too, by the deployment, whose topics are there.
    accounted
        See `RunningJob`.
    """
    endpoints = load_endpoints()
    rest, stack_dir = FlinkRest(endpoints.rest_url), str(endpoints.stack_dir)
    meridian(bootstrap, "topics", "create", "--config", str(config))
    with beside(config) as others, TreeMeter(lambda: [*flink_processes(stack_dir), *others]) as meter:
        submitted_s = time.time()
        answer = meridian(bootstrap, "submit", "--config", str(config), "--repeat", "--json")
        job = RunningJob(rest, json.loads(answer)["job_id"], meter, stack_dir, submitted_s, accounted)
        try:
            yield job
        finally:
            if rest.state(job.job_id) not in TERMINAL_STATES:
                rest.cancel(job.job_id)
                rest.wait(lambda: rest.state(job.job_id) in TERMINAL_STATES, _COMMIT_TIMEOUT_S, "the job's end")


def steady(samples: Sequence[Sample], records: int) -> tuple[Sample, Sample]:
    """From when to when a run is measured."""
    return next(s for s in samples if s.accounted >= records * _STEADY_AFTER), samples[-1]


def run(given: Namespace) -> Result:
    """Run the job over the raw topic as it is now."""
    consumer = make_consumer(given.bootstrap, given.group)
    records = sum(end_offsets(consumer, given.raw).values())
    consumer.close()
    changes = {"execution_mode": given.execution_mode} | topic_names(given.raw, Topics(given.out_prefix))
    with TemporaryDirectory() as folder:
        config = vary(given.work, changes, Path(folder))
        with running(config, given.bootstrap) as job:
            job.watch(records)
            job.commit()
    first, last = steady(job.samples, records)
    return Result(
        "meridian",
        given.work,
        last.accounted - first.accounted,
        first.at_s,
        last.at_s,
        last.cpu_s - first.cpu_s,
        last.cpu_s,
        job.meter.peak_rss_mb,
    )


def meridian(bootstrap: str, *arguments: str) -> str:
    """What a `meridian` command prints, with `MERIDIAN_KAFKA` set."""
    command = [sys.executable, "-m", "jobs.cli.main", *arguments]
    environment = os.environ | {"MERIDIAN_KAFKA": bootstrap}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise JobFailed((done.stdout + done.stderr)[-2_000:])
    return done.stdout


def _checkpoint(entry: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        entry["id"],
        entry["trigger_timestamp"],
        entry["end_to_end_duration"],
        entry["state_size"],
        entry["checkpointed_size"],
    )


def main() -> None:
    parser = parser_of("Meridian on the session cluster.")
    parser.add_argument("--execution-mode", choices=("thread", "process"), default="thread")
    print(run(parser.parse_args()).line())


if __name__ == "__main__":
    main()
