"""The six topics of a deployment: what they must be, making them, saying how existing ones differ, mending those."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from jobs.broker.clients import Admin, make_admin
from jobs.pipeline.config import Deployment, Topics

# A refused reading of any size still has to get in, to be counted and refused: 10 MB bodies and their headers fit.
RAW_MESSAGE_BYTES = 16 * 1024 * 1024
_LETTER_MESSAGE_BYTES = 2 * 1024 * 1024
_ENVELOPE_BYTES = 128 * 1024  # message, headers, names: everything of a record but its payload
_JSON_GROWTH = 4  # `1e15` comes in with 4 bytes and is written as 1000000000000000.0
_TIMEOUT_S = 30.0

# The job fails or goes wrong without these; retention and replication are a matter of taste and money.
_NEEDED = frozenset({"partitions", "cleanup.policy", "message.timestamp.type", "max.message.bytes"})


class TopicProblem(RuntimeError):  # noqa: N818
    """A topic could not be made, deleted or described; one line for a person."""


class NotAllowed(TopicProblem):
    """The login lacks a right."""


def problem_of(what: str, error: KafkaError) -> TopicProblem:
    """What the broker refused, and why; its own text about a missing right is a page of its insides."""
    if error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
        return NotAllowed(f"{what}: {KafkaError(error.code()).str()}")
    return TopicProblem(f"{what}: {error.str()}")


@dataclass(frozen=True)
class TopicSpec:
    """What one topic must be; `configs` are topic configurations by their Kafka names."""

    role: str
    name: str
    partitions: int
    replication: int
    configs: dict[str, str] = field(hash=False)


class Difference(NamedTuple):
    """A setting of an existing topic that is not what the deployment wants."""

    setting: str
    value: str
    wanted: str

    @property
    def is_fatal(self) -> bool:
        """Whether the job fails or goes wrong with it."""
        return self.setting in _NEEDED

    def __str__(self) -> str:
        least = "at least " if self.setting == "max.message.bytes" else ""
        return f"{self.setting} is {self.value or 'not set'}, must be {least}{self.wanted}"


@dataclass(frozen=True)
class TopicState:
    """A topic after `create_topics`: created now or found, and how what was found differs from what was wanted."""

    spec: TopicSpec
    created: bool
    differences: tuple[Difference, ...] = ()


def topic_specs(deployment: Deployment) -> list[TopicSpec]:
    """The wanted topics.

    The raw topic is stamped by the broker: time retention deletes by record timestamp, and a backfill stamped with old
    event times would be gone within minutes; the event-time guard measures against that stamp, too. Window results
    are keyed by window, so compaction keeps the last revision of each.
    """
    limits = deployment.limits
    raw_bytes = max(RAW_MESSAGE_BYTES, limits.max_body_bytes + _ENVELOPE_BYTES)
    letter_bytes = max(_LETTER_MESSAGE_BYTES, -(-limits.dlq_payload_bytes // 3) * 4 + _ENVELOPE_BYTES)
    # An aligned record holds what the raw one did as attributes, written anew, and its own fields.
    aligned_bytes = max(_LETTER_MESSAGE_BYTES, _JSON_GROWTH * limits.max_body_bytes + _ENVELOPE_BYTES)
    special: dict[str, dict[str, str]] = {
        "raw": {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(raw_bytes)},
        "aligned": {"max.message.bytes": str(min(aligned_bytes, raw_bytes))},
        "windows": {"cleanup.policy": "compact,delete"},
        "late_events": {"max.message.bytes": str(letter_bytes)},
        "invalid_events": {"max.message.bytes": str(letter_bytes)},
        "accounting": {},
    }
    specs = []
    for role in Topics.model_fields:
        topic = getattr(deployment.topics, role)
        configs = {"cleanup.policy": "delete", "retention.ms": str(topic.retention), **special[role]}
        specs.append(TopicSpec(role, topic.name, topic.partitions, topic.replication, configs))
    return specs


def create_topics(
    deployment: Deployment, admin: AdminClient | None = None, specs: list[TopicSpec] | None = None
) -> list[TopicState]:
    """Create the topics that are missing (of `specs`, by default the job's); existing ones are compared and left.

    Raises
    ------
    TopicProblem : the broker cannot be reached or refuses a topic.
    """
    admin = admin or make_admin(deployment)
    specs = topic_specs(deployment) if specs is None else specs
    existing = _list(admin)
    missing = [spec for spec in specs if spec.name not in existing]
    made: set[str] = set()
    if missing:
        wanted = [
            NewTopic(s.name, num_partitions=s.partitions, replication_factor=s.replication, config=s.configs)
            for s in missing
        ]
        for name, future in admin.create_topics(wanted, operation_timeout=_TIMEOUT_S).items():
            if _done(f"topic {name}", future, ignore=KafkaError.TOPIC_ALREADY_EXISTS):
                made.add(name)
        _await_leaders(admin, [s for s in specs if s.name in made])
    differences = _differences(admin, [s for s in specs if s.name not in made], existing)
    return [TopicState(s, s.name in made, differences.get(s.name, ())) for s in specs]


def delete_topics(
    deployment: Deployment, admin: AdminClient | None = None, roles: Collection[str] = tuple(Topics.model_fields)
) -> list[str]:
    """Delete the deployment's topics with all their records; what does not exist is skipped. Returns their names."""
    names = [spec.name for spec in topic_specs(deployment) if spec.role in roles]
    return delete_named(admin or make_admin(deployment), names)


def delete_named(admin: AdminClient, names: Collection[str]) -> list[str]:
    """Delete topics with all their records; what does not exist is skipped. Returns the names of the others."""
    existing = _list(admin)
    names = [name for name in names if name in existing]
    if not names:
        return []
    futures = admin.delete_topics(names, operation_timeout=_TIMEOUT_S)
    return [n for n, f in futures.items() if _done(f"topic {n}", f, ignore=KafkaError.UNKNOWN_TOPIC_OR_PART)]


def mend_topics(deployment: Deployment, admin: AdminClient | None = None) -> list[tuple[str, Difference]]:
    """Set the topic configurations that differ; partitions and replication are left. Returns what was set.

    Raises
    ------
    TopicProblem : the broker cannot be reached or refuses a change.
    """
    admin = admin or make_admin(deployment)
    described = describe_topics(deployment, admin)
    wrong = {spec.name: [d for d in found if d.setting in spec.configs] for spec, _, found in described}
    changes = [_change(name, found) for name, found in wrong.items() if found]
    if changes:
        for resource, future in admin.incremental_alter_configs(changes).items():
            _done(f"topic {resource.name}", future)
    return [(name, difference) for name, found in wrong.items() for difference in found]


def describe_topics(
    deployment: Deployment, admin: AdminClient | None = None
) -> list[tuple[TopicSpec, int | None, tuple[Difference, ...]]]:
    """Each wanted topic with its number of partitions (None: it does not exist) and how it differs."""
    admin = admin or make_admin(deployment)
    existing = _list(admin)
    specs = topic_specs(deployment)
    differences = _differences(admin, specs, existing)
    return [
        (s, len(existing[s.name].partitions) if s.name in existing else None, differences.get(s.name, ()))
        for s in specs
    ]


def _change(topic: str, wrong: list[Difference]) -> ConfigResource:
    entries = [ConfigEntry(d.setting, d.wanted, incremental_operation=AlterConfigOpType.SET) for d in wrong]
    return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)


def _list(admin: AdminClient) -> dict[str, Any]:
    try:
        return dict(admin.list_topics(timeout=_TIMEOUT_S / 3).topics)
    except KafkaException as error:
        reason = (admin.listen() if isinstance(admin, Admin) else None) or error.args[0].str()
        raise TopicProblem(f"no answer from Kafka: {reason}") from None


def _await_leaders(admin: AdminClient, specs: list[TopicSpec]) -> None:
    """A topic exists before its partitions have leaders; the next command would fail in between."""
    asked = {TopicPartition(s.name, p): OffsetSpec.latest() for s in specs for p in range(s.partitions)}  # type: ignore[no-untyped-call]
    deadline = time.monotonic() + _TIMEOUT_S
    problem = "no leader yet"
    while time.monotonic() < deadline:
        # Asking for the whole list refreshes librdkafka's cache, which would remember for long that there is no leader.
        known = _list(admin)
        if all(s.name in known and _is_led(known[s.name].partitions, s.partitions) for s in specs):
            for partition, future in admin.list_offsets(asked, request_timeout=5).items():
                try:
                    future.result(timeout=_TIMEOUT_S)
                    del asked[partition]
                except KafkaException as error:
                    problem = error.args[0].str()
            if not asked:
                return
        time.sleep(0.1)
    raise TopicProblem(f"topic {next(iter(asked)).topic}: {problem}")


def _is_led(partitions: dict[int, Any], count: int) -> bool:
    return len(partitions) == count and all(p.leader >= 0 for p in partitions.values())


def _done(what: str, future: Any, ignore: int | None = None) -> bool:
    try:
        future.result(timeout=_TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() == ignore:
            return False
        raise problem_of(what, error.args[0]) from None
    return True


def _differences(
    admin: AdminClient, specs: list[TopicSpec], existing: dict[str, Any]
) -> dict[str, tuple[Difference, ...]]:
    found = [spec for spec in specs if spec.name in existing]
    if not found:
        return {}
    futures = admin.describe_configs([ConfigResource(ResourceType.TOPIC, s.name) for s in found])
    try:
        configs = {resource.name: future.result(timeout=_TIMEOUT_S) for resource, future in futures.items()}
    except KafkaException as error:
        raise problem_of("the topics' settings cannot be read", error.args[0]) from None
    return {
        spec.name: differences(
            spec,
            [len(partition.replicas) for partition in existing[spec.name].partitions.values()],
            {name: str(entry.value) for name, entry in configs[spec.name].items()},
        )
        for spec in found
    }


def differences(spec: TopicSpec, replicas: list[int], configs: dict[str, str]) -> tuple[Difference, ...]:
    """How a topic differs from what is wanted of it.

    Parameters
    ----------
    replicas : number of replicas of each partition.
    configs : the topic's effective configurations.
    """
    replication = replicas[0] if replicas else 0
    found = [
        Difference("partitions", str(len(replicas)), str(spec.partitions)),
        Difference("replication", str(replication), str(spec.replication)),
        *(Difference(name, configs.get(name, ""), wanted) for name, wanted in spec.configs.items()),
    ]
    return tuple(d for d in found if not _is_met(d))


def _is_met(difference: Difference) -> bool:
    if difference.setting == "max.message.bytes":
        return int(difference.value or 0) >= int(difference.wanted)
    return sorted(difference.value.split(",")) == sorted(difference.wanted.split(","))
