"""The least that each role must be allowed, for one deployment; one principal a role.

    producer  writes readings: `generate`, `replay`, `replay-dlq send`, the bridges
    job       the align job; `replay-dlq late`, which publishes rows as the job does
    reader    looks and judges: `submit`, `audit`, `watch`, `doctor`, `export`, `trace`, `report`; writes nothing
    admin     makes, mends and deletes the topics, and sets these rights

Transactional ids are given by the prefix that a deployment's sinks share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from jobs.broker.topics import problem_of
from jobs.broker.transactions import RESEND
from jobs.pipeline.config import Deployment, Topics

_TIMEOUT_S: Final = 30.0
_CLUSTER: Final = "kafka-cluster"
_MAKES_TOPICS: Final = ("alter_configs", "create", "delete", "describe", "describe_configs")
_PUBLISHED: Final = tuple(role for role in Topics.model_fields if role != "raw")


class Role(StrEnum):
    PRODUCER = "producer"
    JOB = "job"
    READER = "reader"
    ADMIN = "admin"


def principals(chosen: Mapping[Role, str]) -> dict[Role, str]:
    """Who has each role: as chosen, else the user `meridian-<role>`."""
    return {role: chosen.get(role, f"User:meridian-{role}") for role in Role}


class Right(NamedTuple):
    """Operations that a role may do on one resource, from any host."""

    role: Role
    resource: str  # topic, group, transactional_id, broker (the cluster)
    name: str
    is_prefix: bool
    operations: tuple[str, ...]
    why: str


FIRST_RIGHTS: Final = (Right(Role.ADMIN, "broker", _CLUSTER, False, ("alter", "describe"), "`acls --apply`"),)
"""With these the admin gives all others, its own too; a super user gives them once."""


def wanted_rights(deployment: Deployment) -> list[Right]:
    """What the four roles need for a deployment and nothing else."""
    topics, job = deployment.topics, f"meridian-{deployment.name}"
    raw = topics.raw.name
    published = [getattr(topics, role).name for role in _PUBLISHED]
    return [
        Right(Role.PRODUCER, "topic", raw, False, ("describe", "write"), "readings and end markers"),
        Right(Role.PRODUCER, "transactional_id", f"{job}-{RESEND}", False, ("describe", "write"), "`replay-dlq send`"),
        Right(Role.JOB, "topic", raw, False, ("describe", "read"), "source"),
        Right(Role.JOB, "group", job, False, ("read",), "offsets that the source commits, for those who look"),
        *(Right(Role.JOB, "topic", name, False, ("describe", "write"), "sink") for name in published),
        Right(Role.JOB, "transactional_id", f"{job}-", True, ("describe", "write"), "exactly-once sinks"),
        *(
            Right(Role.READER, "topic", name, False, ("describe", "describe_configs", "read"), "records and settings")
            for name in (raw, *published)
        ),
        Right(
            Role.READER, "group", f"meridian-tools-{deployment.name}", False, ("describe",), "librdkafka asks for it"
        ),
        Right(Role.READER, "group", job, False, ("describe",), "how far the job is behind, for `replay-dlq send`"),
        Right(Role.READER, "broker", _CLUSTER, False, ("describe_configs",), "`doctor`: the longest transaction"),
        *(
            Right(Role.ADMIN, "topic", name, False, _MAKES_TOPICS, "`topics create`, `mend` and `delete`")
            for name in (raw, *published)
        ),
        *FIRST_RIGHTS,
    ]


def bindings(rights: Iterable[Right], of_role: Mapping[Role, str]) -> list[AclBinding]:
    """Kafka's form of the rights, each for the principal of its role."""
    return [
        AclBinding(
            ResourceType[right.resource.upper()],
            right.name,
            ResourcePatternType.PREFIXED if right.is_prefix else ResourcePatternType.LITERAL,
            of_role[right.role],
            "*",
            AclOperation[operation.upper()],
            AclPermissionType.ALLOW,
        )
        for right in rights
        for operation in right.operations
    ]


def apply_acls(admin: AdminClient, wanted: list[AclBinding]) -> None:
    """Give rights; those that are there stay, others too.

    Raises
    ------
    TopicProblem : the broker refuses, or has no authorizer.
    """
    for future in admin.create_acls(wanted, request_timeout=_TIMEOUT_S).values():
        try:
            future.result(_TIMEOUT_S)
        except KafkaException as error:
            raise problem_of("rights cannot be set", error.args[0]) from None
