"""The page of a bridge has what docs/metrics.md lists for it, and its figures."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry, generate_latest

from jobs.cli.project import PROJECT_ROOT
from jobs.observe.bridges import BridgeCollector


def test_a_bridge_shows_what_is_listed_and_nothing_else() -> None:
    registry, collector = CollectorRegistry(), BridgeCollector("field")
    registry.register(collector)
    collector.figures = {
        "received": 12,
        "spool_records": 3,
        "connected": True,
        "shed": {"backlog": 2},
        "breakers": {"kafka": {"state": "open", "cause": "gone", "transitions": {"open/gone": 3, "half_open/gone": 2}}},
        "diverted": {"gone": 40},
        "cold_records": 40,
        "cold_bytes": 900,
    }
    shown = {re.split("[{ ]", line)[0] for line in generate_latest(registry).decode().splitlines() if line[0] != "#"}
    page = (PROJECT_ROOT / "docs" / "metrics.md").read_text()
    assert shown == set(re.findall(r"^\| `(meridian_bridge_[a-z_]+)`", page, re.MULTILINE))
    assert registry.get_sample_value("meridian_bridge_received_messages_total", {"bridge": "field"}) == 12
    assert registry.get_sample_value("meridian_bridge_spooled_records", {"bridge": "field"}) == 3
    assert registry.get_sample_value("meridian_bridge_connected", {"bridge": "field"}) == 1
    of_kafka = {"bridge": "field", "breaker": "kafka"}
    assert registry.get_sample_value("meridian_bridge_breaker_state", of_kafka) == 2
    to_open = {**of_kafka, "state": "open", "cause": "gone"}
    assert registry.get_sample_value("meridian_bridge_breaker_transitions_total", to_open) == 3
    assert (
        registry.get_sample_value("meridian_bridge_shed_readings_total", {"bridge": "field", "reason": "backlog"}) == 2
    )
