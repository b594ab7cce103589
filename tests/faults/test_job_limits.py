"""An outage that the job cannot bear, and is seen; and what submissions leave behind."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import psutil

from tests.faults.conftest import execution_mode
from tests.integration.conftest import prometheus as prometheus  # a fixture
from tests.integration.support import Stack, members, meridian, running_job, wait_for, wait_until_running
from tests.integration.support import write_deployment as write
from tests.support.faults.processes import TASKMANAGER, WORKER
from tests.support.faults.report import Outcome, noted
from tests.support.faults.run import Run
from tests.support.prometheus import Prometheus
from tests.support.quick_rules import load_quick_rules

TIMEOUT_S, OUTAGE_S = 60, 90  # the broker looks for expired transactions every 10 s
CYCLES, WARM = 20, 5
GROWTH = 1.25
_FAILED = re.compile(r".*\.failedCommittables")


def test_an_outage_beyond_the_transaction_timeout_is_seen_and_its_runbook_followed(
    stack: Stack, prometheus: Prometheus, tmp_path: Path
) -> None:
    """All TaskManagers stand still from the moment when a checkpoint counts until its transactions have expired."""
    load_quick_rules(stack, prometheus, tmp_path / "rules")
    outcome = Outcome("outage beyond the transaction timeout", seed=1)
    noted.append(outcome)
    kafka = {"bootstrap_servers": stack.bootstrap_servers, "transaction_timeout": f"{TIMEOUT_S} s"}
    run = Run(stack, tmp_path, outcome, readings=30_000, rate=2_000, kafka=kafka, execution_mode=execution_mode())
    try:
        with run.fault():
            with run.frozen_before_commit():
                time.sleep(OUTAGE_S)
            # At once: the counters begin anew with each restart.
            wait_for(lambda: failed_committables(run), 120, "what the alert TransactionLost looks at")
        alerts = {"job_name": f"meridian-{run.name}"}
        wait_for(lambda: "TransactionLost" in prometheus.firing(**alerts), 60, "TransactionLost fires")
        outcome.records = run.feed.stop()
        verdict = run.audit()
        assert not verdict["ok"] and verdict["lost"] > 0, "the loss went unnoticed"
        assert verdict["doubled"] == 0
        assert sum(d["unaligned"] for d in verdict["definitions"]) > 0, "windows hold what the aligned topic has lost"

        made = json.loads(meridian("reprocess", "--config", run.deployment, "--json").stdout)
        meridian("outputs", "switch", str(made["version"]), "--config", run.deployment)  # refuses what does not close
        outcome.lost, outcome.doubled, outcome.wrong = 0, 0, 0
        wait_for(lambda: "TransactionLost" not in prometheus.firing(**alerts), 200, "TransactionLost clears")
        outcome.passed = True
    finally:
        run.abandon()


def failed_committables(run: Run) -> int:
    """Transactions that the sinks were refused, as Flink counts them."""
    rest, job = run.stack.rest, f"/jobs/{run.job_id}"
    found = [rest.summed_metrics(run.job_id, v["id"], _FAILED.fullmatch) for v in rest.get(job)["vertices"]]
    return sum(sum(metrics.values()) for metrics in found)


def test_submitting_and_cancelling_leaves_nothing_behind(stack: Stack, tmp_path: Path) -> None:
    """Metaspace and memory of the TaskManagers are after twenty jobs what they were after five."""
    meridian("up")
    deployment = write(tmp_path / "cycles.yaml", "cycles", execution_mode=execution_mode())
    seen = []
    for _ in range(CYCLES):
        with running_job(deployment) as job_id:
            wait_until_running(stack, job_id)
        wait_for(lambda: not members(stack, WORKER), 60, "no Python worker is left")
        seen.append((metaspace(stack), rss(stack)))
    print("metaspace and RSS in MB:", [(round(m / 1e6), round(r / 1e6)) for m, r in seen])
    for what, number in (("metaspace", 0), ("RSS", 1)):
        assert seen[-1][number] < GROWTH * max(figures[number] for figures in seen[:WARM]), what


def metaspace(stack: Stack) -> int:
    managers = stack.rest.get("/taskmanagers")["taskmanagers"]
    name = "Status.JVM.Memory.Metaspace.Used"
    return sum(int(stack.rest.get(f"/taskmanagers/{m['id']}/metrics?get={name}")[0]["value"]) for m in managers)


def rss(stack: Stack) -> int:
    return sum(psutil.Process(process.pid).memory_info().rss for process in members(stack, TASKMANAGER))
