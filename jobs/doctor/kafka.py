"""Facts from Kafka: the broker's limits, the topics, and the newest raw and aligned records."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import orjson
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]
from pyproj.exceptions import ProjError
from pyproj.transformer import TransformerGroup

from jobs.audit.claimed_time import NO_TIME, ClaimedTime
from jobs.broker.clients import client_settings
from jobs.broker.snapshot import UnreadableTopic, spans_now
from jobs.broker.topic_records import TopicRecord, topic_records
from jobs.broker.topics import TopicProblem, describe_topics
from jobs.doctor.facts import Broker, Partition, Topic
from jobs.pipeline.config import Deployment
from udfs.rules import Rules

_NEWEST = 200  # records of a partition that are looked at
_TIMEOUT_S = 10


def collect_broker(deployment: Deployment, rules: Rules) -> Broker:
    servers = deployment.kafka.bootstrap_servers
    # Only what is critical is logged: that a broker refuses is the answer, not news.
    admin = AdminClient({**client_settings(deployment), "log_level": 2})
    try:
        listed = admin.list_topics(timeout=_TIMEOUT_S)
        topics = tuple(
            Topic(
                spec.role,
                spec.name,
                min((len(p.replicas) for p in listed.topics[spec.name].partitions.values()), default=None)
                if partitions
                else None,
                _min_insync(admin, spec.name) if partitions else None,
                _unfit(spec.name, partitions, differences),
            )
            for spec, partitions, differences in describe_topics(deployment, admin)
        )
        longest = _config(admin, ResourceType.BROKER, str(next(iter(listed.brokers))), "transaction.max.timeout.ms")
    except KafkaException as error:
        return Broker(servers, problem=error.args[0].str())
    except TopicProblem as problem:
        return Broker(servers, problem=str(problem))
    present = {topic.role for topic in topics if topic.replication is not None}
    return Broker(
        servers,
        transaction_max_ms=None if longest is None else int(longest),
        topics=topics,
        partitions=_partitions(deployment, rules) if "raw" in present else (),
        without_grid=_without_grid(deployment) if "aligned" in present else {},
    )


def partition_facts(records: Iterable[TopicRecord], spans: dict[int, tuple[int, int]], rules: Rules) -> list[Partition]:
    """The newest plausible event time, the newest stamp, and the smallest lead of the broker's stamps, by partition."""
    claimed = ClaimedTime(rules)
    newest: dict[int, dict[str, int]] = {number: {} for number in spans}
    for record in records:
        mine = newest[record.partition]
        mine["newest_append_ms"] = max(record.timestamp_ms, mine.get("newest_append_ms", 0))
        event_ms = claimed.of(record.headers, record.value, record.timestamp_ms)
        if event_ms != NO_TIME:
            mine["newest_event_ms"] = max(event_ms, mine.get("newest_event_ms", NO_TIME))
        ingest = record.headers.get("ingest_timestamp", b"")
        if ingest.isdigit():
            ahead_ms = int(ingest) - record.timestamp_ms
            mine["ingest_ahead_ms"] = max(ahead_ms, mine.get("ingest_ahead_ms", NO_TIME))
    return [Partition(p, high - low, **newest[p]) for p, (low, high) in sorted(spans.items())]


def missing_grids(crs: str, target: str) -> tuple[str, ...]:
    """Grids of better operations between two CRSs that PROJ does not find here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            group = TransformerGroup(crs, target, always_xy=True)
    except (ProjError, IndexError):
        return ()
    names = [grid.short_name for operation in group.unavailable_operations for grid in operation.grids]
    return tuple(dict.fromkeys(name for name in names if name))


def _partitions(deployment: Deployment, rules: Rules) -> tuple[Partition, ...]:
    topic = deployment.topics.raw.name
    try:
        spans = spans_now(deployment, topic)
        return tuple(partition_facts(topic_records(deployment, topic, newest=_NEWEST), spans, rules))
    except UnreadableTopic:
        return ()


def _without_grid(deployment: Deployment) -> dict[str, tuple[str, ...]]:
    """CRSs of the newest aligned readings that were not transformed in the best way, and what is missing for it."""
    found: dict[str, tuple[str, ...]] = {}
    try:
        for record in topic_records(deployment, deployment.topics.aligned.name, newest=_NEWEST):
            reading: dict[str, Any] = orjson.loads(record.value)
            crs = reading.get("crs_source", "")
            if reading.get("best_available") is False and crs not in found:
                found[crs] = missing_grids(crs, reading.get("crs_target", deployment.position.target_crs))
    except (UnreadableTopic, orjson.JSONDecodeError):
        return {}
    return {crs: grids for crs, grids in found.items() if grids}


def _unfit(name: str, partitions: int | None, differences: Iterable[Any]) -> tuple[str, ...]:
    if partitions is None:
        return (f"topic {name} does not exist: `meridian topics create`",)
    return tuple(f"topic {name}: {d}: `meridian topics mend`" for d in differences if d.is_fatal)


def _min_insync(admin: Any, topic: str) -> int | None:
    value = _config(admin, ResourceType.TOPIC, topic, "min.insync.replicas")
    return None if value is None else int(value)


def _config(admin: Any, kind: ResourceType, name: str, key: str) -> str | None:
    future = next(iter(admin.describe_configs([ConfigResource(kind, name)]).values()))
    entry = future.result(timeout=_TIMEOUT_S).get(key)
    return None if entry is None else entry.value
