"""How long producers gather a batch, and how much they must be able to hold while the broker is away."""

from __future__ import annotations

from jobs.pipeline.durations import format_duration
from jobs.planning.constants import BATCH_BYTES, LINGER_LEAST_MS
from jobs.planning.figures import show, show_bytes
from jobs.planning.inputs import Inputs
from jobs.planning.sheet import Sheet


def linger_ms(bytes_per_s: float, least_ms: float, most_ms: float) -> float:
    """How long a partition takes to fill a batch, within bounds."""
    return min(max(BATCH_BYTES.value / bytes_per_s * 1_000, least_ms), most_ms)


def plan_producers(inputs: Inputs, sheet: Sheet) -> None:
    sent = sheet.add(
        "producer_sends",
        inputs.rate * inputs.peak * inputs.payload / inputs.producers,
        "bytes/s",
        "rate x peak x payload / producers",
        f"{show(inputs.rate, '')} x {inputs.peak:g} x {show_bytes(inputs.payload)} / {inputs.producers}",
    )
    partitions = sheet["partitions"]
    sheet.add(
        "linger",
        linger_ms(sent / partitions, LINGER_LEAST_MS.value, inputs.linger_at_most),
        "ms",
        "batch / bytes/s of a partition, between the shortest linger and the longest allowed",
        f"{BATCH_BYTES.value:,.0f} / ({show_bytes(sent)}/s / {partitions:g}), "
        f"{LINGER_LEAST_MS.value:g} to {inputs.linger_at_most} ms",
        BATCH_BYTES,
        LINGER_LEAST_MS,
    )
    sheet.add(
        "producer_buffer",
        sent * inputs.broker_outage / 1_000,
        "bytes",
        "bytes/s x how long the broker may be away",
        f"{show_bytes(sent)}/s x {format_duration(inputs.broker_outage)}",
    )
