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
from pathlib import Path
from typing import NamedTuple

from benchmarks.broker_io import end_offsets, make_consumer
from benchmarks.measure import TreeMeter, flink_processes
from benchmarks.report import Result, parser_of
from jobs.cli.stack import load_endpoints
from jobs.cluster.figures import Figures, read_figures
from jobs.cluster.rest import TERMINAL_STATES, FlinkRest

DEPLOYMENTS = Path(__file__).resolve().parent / "deployments"
_POLL_S = 0.5
_COMMIT_TIMEOUT_S = 120
_STEADY_AFTER = 0.25  # of the records


class JobFailed(RuntimeError):  # noqa: N818
    """The job ended before it had accounted for its input."""


class Sample(NamedTuple):
    """Where the job stood at a time."""

    at_s: float
    cpu_s: float
    accounted: int


def run(given: Namespace) -> Result:
    """Run the job over the raw topic as it is now."""
    endpoints = load_endpoints()
    rest = FlinkRest(endpoints.rest_url)
    consumer = make_consumer(given.bootstrap, given.group)
    ends = end_offsets(consumer, given.raw)
    consumer.close()
    records = sum(ends.values())
    config = str(DEPLOYMENTS / f"{given.work}.yaml")
    _meridian(given, "topics", "create", "--config", config)
    with TreeMeter(lambda: flink_processes(str(endpoints.stack_dir))) as meter:
        job_id = json.loads(_meridian(given, "submit", "--config", config, "--repeat", "--json"))["job_id"]
        try:
            samples = _watch(rest, job_id, meter, records)
            _committed(rest, job_id)
        finally:
            if rest.state(job_id) not in TERMINAL_STATES:
                rest.cancel(job_id)
    first = next(s for s in samples if s.accounted >= records * _STEADY_AFTER)
    last = samples[-1]
    return Result(
        "meridian",
        given.work,
        last.accounted - first.accounted,
        first.at_s,
        last.at_s,
        last.cpu_s - first.cpu_s,
        last.cpu_s,
        meter.peak_rss_mb,
    )


def _meridian(given: Namespace, *arguments: str) -> str:
    command = [sys.executable, "-m", "jobs.cli.main", *arguments]
    environment = os.environ | {"MERIDIAN_KAFKA": given.bootstrap}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise JobFailed((done.stdout + done.stderr)[-2_000:])
    return done.stdout


def _watch(rest: FlinkRest, job_id: str, meter: TreeMeter, records: int) -> list[Sample]:
    samples: list[Sample] = []
    while not samples or samples[-1].accounted < records:
        state = rest.state(job_id)
        if state in TERMINAL_STATES:
            raise JobFailed(f"{state}: {rest.root_cause(job_id)}")
        figures: Figures = read_figures(rest, job_id)
        if figures.accounted:
            samples.append(Sample(time.time(), meter.cpu_s(), figures.accounted))
        time.sleep(_POLL_S)
    return samples


def _committed(rest: FlinkRest, job_id: str) -> None:
    """Wait for two checkpoints: the first may have begun before the last record."""
    before = rest.completed_checkpoints(job_id)
    rest.wait(lambda: rest.completed_checkpoints(job_id) >= before + 2, _COMMIT_TIMEOUT_S, "the last commit")


def main() -> None:
    print(run(parser_of("Meridian on the session cluster.").parse_args()).line())


if __name__ == "__main__":
    main()
