"""Facts from Flink's REST API.

Rates are differences of two looks, `sample_s` apart or more: what the JobManager says of a task is as old as its last
question to the TaskManager, which on a busy machine can be the same for some seconds.

Source: https://nightlies.apache.org/flink/flink-docs-release-2.2/docs/ops/rest_api/
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from jobs.cluster.figures import read_figures
from jobs.cluster.rest import ClusterError, FlinkRest
from jobs.doctor.facts import Checkpoints, Cluster, Job, Operator, Worker
from jobs.pipeline.operators import SOURCE

_FAILED = "FAILED"
_MOST_LOOKS = 3
_HEAP = {
    "gc_ms_per_s": "Status.JVM.GarbageCollector.All.TimeMsPerSecond",
    "metaspace_used": "Status.JVM.Memory.Metaspace.Used",
    "metaspace_max": "Status.JVM.Memory.Metaspace.Max",
    "managed_used": "Status.Flink.Memory.Managed.Used",
    "managed_max": "Status.Flink.Memory.Managed.Total",
}


class _Subtask(NamedTuple):
    """Of its time so far, and what it has read."""

    backpressured_ms: float
    busy_ms: float
    idle_ms: float
    read_bytes: int

    @property
    def counted_ms(self) -> float:
        return self.backpressured_ms + self.busy_ms + self.idle_ms


def collect_cluster(rest: FlinkRest, url: str) -> tuple[Cluster, dict[str, str]]:
    """What the cluster says of itself, and its configuration."""
    try:
        overview = rest.get("/overview")
        config = {entry["key"]: entry["value"] for entry in rest.get("/jobmanager/config")}
        classpath = rest.get("/jobmanager/environment").get("classpath") or []
        workers = tuple(_worker(rest, w["id"]) for w in rest.get("/taskmanagers")["taskmanagers"])
    except ClusterError as error:
        return Cluster(url, problem=str(error)), {}
    return (
        Cluster(
            url,
            flink_version=overview["flink-version"],
            jars=frozenset(path.rpartition("/")[2] for path in classpath),
            slots=overview["slots-total"],
            slots_free=overview["slots-available"],
            workers=workers,
        ),
        config,
    )


def collect_job(rest: FlinkRest, name: str, sample_s: float) -> tuple[Job | None, int | None]:
    """The running job of that name, and how far the JobManager's clock is ahead of this machine's (ms)."""
    found = rest.running(name)
    if found is None:
        return None, None
    asked_ms = time.time_ns() // 1_000_000
    described = rest.get(f"/jobs/{found.id}")
    now_ms = time.time_ns() // 1_000_000
    ahead_ms = described["now"] - (asked_ms + now_ms) // 2
    figures = read_figures(rest, found.id)
    job = Job(
        id=found.id,
        name=name,
        state=described["state"],
        is_failing=rest.is_failing(found.id),
        root_cause=rest.root_cause(found.id),
        operators=_operators(rest, described, sample_s),
        checkpoints=_checkpoints(rest, found.id, now_ms),
        pending_records=_pending(rest, described),
        accounted=figures.accounted,
        refused=figures.invalid_by_reason,
    )
    return job, ahead_ms


def _worker(rest: FlinkRest, worker_id: str) -> Worker:
    values = {
        m["id"]: float(m["value"])
        for m in rest.get(f"/taskmanagers/{worker_id}/metrics?get={','.join(_HEAP.values())}")
    }
    figures = {field: values.get(metric, 0.0) for field, metric in _HEAP.items()}
    return Worker(worker_id, figures.pop("gc_ms_per_s"), **{field: int(value) for field, value in figures.items()})


def _operators(rest: FlinkRest, described: dict[str, Any], sample_s: float) -> tuple[Operator, ...]:
    """In the order of the flow; a subtask that has restarted in between, or tells nothing new, has no rates."""
    job_id = described["jid"]
    names = {vertex["id"]: short_name(vertex["name"]) for vertex in described["vertices"]}
    feeds: dict[str, list[str]] = {vertex: [] for vertex in names}
    keyed: set[str] = set()
    for node in described["plan"]["nodes"]:
        for source in node.get("inputs", ()):
            feeds[source["id"]].append(names[node["id"]])
            if source.get("ship_strategy") == "HASH":
                keyed.add(node["id"])
    before = {vertex: _subtasks(rest, job_id, vertex) for vertex in names}
    for _ in range(_MOST_LOOKS):
        time.sleep(sample_s)
        after = {vertex: _subtasks(rest, job_id, vertex) for vertex in names}
        if all(new.counted_ms > old.counted_ms for v in names for old, new in zip(before[v], after[v], strict=False)):
            break
    found = []
    for vertex, name in names.items():
        pairs = [
            (old, new)
            for old, new in zip(before[vertex], after[vertex], strict=False)
            if new.counted_ms > old.counted_ms and new.busy_ms >= old.busy_ms
        ]
        found.append(
            Operator(
                name,
                tuple(_rate(new.backpressured_ms - old.backpressured_ms, old, new) for old, new in pairs),
                tuple(_rate(new.busy_ms - old.busy_ms, old, new) for old, new in pairs),
                tuple(subtask.read_bytes for subtask in after[vertex]),
                tuple(feeds[vertex]),
                vertex in keyed,
            )
        )
    return tuple(found)


def _rate(grown_ms: float, old: _Subtask, new: _Subtask) -> float:
    """In ms of each second that the subtask has counted, which need not be the seconds between the looks."""
    return grown_ms / (new.counted_ms - old.counted_ms) * 1_000


def _subtasks(rest: FlinkRest, job_id: str, vertex: str) -> list[_Subtask]:
    figures = [s["metrics"] for s in rest.get(f"/jobs/{job_id}/vertices/{vertex}")["subtasks"]]
    return [
        _Subtask(
            _number(m["accumulated-backpressured-time"]),
            _number(m["accumulated-busy-time"]),
            _number(m["accumulated-idle-time"]),
            int(m["read-bytes"]),
        )
        for m in figures
    ]


def _pending(rest: FlinkRest, described: dict[str, Any]) -> int | None:
    """Records of the raw topic that the source knows of and has not read."""
    source = next((v["id"] for v in described["vertices"] if short_name(v["name"]) == SOURCE), None)
    if source is None:
        return None
    path = f"/jobs/{described['jid']}/vertices/{source}/subtasks/metrics"
    name = next((metric["id"] for metric in rest.get(path) if metric["id"].endswith(".pendingRecords")), None)
    return None if name is None else int(rest.get(f"{path}?get={name}")[0]["sum"])


def _checkpoints(rest: FlinkRest, job_id: str, now_ms: int) -> Checkpoints:
    settings, found = rest.get(f"/jobs/{job_id}/checkpoints/config"), rest.get(f"/jobs/{job_id}/checkpoints")
    counts, latest = found.get("counts", {}), found.get("latest") or {}
    history = [entry for entry in found.get("history", ()) if entry["status"] != "IN_PROGRESS"]
    running = [entry for entry in found.get("history", ()) if entry["status"] == "IN_PROGRESS"]
    in_a_row = next((i for i, entry in enumerate(history) if entry["status"] != _FAILED), len(history))
    return Checkpoints(
        interval_ms=settings["interval"],
        timeout_ms=settings["timeout"],
        completed=counts.get("completed", 0),
        failed=counts.get("failed", 0),
        failed_in_a_row=in_a_row,
        last_duration_ms=(latest.get("completed") or {}).get("end_to_end_duration"),
        running_for_ms=max((now_ms - entry["trigger_timestamp"] for entry in running), default=None),
        last_failure=str((latest.get("failed") or {}).get("failure_message") or "")[:300],
    )


def short_name(vertex: str) -> str:
    """`Source: raw -> deduplicate-5 -> …` is called `raw`."""
    first = vertex.partition(" -> ")[0].removeprefix("Source: ").removeprefix("Sink: ")
    return first.rstrip(",: ").partition(":")[0]


def _number(value: Any) -> float:
    return 0.0 if value in (None, "NaN") else float(value)
