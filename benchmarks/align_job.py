"""The grid job as a variant of `meridian bench align`: submitted as a user would, watched until all is accounted for.

    MERIDIAN_STACK_DIR=… python -m benchmarks.align_job --bootstrap … --raw bench.sql.aligned --work align …

The rate is the steady one, of the last three quarters of the readings, as in `benchmarks.meridian_job`.
"""

from __future__ import annotations

import json
import time
from argparse import Namespace

from benchmarks.align_runs import WORKS
from benchmarks.broker_io import end_offsets, make_consumer
from benchmarks.measure import TreeMeter, flink_processes
from benchmarks.meridian_job import JobFailed, Sample, meridian, steady
from benchmarks.report import Result, parser_of
from benchmarks.variation import DEPLOYMENTS
from jobs.cli.stack import load_endpoints
from jobs.cluster.rest import TERMINAL_STATES, FlinkRest
from udfs.grid.fate import GRIDDED, LATE, MERGED
from udfs.grid.gather import OUTSIDE

_POLL_S = 1.0
_TIMEOUT_S = 1_800.0
_COMMIT_TIMEOUT_S = 180
_CONFIG = DEPLOYMENTS / "align.yaml"


def run(given: Namespace) -> Result:
    """Run the job over the aligned topic as it is now."""
    consumer = make_consumer(given.bootstrap, given.group)
    records = sum(end_offsets(consumer, given.raw).values())
    consumer.close()
    endpoints = load_endpoints()
    rest, stack_dir = FlinkRest(endpoints.rest_url), str(endpoints.stack_dir)
    with TreeMeter(lambda: flink_processes(stack_dir)) as meter:
        job_id = json.loads(meridian(given.bootstrap, "join", "submit", "--config", str(_CONFIG), "--json"))["job_id"]
        try:
            samples = _watch(rest, job_id, meter, records)
            before = rest.completed_checkpoints(job_id)
            # The first one may have begun before the last record.
            rest.wait(lambda: rest.completed_checkpoints(job_id) >= before + 2, _COMMIT_TIMEOUT_S, "the last commit")
        finally:
            if rest.state(job_id) not in TERMINAL_STATES:
                rest.cancel(job_id)
                rest.wait(lambda: rest.state(job_id) in TERMINAL_STATES, _COMMIT_TIMEOUT_S, "the job's end")
    first, last = steady(samples, records)
    return Result(
        "meridian", given.work, last.accounted - first.accounted, first.at_s, last.at_s, last.cpu_s - first.cpu_s,
        last.cpu_s, meter.peak_rss_mb,
    )  # fmt: skip


def _watch(rest: FlinkRest, job_id: str, meter: TreeMeter, records: int) -> list[Sample]:
    samples: list[Sample] = []
    deadline = time.monotonic() + _TIMEOUT_S
    while not samples or samples[-1].accounted < records:
        if rest.state(job_id) in TERMINAL_STATES or time.monotonic() > deadline:
            raise JobFailed(f"{rest.state(job_id)}: {rest.root_cause(job_id)}")
        accounted = _accounted(rest, job_id)
        if accounted > (samples[-1].accounted if samples else 0):
            samples.append(Sample(time.time(), meter.cpu_s(), accounted, 0.0))
        time.sleep(_POLL_S)
    return samples


def _accounted(rest: FlinkRest, job_id: str) -> int:
    """Sum of the classes' counters of the keyed operator."""
    vertex = next((v["id"] for v in rest.get(f"/jobs/{job_id}")["vertices"] if v["name"].startswith("grid")), None)
    if vertex is None:
        return 0
    wanted = {f"grid.{name}" for name in (GRIDDED, MERGED, LATE, *OUTSIDE)}
    return sum(rest.summed_metrics(job_id, vertex, wanted.__contains__).values())


if __name__ == "__main__":
    print(run(parser_of("The grid job on the session cluster.", WORKS).parse_args()).line())
