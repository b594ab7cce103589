"""What a deployment changes in the tables of `sql/`: servers, topics, transactional ids, times; as ALTER TABLE and SET.

The files hold the demo's values, so that the stock client runs them as they are; nothing is put into their text.
"""

from __future__ import annotations

from jobs.pipeline.config import Deployment
from jobs.pipeline.kafka_options import common_options

SUMMARIES = ("hourly", "sliding", "sessions", "local_days", "day_so_far", "areas")
_LATE_SINKS = ("revised", "final")


def summary_topics(deployment: Deployment) -> dict[str, str]:
    """The topics that only the SQL side has, by role."""
    prefix = deployment.summaries.topic_prefix
    return {
        **{f"summaries_{name}": f"{prefix}summaries.{name}" for name in SUMMARIES},
        "late_summaries": f"{prefix}dlq.late_summaries",
        "stations": f"{prefix}reference.stations",
        "limits": f"{prefix}reference.limits",
    }


def source_statements(deployment: Deployment) -> list[str]:
    """Statements to run after 10_sources.sql and 11_logs.sql; they may hold secrets."""
    lateness_ms, disorder_ms = deployment.summaries.allowed_lateness, deployment.time.out_of_orderness + 1
    own, topics = summary_topics(deployment), deployment.topics
    tables = {
        "raw_records": topics.raw.name,
        "windows": topics.windows.name,
        "late_events": topics.late_events.name,
        "invalid_events": topics.invalid_events.name,
        "accounting": topics.accounting.name,
        "stations": own["stations"],
        "station_log": own["stations"],
        "limits": own["limits"],
        "limit_log": own["limits"],
        "late_summaries": own["late_summaries"],
        "summary_log": ";".join(own[f"summaries_{name}"] for name in SUMMARIES),
    }
    aligned = {
        "topic": topics.aligned.name,
        "properties.group.id": f"meridian-{deployment.name}-summaries",
        "scan.watermark.idle-timeout": f"{deployment.time.idle_after} ms",
        "scan.watermark.emit.strategy": "on-event" if deployment.time.watermarks == "on-event" else "on-periodic",
    }
    return [
        f"SET 'table.exec.emit.allow-lateness' = '{lateness_ms} ms'",
        f"ALTER TABLE aligned MODIFY allowed_lateness_ms AS CAST({lateness_ms} AS BIGINT)",
        f"ALTER TABLE aligned MODIFY WATERMARK FOR event_time AS TO_TIMESTAMP_LTZ(event_time_ms - {disorder_ms}, 3)",
        _alteration(deployment, "aligned", aligned),
        *(_alteration(deployment, table, {"topic": topic}) for table, topic in tables.items()),
    ]


def sink_statements(deployment: Deployment) -> list[str]:
    """Statements to run after 30_summaries.sql; they may hold secrets."""
    own, job = summary_topics(deployment), f"meridian-{deployment.name}"
    timeout = {"properties.transaction.timeout.ms": str(deployment.kafka.transaction_timeout)}
    sinks = {f"summaries_{n}": (own[f"summaries_{n}"], f"{job}-summaries-{n}") for n in SUMMARIES}
    sinks |= {f"late_{n}": (own["late_summaries"], f"{job}-late-{n}") for n in _LATE_SINKS}
    return [
        _alteration(deployment, table, {"topic": topic, "sink.transactional-id-prefix": prefix, **timeout})
        for table, (topic, prefix) in sinks.items()
    ]


def _alteration(deployment: Deployment, table: str, options: dict[str, str]) -> str:
    settings = {**common_options(deployment), **options}.items()
    return f"ALTER TABLE {table} SET ({', '.join(f'{_quoted(name)} = {_quoted(value)}' for name, value in settings)})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
