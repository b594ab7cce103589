"""What the topics must be follows from the deployment, and what differs is named with what mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.broker.topics import RAW_MESSAGE_BYTES, Difference, TopicSpec, differences, topic_specs
from jobs.cli.preconditions import unfit
from jobs.pipeline.config import Deployment

STREAM = {"name": "air", "metrics": ["air_*"], "unit": "degC"}
CONFIG = Path("my.yaml")


def specs(**limits: int) -> dict[str, TopicSpec]:
    deployment = Deployment.model_validate({"name": "small", "streams": [STREAM], "limits": limits})
    return {spec.role: spec for spec in topic_specs(deployment)}


def found(spec: TopicSpec, partitions: int | None = None, **configs: str) -> list[str]:
    """What is said of a topic that is as wanted but for some settings; a dot is an underscore here."""
    changed = {**spec.configs, **{name.replace("_", "."): value for name, value in configs.items()}}
    replicas = [spec.replication] * (spec.partitions if partitions is None else partitions)
    return unfit(spec, len(replicas), differences(spec, replicas, changed), CONFIG)


def test_a_topic_that_is_as_wanted_is_fit() -> None:
    assert [line for spec in specs().values() for line in found(spec)] == []


def test_a_missing_topic_is_named_with_the_command_that_makes_it() -> None:
    lines = unfit(specs()["raw"], None, (), CONFIG)
    assert lines == ["telemetry.raw: does not exist; meridian topics create --config my.yaml"]


@pytest.mark.parametrize(
    ("role", "change", "line"),
    [
        (
            "raw",
            {"message_timestamp_type": "CreateTime"},
            "telemetry.raw: message.timestamp.type is CreateTime, must be LogAppendTime; "
            "meridian topics mend --config my.yaml",
        ),
        (
            "raw",
            {"max_message_bytes": "1048588"},
            f"telemetry.raw: max.message.bytes is 1048588, must be at least {RAW_MESSAGE_BYTES}; "
            "meridian topics mend --config my.yaml",
        ),
        (
            "late_events",
            {"max_message_bytes": "1048588"},
            "dlq.late_events: max.message.bytes is 1048588, must be at least 2097152; "
            "meridian topics mend --config my.yaml",
        ),
        (
            "windows",
            {"cleanup_policy": "delete"},
            "telemetry.windows: cleanup.policy is delete, must be compact,delete; "
            "meridian topics mend --config my.yaml",
        ),
        (
            "raw",
            {"partitions": 3},
            "telemetry.raw: partitions is 3, must be 4; write `partitions: 3` under topics.raw in my.yaml",
        ),
    ],
)
def test_each_unfit_setting_is_one_line_with_its_remedy(role: str, change: dict[str, Any], line: str) -> None:
    assert found(specs()[role], **change) == [line]


def test_more_room_than_needed_and_policies_in_another_order_are_fit() -> None:
    assert found(specs()["raw"], max_message_bytes="99999999") == []
    assert found(specs()["windows"], cleanup_policy="delete,compact") == []


def test_retention_and_replication_differ_without_being_unfit() -> None:
    spec = specs()["raw"]
    other = differences(spec, [3] * spec.partitions, {**spec.configs, "retention.ms": "1"})
    assert {d.setting for d in other} == {"replication", "retention.ms"} and unfit(spec, 4, other, CONFIG) == []
    assert str(Difference("retention.ms", "", "2")) == "retention.ms is not set, must be 2"


@pytest.mark.parametrize("body", [1_024, 1_048_576, 16_777_216])
@pytest.mark.parametrize("payload", [0, 4_194_304])
def test_the_largest_body_allowed_fits_into_every_topic_it_may_end_in(body: int, payload: int) -> None:
    room = {
        r: int(s.configs.get("max.message.bytes", 0))
        for r, s in specs(max_body_bytes=body, dlq_payload_bytes=payload).items()
    }
    assert room["raw"] > body
    assert room["late_events"] == room["invalid_events"] > payload * 4 / 3
    assert room["raw"] >= room["aligned"] > min(body, RAW_MESSAGE_BYTES - 1)


def test_an_attribute_that_json_writes_longer_than_it_came_still_fits() -> None:
    assert int(specs()["aligned"].configs["max.message.bytes"]) > 1_048_576 * len("1000000000000000.0,") / len("1e15,")
