"""Another run over history is the same job in all that decides results, and can call nothing late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import load_deployment
from jobs.reprocess.deployment import OUTPUT_ROLES, Span, output_topics, rerun_document, with_topics

STREAM = {
    "name": "air", "metrics": ["air_*"], "unit": "degC", "max_age": "3 d", "allowed_lateness": "2 min",
    "early_every": "1 min", "windows": [{"name": "5min", "size": "5 min"}],
}  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "name": "small",
    "kafka": {"bootstrap_servers": "${MERIDIAN_KAFKA:-127.0.0.1:9092}", "properties": {"client.id": "${SITE}"}},
    "topics": {"raw": {"name": "raw", "partitions": 2}, "windows": {"name": "windows", "partitions": 3}},
    "time": {"max_future": "60 s", "floor": "2019-01-01"},
    "streams": [STREAM, {**STREAM, "name": "rivers", "metrics": ["level"], "unit": "m", "max_age": "30 d"}],
}
SPAN = Span({0: 5, 1: 7}, {0: 50, 1: 7})


def rerun(tmp_path: Path, span: Span) -> tuple[dict[str, Any], Deployment, Deployment]:
    environment = {"SITE": "secret"}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(DOCUMENT))
    before = load_deployment(tmp_path / "a.yaml", environment)
    document = rerun_document(DOCUMENT, before, "small-v2", output_topics(before, ".v2"), span)
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(document))
    return document, before, load_deployment(tmp_path / "b.yaml", environment)


def test_a_rerun_reads_the_same_topic_and_writes_topics_of_its_own(tmp_path: Path) -> None:
    _, before, after = rerun(tmp_path, SPAN)
    assert after.topics.raw == before.topics.raw and after.name == "small-v2"
    for role in OUTPUT_ROLES:
        old, new = getattr(before.topics, role), getattr(after.topics, role)
        assert new == old.model_copy(update={"name": f"{old.name}.v2"})
    assert (after.kafka.start, after.kafka.stop) == (SPAN.start, SPAN.stop)


def test_a_bounded_rerun_trails_whatever_any_stream_accepts(tmp_path: Path) -> None:
    _, _, after = rerun(tmp_path, SPAN)
    assert after.time.out_of_orderness == 30 * 86_400_000 + 60_000
    assert {(s.allowed_lateness, s.early_every) for s in after.streams} == {(0, None)}


def test_a_rerun_changes_nothing_else(tmp_path: Path) -> None:
    _, before, after = rerun(tmp_path, SPAN)
    same = {"name", "topics", "kafka", "time", "streams"}
    assert before.model_dump(exclude=same) == after.model_dump(exclude=same)
    assert before.time.model_dump(exclude={"out_of_orderness"}) == after.time.model_dump(exclude={"out_of_orderness"})
    for old, new in zip(before.streams, after.streams, strict=True):
        assert old.model_copy(update={"allowed_lateness": 0, "early_every": None}) == new


def test_a_rerun_that_follows_judges_lateness_as_the_live_job_does(tmp_path: Path) -> None:
    _, before, after = rerun(tmp_path, Span({0: 5, 1: 7}, None))
    assert after.kafka.stop is None and after.kafka.start == {0: 5, 1: 7}
    assert (after.time, after.streams) == (before.time, before.streams)


def test_secrets_stay_in_the_environment(tmp_path: Path) -> None:
    document, _, _ = rerun(tmp_path, SPAN)
    assert document["kafka"]["properties"]["client.id"] == "${SITE}" and "secret" not in str(document)


def test_a_span_ends_where_it_stops_or_where_the_topic_does() -> None:
    assert SPAN.until({0: 99, 1: 99}) == {0: (5, 50), 1: (7, 7)}
    assert Span({0: 5, 1: 7}, None).until({0: 99, 1: 98}) == {0: (5, 99), 1: (7, 98)}


def test_other_topics_leave_the_raw_topic_alone(tmp_path: Path) -> None:
    _, before, _ = rerun(tmp_path, SPAN)
    after = with_topics(before, output_topics(before, ".v7"))
    assert after.topics.windows.name == "windows.v7" and after.topics.raw.name == "raw"


@pytest.mark.parametrize("kafka", [{"start": {"0": -1}}, {"start": "sometime"}, {"stop": "latest"}])
def test_offsets_are_by_partition_and_not_negative(tmp_path: Path, kafka: dict[str, Any]) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**DOCUMENT, "kafka": kafka}))
    with pytest.raises(ValueError, match="kafka"):
        load_deployment(tmp_path / "a.yaml", {})
