"""The few calls of Flink's REST API that Meridian needs.

Source: https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/ops/rest_api/
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

TERMINAL_STATES = frozenset({"FINISHED", "CANCELED", "FAILED", "SUSPENDED"})


class ClusterError(RuntimeError):
    """The cluster did not answer, or refused."""


class Job(NamedTuple):
    id: str
    name: str
    state: str
    start_ms: int


class FlinkRest:
    """A session cluster's JobManager."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
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

    def completed_checkpoints(self, job_id: str) -> int:
        return int(self.get(f"/jobs/{job_id}/checkpoints").get("counts", {}).get("completed", 0))

    def user_config(self, job_id: str) -> dict[str, str]:
        return dict(self.get(f"/jobs/{job_id}/config").get("execution-config", {}).get("user-config", {}))

    def root_cause(self, job_id: str) -> str:
        """The last line of the newest failure's chain of causes: what a person wants to read first."""
        history = self.get(f"/jobs/{job_id}/exceptions?maxExceptions=1").get("exceptionHistory", {})
        entries = history.get("entries") or []
        if not entries:
            return "no exception recorded"
        lines = [line for line in entries[0]["stacktrace"].splitlines() if line and not line.startswith("\t")]
        causes = [line for line in lines if line.startswith("Caused by:")] or lines
        return str(causes[-1]).removeprefix("Caused by: ")[:500]

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
            response = self._session.request(method, f"{self._url}{path}", json=body, timeout=30)
        except requests.RequestException as error:
            raise ClusterError(f"no Flink cluster answers at {self._url}: {type(error).__name__}") from None
        if response.status_code >= 400:
            errors = response.json().get("errors", [response.text]) if response.content else [response.reason]
            raise ClusterError(f"{method} {path}: {str(errors[0])[:300]}")
        return response.json() if response.content else {}
