"""A look is put together from Flink's answers and from Kafka's."""

from __future__ import annotations

import time
from typing import Any

import pytest

from jobs.broker.snapshot import UnreadableTopic
from jobs.cluster.rest import ClusterError, FlinkRest
from jobs.doctor.facts import Job, Operator
from jobs.pipeline.config import Deployment
from jobs.pipeline.manifest import manifest_of
from jobs.scaling import reader
from jobs.scaling.reader import look
from tests.unit.scaling.test_figures import aligned

STREAM = {"name": "weather", "metrics": ["air_*"], "unit": "degC", "sla": "5 s"}
DEPLOYMENT = Deployment.model_validate({"name": "small", "streams": [STREAM]})


class Answers(FlinkRest):
    """A cluster that answers from a table."""

    def __init__(self, *tasks: int) -> None:
        self._tasks = tasks

    def get(self, path: str) -> Any:
        vertices = [{"parallelism": n, "status": "RUNNING"} for n in self._tasks]
        return {"/overview": {"slots-available": 2}}.get(
            path, {"state": "RUNNING", "duration": 90_000, "vertices": vertices}
        )


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the stand-ins say; `ends` are of the raw topic, at one look after the other."""
    job = Job("j", "meridian-small", "RUNNING", pending_records=7, operators=(Operator("raw", (), (400.0, 650.0)),))
    facts: dict[str, Any] = {"job": job, "ends": [1_000, 1_500]}

    def spans(deployment: Deployment, topic: str) -> dict[int, tuple[int, int]]:
        if facts["ends"] is None:
            raise UnreadableTopic("away")
        return {0: (0, facts["ends"].pop(0)), 1: (5, 10)}

    def collect(rest: Any, name: str, sample_s: float) -> tuple[Job | None, int]:
        time.sleep(sample_s)
        return facts["job"], 0

    now_ms = time.time_ns() // 1_000_000
    monkeypatch.setattr(reader, "spans_now", spans)
    monkeypatch.setattr(reader, "collect_job", collect)
    monkeypatch.setattr(reader, "topic_records", lambda *_, **__: [aligned("weather", 250, now_ms)] * 30)
    return facts


def test_a_look_has_all_figures(kafka: dict[str, Any]) -> None:
    figures = look(Answers(2, 2), "meridian-small", DEPLOYMENT, 0.05)
    assert figures is not None and figures.is_settled
    assert (figures.parallelism, figures.slots, figures.up_ms, figures.pending) == (2, 4, 90_000, 7)
    assert figures.busy_ms_per_s == 650.0 and dict(figures.p50_ms) == {"weather": 250.0}
    assert figures.arriving_per_s is not None and 1_000 < figures.arriving_per_s <= 500 / 0.05


def test_what_cannot_be_had_is_none(kafka: dict[str, Any]) -> None:
    kafka |= {"ends": None, "job": Job("j", "meridian-small", "RUNNING", operators=(Operator("raw"),))}
    figures = look(Answers(2), "meridian-small", DEPLOYMENT, 0.01)
    assert figures is not None
    assert (figures.pending, figures.arriving_per_s, figures.busy_ms_per_s) == (None, None, None)


def test_a_failing_job_is_not_settled_and_an_absent_one_is_none(kafka: dict[str, Any]) -> None:
    kafka |= {"job": Job("j", "meridian-small", "RUNNING", is_failing=True)}
    figures = look(Answers(2), "meridian-small", DEPLOYMENT, 0.01)
    assert figures is not None and not figures.is_settled
    kafka |= {"job": None, "ends": [1]}
    assert look(Answers(2), "meridian-small", DEPLOYMENT, 0.01) is None


def test_an_sla_is_no_part_of_what_workers_and_state_know() -> None:
    without = Deployment.model_validate({"name": "small", "streams": [{**STREAM, "sla": None}]})
    assert DEPLOYMENT.rules() == without.rules() and manifest_of(DEPLOYMENT, []) == manifest_of(without, [])


def test_a_job_is_as_wide_as_its_widest_task() -> None:
    assert Answers(1, 4, 2).parallelism("j") == 4
    with pytest.raises(ClusterError, match="no tasks yet"):
        Answers().parallelism("j")
