"""promtool checks and tests the rules; every alert is tested and links to a runbook that exists; panels fit Grafana."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from jobs.cli.console import CliError
from jobs.cli.local.prometheus import OBSERVE, find_prometheus, prometheus_config
from jobs.observe.dashboard import grafana, panels, queries
from tests.support.quick_rules import quickened

ROOT = OBSERVE.parents[1]
TESTS = Path(__file__).with_name("alerts_test.yaml")
ALERTS = [
    rule
    for group in yaml.safe_load((OBSERVE / "rules" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = yaml.safe_load((OBSERVE / "dashboards" / "meridian.yaml").read_text())


@pytest.fixture
def promtool() -> Path:
    try:
        return find_prometheus("promtool")
    except CliError as missing:
        pytest.skip(f"{missing}: {missing.hint}")


def _run(*command: str | Path) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_and_its_tests_pass_promtool(promtool: Path) -> None:
    _run(promtool, "test", "rules", TESTS)


def test_the_configuration_of_a_stack_passes_promtool(promtool: Path, tmp_path: Path) -> None:
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump(prometheus_config(19090, 19249, tmp_path)))
    _run(promtool, "check", "config", file)
    assert "127.0.0.1:9249" not in file.read_text()


def test_the_rules_of_fault_tests_differ_in_times_only(promtool: Path, tmp_path: Path) -> None:
    for file in (OBSERVE / "rules").glob("*.yaml"):
        quick, text = tmp_path / file.name, file.read_text()
        quick.write_text(quickened(text))
        _run(promtool, "check", "rules", quick)
        assert quick.read_text() != text
        time = re.compile(r"\b\d+(ms|s|m)?\b")
        assert time.sub("", quick.read_text()) == time.sub("", text)


def test_every_alert_is_shown_to_fire() -> None:
    shown = {
        test["alertname"]
        for case in yaml.safe_load(TESTS.read_text())["tests"]
        for test in case.get("alert_rule_test", [])
        if test["exp_alerts"]
    }
    assert shown == {alert["alert"] for alert in ALERTS}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_links_to_a_runbook(alert: dict[str, dict[str, str]]) -> None:
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    titles = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_panels_of_the_dashboard_do_not_overlap_and_show_every_query() -> None:
    drawn = grafana(DASHBOARD)["panels"]
    taken = [
        (x, y)
        for panel in drawn
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken)) and max(x for x, _ in taken) == 23
    shown = [target["expr"] for panel in drawn for target in panel.get("targets", [])]
    assert shown == [expr for panel in panels(DASHBOARD) for expr, _ in queries(panel)]
