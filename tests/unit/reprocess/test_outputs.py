"""The pointer names all topics of one version in one record, whatever else the topic holds."""

from __future__ import annotations

import msgspec
import pytest

from jobs.pipeline.config import Deployment
from jobs.reprocess.deployment import OUTPUT_ROLES, Span
from jobs.reprocess.outputs import Pointer, fold, new_version, own_version

DEPLOYMENT = Deployment.model_validate({"name": "d", "streams": [{"name": "s", "metrics": ["*"], "unit": "m"}]})
V2 = new_version(DEPLOYMENT, 2, Span({0: 1}, {0: 9}))


def record(key: str, value: msgspec.Struct | None) -> tuple[bytes, bytes | None]:
    return key.encode(), None if value is None else msgspec.json.encode(value)


def test_without_records_the_deployments_own_topics_are_current() -> None:
    outputs = fold(DEPLOYMENT, [])
    assert outputs.current.topics == own_version(DEPLOYMENT).topics and set(outputs.versions) == {1}


def test_the_last_pointer_counts_and_names_every_output() -> None:
    first, last = Pointer(3, {"windows": "w.v3"}), Pointer(2, V2.topics, 3)
    outputs = fold(DEPLOYMENT, [record("d/v2", V2), record("d", first), record("other", first), record("d", last)])
    assert outputs.current == last and set(outputs.current.topics) == set(OUTPUT_ROLES)
    assert outputs.versions[2] == V2


def test_a_dropped_version_is_gone() -> None:
    assert set(fold(DEPLOYMENT, [record("d/v2", V2), record("d/v2", None)]).versions) == {1}


def test_names_follow_the_configured_suffix() -> None:
    changed = DEPLOYMENT.model_copy(update={"outputs": DEPLOYMENT.outputs.model_copy(update={"suffix": "-r{version}"})})
    assert new_version(changed, 4, Span({}, None)).topics["aligned"] == "telemetry.aligned-r4"


def test_a_suffix_without_the_version_is_refused() -> None:
    with pytest.raises(ValueError, match="suffix"):
        Deployment.model_validate({**DEPLOYMENT.model_dump(), "outputs": {"suffix": ".v2"}})


def test_a_bounded_version_is_behind_by_what_came_after_its_end() -> None:
    assert V2.behind({0: (0, 12)}) == 3 and own_version(DEPLOYMENT).behind({0: (0, 12)}) == 0
    assert V2.span({0: (0, 12)}) == {0: (1, 9)} and own_version(DEPLOYMENT).span({0: (4, 12)}) == {0: (4, 12)}
