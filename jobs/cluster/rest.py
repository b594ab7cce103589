"""The few calls of Flink's REST API that Meridian needs.

Source: https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/ops/rest_api/
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from jobs.cluster.restore_points import RestorePoint, plain_path

TERMINAL_STATES = frozenset({"FINISHED", "CANCELED", "FAILED", "SUSPENDED"})
_FAILING_STATES = frozenset({"FAILING", "FAILED", "RESTARTING"})
_ASKED_AT_ONCE = 40  # names of metrics, which become one address
_PYTHON_TRACE = "Traceback (most recent call last):"
_RECENT_FAILURE_MS = 120_000  # longer than the longest pause between two attempts, and the start after it


class ClusterError(RuntimeError):
    """The cluster did not answer, or refused."""


class Job(NamedTuple):
    id: str
    name: str
    state: str
    start_ms: int


class RestTls(NamedTuple):
    """PEM files for a REST API with TLS; empty: the system's authorities are trusted, no certificate is shown."""

    authority: str = ""
    certificate: str = ""
    key: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> RestTls:
        return cls(*(environment.get(name, "") for name in _TLS_VARIABLES))

    def variables(self) -> dict[str, str]:
        return dict(zip(_TLS_VARIABLES, self, strict=True))

    def options(self) -> dict[str, Any]:
        """For a call of `requests`. Given to the session, REQUESTS_CA_BUNDLE would replace them."""
        return {
            **({"verify": self.authority} if self.authority else {}),
            **({"cert": (self.certificate, self.key)} if self.certificate else {}),
        }


_TLS_VARIABLES = ("MERIDIAN_FLINK_CA", "MERIDIAN_FLINK_CERTIFICATE", "MERIDIAN_FLINK_KEY")


class FlinkRest:
    """A session cluster's JobManager; with `https`, the environment names the certificates."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._tls = RestTls.of(os.environ).options() if self._url.startswith("https:") else {}
        self._session = requests.Session()
        # Only GET is repeated: a savepoint triggered twice would be two savepoints.
        retry = Retry(total=4, backoff_factor=0.3, status_forcelist=(502, 503, 504), allowed_methods=("GET",))
        self._session.mount("http", HTTPAdapter(max_retries=retry))

    def get(self, path: str) -> Any:
        return self._call("GET", path)

    def jobs(self) -> list[Job]:
        """All jobs the JobManager knows, the newest first."""
        found = [Job(j["jid"], j["name"], j["state"], j["start-time"]) for j in self.get("/jobs/overview")["jobs"]]
        return sorted(found, key=lambda job: job.start_ms, reverse=True)

    def running(self, name: str) -> Job | None:
        """The job of that name that has not ended."""
        return next((j for j in self.jobs() if j.name == name and j.state not in TERMINAL_STATES), None)

    def state(self, job_id: str) -> str:
        return str(self.get(f"/jobs/{job_id}")["state"])

    def vertices_running(self, job_id: str) -> bool:
        """Whether every task runs: a job is RUNNING before its tasks are."""
        job = self.get(f"/jobs/{job_id}")
        return job["state"] == "RUNNING" and all(v["status"] == "RUNNING" for v in job["vertices"])

    def parallelism(self, job_id: str) -> int:
        """How many slots a job takes: as many as its widest task has subtasks."""
        tasks = [int(vertex["parallelism"]) for vertex in self.get(f"/jobs/{job_id}")["vertices"]]
        if not tasks:
            raise ClusterError(f"job {job_id} has no tasks yet")
        return max(tasks)

    def free_slots(self) -> int:
        return int(self.get("/overview")["slots-available"])

    def completed_checkpoints(self, job_id: str) -> int:
        return int(self.get(f"/jobs/{job_id}/checkpoints").get("counts", {}).get("completed", 0))

    def summed_metrics(self, job_id: str, vertex: str, is_wanted: Callable[[str], object]) -> dict[str, int]:
        """A vertex's metrics of such names, each added up over the subtasks. A name appears with its first count."""
        path = f"/jobs/{job_id}/vertices/{vertex}/subtasks/metrics"
        # Asking for a name that is not there would give nothing at all.
        names = [metric["id"] for metric in self.get(path) if is_wanted(metric["id"])]
        found: dict[str, int] = {}
        for begin in range(0, len(names), _ASKED_AT_ONCE):
            asked = ",".join(names[begin : begin + _ASKED_AT_ONCE])
            found |= {m["id"]: int(m["sum"]) for m in self.get(f"{path}?get={asked}&agg=sum")}
        return found

    def restore_points(self, job_id: str) -> list[RestorePoint]:
        """The newest completed checkpoint and the newest savepoint of a job, as far as there are."""
        newest = self.get(f"/jobs/{job_id}/checkpoints").get("latest") or {}
        known = [newest.get("completed"), newest.get("savepoint")]
        return [
            RestorePoint(plain_path(point["external_path"]), job_id, point["id"], point["latest_ack_timestamp"])
            for point in known
            if point and point.get("external_path")
        ]

    def restored_from(self, job_id: str) -> str | None:
        """Where a job's newest attempt took its state from."""
        restored = (self.get(f"/jobs/{job_id}/checkpoints").get("latest") or {}).get("restored") or {}
        return plain_path(restored["external_path"]) if restored.get("external_path") else None

    def retains_checkpoints(self, job_id: str) -> bool:
        """Whether a job's newest checkpoint outlives its cancellation."""
        kept = self.get(f"/jobs/{job_id}/checkpoints/config").get("externalization") or {}
        return bool(kept.get("enabled")) and not kept.get("delete_on_cancellation")

    def is_failing(self, job_id: str) -> bool:
        """Whether a job is between two attempts, or failed so lately that its next failure may be near."""
        job = self.get(f"/jobs/{job_id}")
        if job["state"] in _FAILING_STATES:
            return True
        failures = self._failures(job_id)
        return bool(failures) and job["now"] - failures[0]["timestamp"] < _RECENT_FAILURE_MS

    def user_config(self, job_id: str) -> dict[str, str]:
        settings = self.get(f"/jobs/{job_id}/config").get("execution-config") or {}
        return dict(settings.get("user-config") or {})

    def root_cause(self, job_id: str) -> str:
        """The end of the newest failure's chain of causes, in Python if it ends there: what a person wants to read."""
        failures = self._failures(job_id)
        if not failures:
            return "no exception recorded"
        lines = [line for line in failures[0]["stacktrace"].splitlines() if line and not line[0].isspace()]
        causes = [line for line in lines if line.startswith("Caused by:")] or lines
        cause = str(lines[-1] if causes[-1].endswith(_PYTHON_TRACE) else causes[-1])
        return cause.removeprefix("Caused by: ")[:500]

    def _failures(self, job_id: str) -> list[dict[str, Any]]:
        """The newest failure that the job was restarted for."""
        history = self.get(f"/jobs/{job_id}/exceptions?maxExceptions=1").get("exceptionHistory") or {}
        return list(history.get("entries") or [])

    def cancel(self, job_id: str) -> None:
        self._call("PATCH", f"/jobs/{job_id}?mode=cancel")

    def savepoint(self, job_id: str, folder: str | None, timeout_s: float) -> str:
        """Take a savepoint of a job that goes on; the path of it."""
        return self._triggered(job_id, "savepoints", {"target-directory": folder, "cancel-job": False}, timeout_s)

    def stop(self, job_id: str, folder: str | None, timeout_s: float) -> str:
        """Stop with a savepoint, without draining: a drained watermark would close every window for good."""
        return self._triggered(job_id, "stop", {"targetDirectory": folder, "drain": False}, timeout_s)

    def wait(self, ready: Callable[[], bool], timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not ready():
            if time.monotonic() > deadline:
                raise ClusterError(f"{what}: not within {timeout_s:.0f} s")
            time.sleep(0.3)

    def _triggered(self, job_id: str, operation: str, body: dict[str, Any], timeout_s: float) -> str:
        request = self._call("POST", f"/jobs/{job_id}/{operation}", body)["request-id"]
        answer: dict[str, Any] = {}

        def completed() -> bool:
            answer.update(self.get(f"/jobs/{job_id}/savepoints/{request}"))
            return bool(answer["status"]["id"] == "COMPLETED")

        self.wait(completed, timeout_s, f"savepoint of job {job_id}")
        failure = answer["operation"].get("failure-cause")
        if failure:
            lines = [line for line in failure["stack-trace"].splitlines() if line and not line.startswith("\t")]
            raise ClusterError(f"savepoint of job {job_id} failed: {lines[-1][:300]}")
        return str(answer["operation"]["location"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            response = self._session.request(method, f"{self._url}{path}", json=body, timeout=30, **self._tls)
        except (requests.RequestException, OSError) as error:  # OSError: a file of the certificates is not there
            raise ClusterError(f"no Flink cluster answers at {self._url}: {_kind(error)}") from None
        if response.status_code >= 400:
            errors = response.json().get("errors", [response.text]) if response.content else [response.reason]
            raise ClusterError(f"{method} {path}: {str(errors[0])[:300]}")
        return response.json() if response.content else {}


def _kind(error: Exception) -> str:
    """What a connection failed of; of certificates, whose."""
    if isinstance(error, requests.exceptions.SSLError):
        return f"TLS: {str(error.args[0])[-200:]}; {', '.join(_TLS_VARIABLES)} name the certificates"
    return type(error).__name__ if isinstance(error, requests.RequestException) else str(error)
