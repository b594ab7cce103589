"""Submits `benchmarks.textbook_job` to the session cluster with `flink run`, waits for its end and measures it.

    MERIDIAN_STACK_DIR=… python -m benchmarks.textbook_pyflink --bootstrap … --raw … --work windows --out-prefix …

The cluster's configuration is tuned for Meridian; by default the job sets back what it tunes of Python's bundles and
caches to Flink's own defaults, since that is what a textbook job runs with. `--tuned` leaves the cluster's settings.

There is a subtask for each of the four partitions. With two, the watermark of a subtask is that of the partition it
happens to read first: a quarter of all readings in time was called late.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
import zipfile
from argparse import Namespace
from pathlib import Path

from benchmarks.broker_io import create_topics, end_offsets, make_consumer
from benchmarks.measure import TreeMeter, flink_processes
from benchmarks.report import Result, parser_of
from benchmarks.settings import Topics
from jobs.cli.project import flink_home
from jobs.cli.stack import Endpoints, flink_client_env, load_endpoints
from jobs.cluster.rest import TERMINAL_STATES, FlinkRest

_HERE = Path(__file__).resolve().parent
_POLL_S = 0.25
# https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/dev/python/python_config/
_DEFAULTS = {
    "python.fn-execution.bundle.size": "1000",
    "python.fn-execution.bundle.time": "1000",
    "python.fn-execution.arrow.batch.size": "1000",
    "python.state.cache-size": "1000",
    "python.map-state.read-cache-size": "1000",
    "python.map-state.write-cache-size": "1000",
    "pipeline.object-reuse": "false",
    "pipeline.auto-watermark-interval": "200 ms",
}


class JobFailed(RuntimeError):  # noqa: N818
    """The job could not be submitted or did not finish."""


def pack(folder: Path) -> Path:
    """The zip of this package for the workers."""
    target = folder / "benchmarks.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(_HERE.glob("*.py")):
            archive.write(path, f"benchmarks/{path.name}")
    return target


def submit(given: Namespace, endpoints: Endpoints, code: Path) -> str:
    """Run `flink run --detached`; the id of the job."""
    settings = {} if given.tuned else _DEFAULTS
    command = [
        str(flink_home() / "bin" / "flink"),
        *("run", "--detached", "--parallelism", str(given.parallelism)),
        *(f"-D{name}={value}" for name, value in settings.items()),
        *("--python", str(_HERE / "textbook_job.py"), "--pyFiles", str(code)),
        *("--bootstrap", given.bootstrap, "--raw", given.raw, "--out-prefix", given.out_prefix),
        *("--group", given.group, "--name", given.out_prefix),
    ]
    done = subprocess.run(command, env=flink_client_env(endpoints), capture_output=True, text=True, check=False)
    found = re.search(r"JobID ([0-9a-f]{32})", done.stdout)
    if done.returncode or found is None:
        raise JobFailed((done.stdout + done.stderr)[-2_000:])
    return found[1]


def run(given: Namespace) -> Result:
    endpoints = load_endpoints()
    rest = FlinkRest(endpoints.rest_url)
    consumer = make_consumer(given.bootstrap, given.group)
    records = sum(end_offsets(consumer, given.raw).values())
    consumer.close()
    create_topics(given.bootstrap, Topics(given.out_prefix).all, 4)
    with tempfile.TemporaryDirectory() as folder, TreeMeter(lambda: flink_processes(str(endpoints.stack_dir))) as meter:
        job_id = submit(given, endpoints, pack(Path(folder)))
        try:
            began_s, cpu_before_s = _first_record(rest, job_id), meter.cpu_s()
            ended_s = _end(rest, job_id)
        except BaseException:
            _cancel(rest, job_id)
            raise
        cpu_s = meter.cpu_s()
    name = "textbook-pyflink-tuned" if given.tuned else "textbook-pyflink"
    return Result(name, given.work, records, began_s, ended_s, cpu_s - cpu_before_s, cpu_s, meter.peak_rss_mb)


def _first_record(rest: FlinkRest, job_id: str) -> float:
    """Wait until a source has handed over a record, by the task's own count; in seconds."""
    while True:
        job = rest.get(f"/jobs/{job_id}")
        vertices = job["vertices"]
        if any(vertex["metrics"]["write-records"] for vertex in vertices) or job["state"] in TERMINAL_STATES:
            return time.time()
        time.sleep(_POLL_S)


def _end(rest: FlinkRest, job_id: str) -> float:
    while True:
        job = rest.get(f"/jobs/{job_id}")
        if job["state"] in TERMINAL_STATES:
            if job["state"] != "FINISHED":
                raise JobFailed(f"{job['state']}: {rest.root_cause(job_id)}")
            return float(job["end-time"]) / 1000
        time.sleep(_POLL_S)


def _cancel(rest: FlinkRest, job_id: str) -> None:
    if rest.state(job_id) not in TERMINAL_STATES:
        rest.cancel(job_id)


def main() -> None:
    parser = parser_of("Textbook PyFlink on the session cluster.", ("windows",))
    parser.add_argument("--parallelism", type=int, default=4, help="below the number of partitions: wrong results")
    parser.add_argument("--tuned", action="store_true", help="the cluster's bundles and caches, not Flink's defaults")
    print(run(parser.parse_args()).line())


if __name__ == "__main__":
    main()
