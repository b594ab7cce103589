"""Holds a deployment and an engine configuration against a plan: a line says key, value, what it should be and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.pipeline.config import Deployment
from jobs.pipeline.durations import format_duration
from jobs.planning.checkpoints import cost, transaction_timeout_ms
from jobs.planning.constants import SHARDS_PER_SUBTASK
from jobs.planning.engine import INCREMENTAL, INTERVAL, TIMEOUT, duration_ms, is_set
from jobs.planning.figures import show
from jobs.planning.inputs import Inputs
from jobs.planning.sheet import Sheet
from jobs.planning.times import anomaly_range_ms, least_window_ms


def check(inputs: Inputs, plan: Sheet, deployment: Deployment, engine: Mapping[str, Any]) -> list[str]:
    """What does not fit the plan; nothing: it does."""
    return [
        *_scale(inputs, plan, deployment),
        *_times(inputs, plan, deployment),
        *_checkpoints(inputs, plan, deployment, engine),
    ]


def _scale(inputs: Inputs, plan: Sheet, deployment: Deployment) -> Iterator[str]:
    raw = deployment.topics.raw
    if deployment.parallelism < plan["parallelism"]:
        wanted = plan.result("parallelism")
        yield f"parallelism = {deployment.parallelism}: at least {wanted} for {plan.result('capacity_needed')}"
    if raw.partitions % deployment.parallelism:
        yield (
            f"topics.raw.partitions = {raw.partitions}: a multiple of parallelism ({deployment.parallelism}), "
            "or subtasks read unequal shares"
        )
    if raw.partitions < plan["partitions"]:
        yield (
            f"topics.raw.partitions = {raw.partitions}: at least {plan.result('partitions')}, "
            "the planned maximum parallelism"
        )
    if deployment.shards < SHARDS_PER_SUBTASK.value * deployment.parallelism:
        yield (
            f"shards = {deployment.shards}: at least {SHARDS_PER_SUBTASK.value * deployment.parallelism:g}, "
            "four times the parallelism; STATE-BREAKING to change"
        )
    if raw.retention < plan["raw_retention"]:
        kept = format_duration(raw.retention)
        yield f"topics.raw.retention = {kept}: at least {plan.result('raw_retention')}, the longest outage"
    if raw.replication < inputs.replication:
        yield f"topics.raw.replication = {raw.replication}: {inputs.replication}"


def _times(inputs: Inputs, plan: Sheet, deployment: Deployment) -> Iterator[str]:
    given = deployment.time.out_of_orderness
    if inputs.disorder is not None and given < plan["out_of_orderness"]:
        yield (
            f"time.out_of_orderness = {format_duration(given)}: {plan.result('out_of_orderness')}, "
            f"twice the measured p99 of {format_duration(inputs.disorder.p99)}"
        )
    if deployment.dedup.ttl < inputs.dedup_ttl:
        yield f"dedup.ttl = {format_duration(deployment.dedup.ttl)}: {format_duration(inputs.dedup_ttl)}"
    for stream in deployment.streams:
        least = least_window_ms(stream.period or inputs.period)
        for window in stream.windows:
            key = f"streams.{stream.name}.windows.{window.name}.size = {format_duration(window.size)}"
            if window.key == "sensor" and window.size < least:
                yield f"{key}: at least {format_duration(least)}, ten samples"
            if inputs.anomaly is not None:
                low, high = anomaly_range_ms(inputs.anomaly)
                if not low <= window.size <= high:
                    yield f"{key}: {format_duration(low)} to {format_duration(high)}, two to three times the anomaly"


def _checkpoints(inputs: Inputs, plan: Sheet, deployment: Deployment, engine: Mapping[str, Any]) -> Iterator[str]:
    interval_ms = duration_ms(engine, INTERVAL)
    if interval_ms is None:
        wanted = plan.result("checkpoint_interval")
        yield f"{INTERVAL} is not set: exactly-once results would never be committed; {wanted}"
        return
    chosen = plan.result("checkpoint_interval")
    share = cost(plan["state_size"], interval_ms, inputs.write_rate)
    if interval_ms < plan["checkpoint_interval"] and share > inputs.checkpoint_budget:
        yield (
            f"{INTERVAL} = {format_duration(interval_ms)}: a full checkpoint takes {show(100 * share, 'percent')} "
            f"of that, over {100 * inputs.checkpoint_budget:g} %; {chosen}"
        )
    if not is_set(engine, INCREMENTAL):
        whole, part = plan.result("state_size"), plan.result("incremental_checkpoint")
        yield f"{INCREMENTAL} is not true: each checkpoint writes {whole} and not {part}"
    longest_ms = duration_ms(engine, TIMEOUT)
    if longest_ms is not None and plan["full_checkpoint"] > longest_ms:
        yield f"{TIMEOUT} = {format_duration(longest_ms)}: a full checkpoint takes {plan.result('full_checkpoint')}"
    needed_ms = transaction_timeout_ms(interval_ms, plan["full_checkpoint"], inputs.recovery.restart)
    if deployment.kafka.transaction_timeout < needed_ms:
        yield (
            f"kafka.transaction_timeout = {format_duration(deployment.kafka.transaction_timeout)}: at least "
            f"{format_duration(needed_ms)}, or a long restart loses committed results"
        )
