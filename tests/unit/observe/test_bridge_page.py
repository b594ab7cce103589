"""The page of a bridge has what docs/metrics.md lists for its kind, and its figures."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from jobs.bridge.journal import Journal
from jobs.bridge.rest.config import PushBridge
from jobs.bridge.rest.cursors import Cursor
from jobs.bridge.rest.figures import RestFigures
from jobs.bridge.rest.gaps import Gap, GapReport
from jobs.bridge.rest.push.app import PushApp
from jobs.bridge.rest.push.batch import Batch
from jobs.bridge.rest.push.sender import PushSender
from jobs.bridge.rest.span import Span
from jobs.cli.project import PROJECT_ROOT
from jobs.observe.bridges import BridgeCollector
from jobs.observe.endpoint import metrics_page
from jobs.pipeline.deployment_file import load_deployment

DEMO = PROJECT_ROOT / "flink-conf" / "deployments" / "demo.yaml"
LISTED = re.split(r"^##+ ", (PROJECT_ROOT / "docs" / "metrics.md").read_text(), flags=re.MULTILINE)


def listed(title: str) -> set[str]:
    (section,) = (text for text in LISTED if text.startswith(title))
    return set(re.findall(r"^\| `(meridian_bridge_[a-z_]+)`", section, re.MULTILINE))


def scraped(figures: Mapping[str, Any]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(BridgeCollector("field", lambda: figures))
    return registry


def names(registry: CollectorRegistry) -> set[str]:
    return {re.split("[{ ]", line)[0] for line in generate_latest(registry).decode().splitlines() if line[0] != "#"}


def test_an_mqtt_bridge_shows_what_is_listed_and_nothing_else() -> None:
    figures = dict.fromkeys(("received", "come_again", "acknowledged", "unreadable", "delivered", "in_flight"), 12)
    registry = scraped({**figures, "spool_records": 3, "spool_bytes": 9, "connected": True, "shed": {"backlog": 2}})
    assert names(registry) == listed("Of all bridges") | listed("Of the MQTT bridge")
    of_field = {"bridge": "field"}
    assert registry.get_sample_value("meridian_bridge_received_messages_total", of_field) == 12
    assert registry.get_sample_value("meridian_bridge_connected", of_field) == 1
    assert registry.get_sample_value("meridian_bridge_shed_readings_total", of_field | {"reason": "backlog"}) == 2


def test_breakers_show_what_is_listed_and_nothing_else() -> None:
    transitions = {"open/gone": 3, "half_open/gone": 2}
    registry = scraped(
        {
            "breakers": {"kafka": {"state": "open", "cause": "gone", "transitions": transitions}},
            "diverted": {"gone": 40},
            "cold_records": 40,
            "cold_bytes": 900,
        }
    )
    assert names(registry) == listed("Of breakers")
    of_kafka = {"bridge": "field", "breaker": "kafka"}
    assert registry.get_sample_value("meridian_bridge_breaker_state", of_kafka) == 2
    to_open = {**of_kafka, "state": "open", "cause": "gone"}
    assert registry.get_sample_value("meridian_bridge_breaker_transitions_total", to_open) == 3


def test_a_poller_shows_what_is_listed_and_nothing_else() -> None:
    figures = RestFigures()
    rivers = figures.of("rivers")
    rivers.requests["200"] += 3
    rivers.committed(Cursor(readings=1_000_000))  # of earlier runs
    rivers.committed(Cursor(readings=1_000_040, repeats=5, until_ms=60_000, newest_ms=50_000, polled_at_ms=61_500))
    rivers.take(GapReport(found=[Gap(("s", "m"), 0, 9)], silent=2))
    past = figures.of("past")
    past.backfill, past.cursor = Span(1_000, 5_000), Cursor(until_ms=2_000, polled_at_ms=61_000)
    registry = scraped(figures.snapshot())
    shed = {"meridian_bridge_shed_readings_total"}  # a poller sheds nothing
    assert names(registry) == listed("Of the REST poller") | listed("Of all bridges") - shed

    def value(name: str, feed: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"meridian_bridge_{name}", {"bridge": "field", "feed": feed, **labels})

    assert value("requests_total", "rivers", status="200") == 3
    assert value("readings_total", "rivers") == 40
    assert value("gaps_total", "rivers") == 1
    assert value("cursor_timestamp_seconds", "rivers") == 60
    assert value("backfill_done_ratio", "past") == 0.25
    assert value("cursor_timestamp_seconds", "past") is None, "a backfill's cursor is not the feed's"


class SenderOfNothing(PushSender):
    """Takes every reading, and Kafka has it at once."""

    def submit(self, batch: Batch) -> None:
        batch.expect(len(batch.payloads), lambda *_: None)
        for _ in batch.payloads:
            batch.on_ack(None, None)
        batch.sent_all()


def push_app() -> PushApp:
    document = {
        "name": "field",
        "deployment": "demo.yaml",
        "auth": {"kind": "none"},
        "feeds": [{"name": "readings", "adapter": "meridian"}],
        "shedding": {"streams": [{"stream": "weather", "limit": {"count": 60, "per": "1 min"}}]},
    }
    config = PushBridge.model_validate(document)
    sender = SenderOfNothing(config, load_deployment(DEMO), Journal("field"))
    return PushApp(config, sender, lambda header: None if header is None else "anyone")


def post(app: PushApp, path: str, body: bytes, **headers: str) -> int:
    """The status that the endpoint answers with."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app.asgi()(scope, receive, send))
    return int(sent[0]["status"])


def test_a_push_endpoint_shows_what_is_listed_and_nothing_else() -> None:
    app = push_app()
    known = {"authorization": "Bearer x", "content_type": "application/x-ndjson"}
    assert post(app, "/v1/feeds/readings", b'{"a": 1}\n{"a": 2}', **known) == 200
    assert post(app, "/v1/feeds/readings", b"{}") == 401
    assert post(app, "/v1/feeds/guess-1", b"{}", **known) == 404
    figures = app.figures()
    assert figures["requests"] == {("readings", "200"): 1, ("readings", "401"): 1, ("", "404"): 1}
    assert (figures["readings"], figures["delivered"]) == ({"readings": 2}, 2)
    registry = scraped({**figures, "shed": {"rate_limited": 1}})
    assert names(registry) == listed("Of the push endpoint") | listed("Of all bridges")


@pytest.fixture
def targets(tmp_path: Path) -> Path:
    folder = tmp_path / "targets"
    folder.mkdir()
    return folder


def test_a_page_says_where_it_is_and_forgets_those_of_the_dead(targets: Path) -> None:
    killed, alive = targets / "999999999-1.json", targets / f"{os.getppid()}-1.json"
    killed.write_text("[]")
    alive.write_text("[]")
    with metrics_page(CollectorRegistry(), 0, targets) as port:
        (own,) = set(targets.iterdir()) - {alive}
        assert orjson.loads(own.read_bytes()) == [{"targets": [f"127.0.0.1:{port}"]}]
    assert list(targets.iterdir()) == [alive]
