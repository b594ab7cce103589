"""The page of a generated run, made without Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.audit.claimed_time import ClaimedTime
from jobs.broker.topic_records import TopicRecord
from jobs.pipeline.config import Deployment
from jobs.report.gather import Gathered, Period
from jobs.report.page import render
from jobs.report.timeline import Timeline
from tests.support.audited import Records, audit
from tests.support.generated import KNOBS, NOW_MS, RULES, GeneratedRun, generate, process

HOUR_MS = 3_600_000
DEPLOYMENT = Deployment.model_validate(
    {
        "name": "tidal-stations",
        "position": {"target_crs": "EPSG:3035", "regions": {"grampian": [-5, 56, -1, 58.5], "rhine": [3, 50, 10, 54]}},
        "streams": [{"name": "weather", "metrics": ["air_temperature"], "unit": "degC"}],
    }
)


def records(run: GeneratedRun) -> Iterator[TopicRecord]:
    """The raw records, as if they had come in over an hour."""
    for number, message in enumerate(run.messages):
        stamp_ms = NOW_MS - HOUR_MS + HOUR_MS * number // len(run.messages)
        headers = {name: value or b"" for name, value in message.headers}
        yield TopicRecord("raw", message.partition, message.offset, stamp_ms, message.value or b"", headers)


def published(rows: list[tuple[bytes, bytes]]) -> Iterator[TopicRecord]:
    return (TopicRecord("out", 0, offset, NOW_MS, value, {}) for offset, (_, value) in enumerate(rows))


def gather(outcome: Records, period: Period = Period()) -> Gathered:
    gathered = Gathered(period)
    for sink, rows in outcome.items():
        for name, add in (
            ("aligned", gathered.add_aligned),
            ("windows", gathered.add_windows),
            ("invalid_events", gathered.add_invalid),
            ("late_events", gathered.add_late),
        ):
            if sink == name or sink.startswith(f"{name}-"):
                add(published(rows))
    return gathered


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> GeneratedRun:
    knobs = replace(KNOBS, readings=8_000, stragglers=0.05)
    return generate(tmp_path_factory.mktemp("run") / "ledger.parquet", knobs=knobs)


@pytest.fixture(scope="session")
def outcome(run: GeneratedRun) -> Records:
    return process(run).records


@pytest.fixture(scope="session")
def page(run: GeneratedRun, outcome: Records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    timeline = Timeline(ClaimedTime(RULES), 30_000, 30_000, Period())
    timeline.add(records(run))
    text = render(DEPLOYMENT, gather(outcome), timeline.moments(), audit(run, outcome), NOW_MS)
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text, encoding="utf-8")
    return path
