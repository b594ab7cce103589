"""The rights of each role are what its work needs, and the page lists exactly them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs.broker.acls import FIRST_RIGHTS, Role, bindings, principals, wanted_rights
from jobs.cli.project import FLINK_CONF, PROJECT_ROOT
from jobs.pipeline.deployment_file import load_deployment

CONFIG = FLINK_CONF / "deployments" / "secure.yaml"
DEPLOYMENT = load_deployment(CONFIG, {**os.environ, "MERIDIAN_KAFKA_CA": "/ca", "MERIDIAN_KAFKA_JOB_LOGIN": "/login"})
RIGHTS = wanted_rights(DEPLOYMENT)
WRITES = {"write", "create", "delete", "alter", "alter_configs"}


def operations(role: Role, name: str) -> set[str]:
    return {operation for right in RIGHTS if (right.role, right.name) == (role, name) for operation in right.operations}


def test_only_the_job_writes_what_it_publishes_and_only_producers_write_readings() -> None:
    writers = {
        (right.name, right.role) for right in RIGHTS if "write" in right.operations and right.resource == "topic"
    }
    assert {role for name, role in writers if name == "secure.raw"} == {Role.PRODUCER}
    assert {role for name, role in writers if name != "secure.raw"} == {Role.JOB}


def test_a_reader_changes_nothing_and_an_admin_reads_nothing() -> None:
    assert not WRITES & {operation for right in RIGHTS if right.role is Role.READER for operation in right.operations}
    assert not {"read", "write"} & {o for right in RIGHTS if right.role is Role.ADMIN for o in right.operations}


def test_a_producer_sees_only_the_raw_topic() -> None:
    rights = {(right.resource, right.name) for right in RIGHTS if right.role is Role.PRODUCER}
    assert rights == {("topic", "secure.raw"), ("transactional_id", "meridian-secure-replay-dlq")}


def test_no_right_is_for_all_of_anything() -> None:
    assert not [right for right in RIGHTS if right.name in ("", "*") or "all" in right.operations]
    assert {right.name for right in RIGHTS if right.is_prefix} == {"meridian-secure-"}
    assert set(FIRST_RIGHTS) == {right for right in RIGHTS if right.resource == "broker" and right.role is Role.ADMIN}


def test_a_principal_can_be_chosen_and_others_keep_their_names() -> None:
    who = principals({Role.PRODUCER: "User:gateway"})
    bound = bindings(RIGHTS, who)
    assert {b.principal for b in bound} == {
        "User:gateway", "User:meridian-job", "User:meridian-reader", "User:meridian-admin",
    }  # fmt: skip
    assert len(bound) == sum(len(right.operations) for right in RIGHTS)


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: f"{right.role}-{right.name}")
def test_each_right_is_on_the_page(right: object) -> None:
    from jobs.broker.acls import Right

    assert isinstance(right, Right)
    page = (PROJECT_ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith(f"| {right.role} |")]
    assert any(", ".join(right.operations) in row and f"| {right.resource} |" in row for row in rows), Path("docs")
