"""The SQL summary as a variant of `meridian bench sql`: given to the stock SQL client, watched until it has finished.

    MERIDIAN_STACK_DIR=… python -m benchmarks.sql_job --bootstrap … --raw bench.sql.aligned --work sql --out-prefix …

The rate is the steady one, of the last three quarters of the readings: from when the source has read the first quarter
until the broker has appended the last summary. Readings still in flight count for neither end.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer

from benchmarks.broker_io import end_offsets, make_consumer, read_to_end
from benchmarks.measure import TreeMeter, flink_processes
from benchmarks.report import Result, parser_of
from benchmarks.sql_statements import WORKS, output_of, script
from jobs.cli.project import flink_home
from jobs.cli.stack import flink_client_env, load_endpoints
from jobs.cluster.rest import TERMINAL_STATES, FlinkRest

_FUNCTIONS = Path(__file__).resolve().parents[1] / "sql" / "02_functions.sql"
_POLL_S = 0.5
_READ = re.compile(r"Source__.*\.numRecordsIn")
_STEADY_AFTER = 0.25  # of the readings
_TIMEOUT_S = 900.0


class SqlFailed(RuntimeError):  # noqa: N818
    """The client refused the script, or the job did not finish."""


class Sample(NamedTuple):
    """What the sources had read at a time."""

    at_s: float
    cpu_s: float
    read: int


def run(given: Namespace) -> Result:
    endpoints = load_endpoints()
    rest = FlinkRest(endpoints.rest_url)
    consumer = make_consumer(given.bootstrap, given.group)
    records = sum(end_offsets(consumer, given.raw).values())
    functions = _FUNCTIONS.read_text() if given.work == "sql-crs" else ""
    text = script(given.work, given.bootstrap, given.raw, output_of(given.out_prefix), given.out_prefix, functions)
    with TreeMeter(lambda: flink_processes(str(endpoints.stack_dir))) as meter:
        job_id = _submit(text)
        try:
            samples = _watch(rest, job_id, meter)
        finally:
            if rest.state(job_id) not in TERMINAL_STATES:
                rest.cancel(job_id)
    first = next((s for s in samples if s.read >= records * _STEADY_AFTER), None)
    if first is None or first.read >= records:
        raise SqlFailed(f"{records:,} readings are too few to measure a steady rate")
    last_s = _last_append_s(consumer, output_of(given.out_prefix))
    consumer.close()
    cpu_s = samples[-1].cpu_s
    return Result(
        "sql", given.work, records - first.read, first.at_s, last_s, cpu_s - first.cpu_s, cpu_s, meter.peak_rss_mb
    )


def _submit(text: str) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(text)
        file.flush()
        client = [str(flink_home() / "bin" / "sql-client.sh"), "-f", file.name]
        done = subprocess.run(
            client, env=flink_client_env(load_endpoints()), capture_output=True, text=True, check=False
        )
    found = re.search(r"Job ID: ([0-9a-f]{32})", done.stdout)
    if found is None:
        causes = [line for line in done.stdout.splitlines() if "Exception: " in line]
        raise SqlFailed(causes[-1] if causes else (done.stdout + done.stderr)[-1_000:])
    return found[1]


def _watch(rest: FlinkRest, job_id: str, meter: TreeMeter) -> list[Sample]:
    samples: list[Sample] = []
    deadline = time.monotonic() + _TIMEOUT_S
    while (state := rest.state(job_id)) not in TERMINAL_STATES:
        if time.monotonic() > deadline:
            raise SqlFailed(f"not finished within {_TIMEOUT_S:.0f} s")
        read = _read_by_sources(rest, job_id)
        if read > (samples[-1].read if samples else 0):
            samples.append(Sample(time.time(), meter.cpu_s(), read))
        time.sleep(_POLL_S)
    if state != "FINISHED":
        raise SqlFailed(f"{state}: {rest.root_cause(job_id)}")
    return samples


def _read_by_sources(rest: FlinkRest, job_id: str) -> int:
    """Sum of what the source operators have read; Flink's own count of a vertex leaves out what comes from outside."""
    total = 0
    for vertex in rest.get(f"/jobs/{job_id}")["vertices"]:
        if vertex["name"].startswith("Source:"):
            total += sum(rest.summed_metrics(job_id, vertex["id"], _READ.fullmatch).values())
    return total


def _last_append_s(consumer: Consumer, output: str) -> float:
    """When the broker appended the last record; the topic is stamped by it."""
    last_ms = 0
    for batch in read_to_end(consumer, output, end_offsets(consumer, output)):
        last_ms = max(last_ms, *(message.timestamp()[1] for message in batch))
    return last_ms / 1_000


if __name__ == "__main__":
    print(run(parser_of("The SQL summary on the session cluster.", WORKS).parse_args()).line())
