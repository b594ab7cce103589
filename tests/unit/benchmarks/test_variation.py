"""Varied deployments differ in what was asked for, and the job's own configuration accepts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scaling import series
from benchmarks.settings import Topics
from benchmarks.state import points
from benchmarks.variation import DEPLOYMENTS, topic_names, vary
from jobs.pipeline.deployment_file import load_deployment

PLAIN = load_deployment(DEPLOYMENTS / "whole.yaml")
POINTS = [point for one in series(100_000) for point in one.points] + list(points(60))


def test_a_changed_key_is_all_that_changes(tmp_path: Path) -> None:
    varied = load_deployment(vary("whole", {"dedup.ttl": "48 h"}, tmp_path))
    assert varied.dedup.ttl == 48 * 3_600_000
    assert varied.model_copy(update={"dedup": PLAIN.dedup}) == PLAIN


def test_a_star_stands_for_every_element(tmp_path: Path) -> None:
    varied = load_deployment(vary("whole", {"streams.*.windows": []}, tmp_path))
    assert [stream.windows for stream in varied.streams] == [[], [], []]


def test_topics_are_renamed_role_by_role(tmp_path: Path) -> None:
    topics = load_deployment(vary("whole", topic_names("a.raw", Topics("b")), tmp_path)).topics
    assert (topics.raw.name, topics.aligned.name, topics.late_events.name) == ("a.raw", "b.aligned", "b.late_events")


def test_an_unknown_section_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        vary("whole", {"dedupe.ttl": "1 h"}, tmp_path)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_every_point_is_a_deployment_with_the_windows_it_is_judged_by(tmp_path: Path, point: object) -> None:
    varied = load_deployment(vary("whole", point.changes, tmp_path))  # type: ignore[attr-defined]
    for stream in varied.streams:
        configured = {(w.name, w.size, w.slide or w.size) for w in stream.windows}
        judged = (*point.by_sensor, *point.by_place)  # type: ignore[attr-defined]
        assert configured == {(d.name, d.size_ms, d.slide_ms) for d in judged}
