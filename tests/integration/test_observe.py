"""A real Prometheus over a real run: it keeps what docs/metrics.md lists, and answers every panel and alert."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from jobs.cli.local.prometheus import OBSERVE
from jobs.observe.dashboard import panels, queries
from tests.integration.support import (
    ROOT,
    Stack,
    audit,
    committed,
    meridian,
    meridian_running,
    running_job,
    wait_for,
    wait_until_running,
    write_deployment,
)
from tests.support.bridges import bridge
from tests.support.prometheus import Prometheus
from tests.support.rest_place import TOKEN, Place, minutes_ago
from tests.support.rest_source import reading, rest_source

LISTED = set(re.findall(r"^\| (`[^|]+`) \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
NAMES = {
    name for cell in LISTED for name in re.findall(r"`((?:flink|meridian)_[a-zA-Z_]+)`", cell) if "_bridge_" not in name
}
DASHBOARD = yaml.safe_load((OBSERVE / "dashboards" / "meridian.yaml").read_text())


class Run(NamedTuple):
    prometheus: Prometheus
    deployment: Path
    probe: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def run(stack: Stack, prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A short job with probes, seen by Prometheus from the start."""
    deployment = write_deployment(tmp_path_factory.mktemp("observe") / "observed.yaml", "observed")
    with running_job(deployment) as job_id:
        wait_until_running(stack, job_id)
        with meridian_running("probe", "--config", deployment, "--every", "2s") as probe:
            meridian("generate", "--config", deployment, "--readings", "40000", "--rate", "2000", timeout_s=120)
            yield Run(prometheus, deployment, probe)


def test_what_is_listed_is_there_and_nothing_else_of_ours(run: Run) -> None:
    prometheus = run.prometheus
    wait_for(lambda: prometheus.names() >= NAMES, 90, "every listed metric has been scraped")
    ours = {name for name in prometheus.names() if name.startswith(("meridian_", "flink_"))}
    assert {name for name in ours if "_bridge_" not in name} == NAMES


def test_the_rules_are_loaded_and_evaluate(run: Run) -> None:
    prometheus = run.prometheus
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
    assert sum(rule["type"] == "alerting" for rule in rules) >= 10
    wait_for(lambda: recorded <= prometheus.names(), 60, "every recording rule has given something")


@pytest.mark.parametrize("panel", panels(DASHBOARD), ids=lambda panel: str(panel["title"]))
def test_every_panel_shows_something(run: Run, panel: dict[str, Any]) -> None:
    prometheus = run.prometheus
    for expr, _ in queries(panel):
        query = expr.replace("$job", "meridian-observed").replace(" > 0", "")
        wait_for(lambda query=query: prometheus.numbers(query), 60, f"an answer to {query}")


def test_quantiles_come_from_many_buckets(run: Run) -> None:
    prometheus = run.prometheus
    low, high = (
        prometheus.numbers(f"histogram_quantile({q}, sum by (le) (meridian_event_lag_seconds_bucket))")[0]
        for q in (0.1, 0.999)
    )
    assert 0 < low < high


def test_probes_are_control_and_enter_no_result(run: Run, stack: Stack) -> None:
    prometheus, deployment, probe = run
    wait_for(lambda: prometheus.numbers('meridian_probe_stage_seconds_count{stage="total"} > 0'), 60, "a probe came")
    stages = "bridge|align|deduplicate|commit"
    total = prometheus.numbers('sum(meridian_probe_stage_seconds_sum{stage="total"})')
    parts = prometheus.numbers(f'sum(meridian_probe_stage_seconds_sum{{stage=~"{stages}"}})')
    assert parts[0] == pytest.approx(total[0], rel=0.05)
    probe.send_signal(signal.SIGTERM)
    assert probe.wait(30) == 0
    verdict = audit(deployment)
    accounts = [r for r in committed(stack, "observed.accounting") if r["class"] == "control"]
    assert accounts and len({r["probe"] for r in accounts}) == len(accounts)
    # Two end markers a partition come from the generator, at least one from the audit.
    assert verdict["control"] >= len(accounts) + 4


def test_bridges_are_scraped_and_processes_add_up(stack: Stack, prometheus: Prometheus, tmp_path: Path) -> None:
    place = Place(stack, tmp_path, "observed-bridges")
    with rest_source() as source:
        source.readings.extend(reading("s", minutes_ago(minutes)) for minutes in range(1, 31))
        polled_by = place.rest(source)
        polled_by.write_text(polled_by.read_text() + "metrics_port: 0\n")
        with (
            bridge("push", "--config", place.push(processes=2, metrics_port=0)) as endpoint,
            bridge("rest", "--config", polled_by) as poller,
        ):
            port = endpoint.wait_for("listening")["port"]
            for number in range(20):
                sent = reading(f"pushed-{number}", minutes_ago(1))
                wait_for(lambda sent=sent: push(port, sent), 30, "the endpoint answers")  # each by another connection
            answered = 'meridian_bridge_requests_total{bridge="p", feed="readings", status="200"}'
            wait_for(lambda: prometheus.numbers(f"sum({answered})") == [20], 30, "all requests are scraped")
            assert len(prometheus.numbers(f"{answered} > 0")) == 2, "both processes had some"
            assert prometheus.numbers('sum(meridian_bridge_delivered_records_total{bridge="p"})') == [20]
            polled = 'meridian_bridge_readings_total{bridge="b", feed="f"}'
            wait_for(lambda: prometheus.numbers(polled) == [30], 30, "the poller is scraped")
            behind_s = prometheus.numbers('time() - meridian_bridge_cursor_timestamp_seconds{bridge="b", feed="f"}')
            assert 0 <= behind_s[0] < 15
            assert (endpoint.end(), poller.end()) == (0, 0)


def push(port: int, sent: dict[str, Any]) -> bool:
    headers = {"authorization": f"Bearer {TOKEN}"}
    try:
        return httpx.post(f"http://127.0.0.1:{port}/v1/feeds/readings", json=sent, headers=headers).status_code == 200
    except httpx.TransportError:
        return False
