"""The way of one reading through the topics, by its trace or event id, with the time of each stage.

Its headers tell what came before the raw topic; behind it, every published record names the raw offset it is made of.
Pure: `jobs.cli.trace` brings the records.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from jobs.audit.fold import assign
from jobs.audit.records import Window, decode_window
from jobs.broker.topic_records import TopicRecord
from udfs.dead_letter import REPLAY_OF
from udfs.rules import Rules

OUTCOMES: Final = ("aligned", "accounting", "invalid_events", "late_events")
"""Topics whose records name a raw offset."""

_TRACE_ID = re.compile(r"(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:-[0-9a-f]{16}-[0-9a-f]{2})?")
_PLACE = re.compile(r"(?:.+/)?(\d+)/(\d+)")


class Stage(NamedTuple):
    """One stage that the reading has passed."""

    name: str
    time_ms: int | None
    """Epoch milliseconds; None: the stage leaves no time."""
    where: str = ""
    what: str = ""


class _Origin(msgspec.Struct):
    partition: int = -1
    offset: int = -1


@dataclass
class Journey:
    """A raw record and what was made of it."""

    raw: TopicRecord
    found: dict[str, list[TopicRecord]] = field(default_factory=dict)
    """By outcome."""
    windows: dict[WindowId, TopicRecord | None] = field(default_factory=dict)
    """The newest revision of each window that holds it; None: not fired yet."""


class WindowId(NamedTuple):
    """What makes rows of the windows topic the same window."""

    stream: str
    definition: str
    key: str
    metric: str
    start_ms: int


def wanted_by(name: str) -> Callable[[TopicRecord], bool]:
    """Say which raw records are meant.

    Parameters
    ----------
    name
        A trace id, a `traceparent`, `PARTITION/OFFSET` of the raw topic (its name may stand before), or an event id.
    """
    if match := _TRACE_ID.fullmatch(name):
        trace_id = match[1].encode()
        return lambda record: record.headers.get("traceparent", b"")[3:35] == trace_id
    if match := _PLACE.fullmatch(name):
        place = (int(match[1]), int(match[2]))
        return lambda record: (record.partition, record.offset) == place
    event_id, ending = name.encode(), f"/{name}".encode()

    def has_event_id(record: TopicRecord) -> bool:
        named = record.headers.get("ce_id", b"")
        if named == event_id or named.endswith(ending):
            return True
        return event_id in record.value and _event_id(record.value) == name

    return has_event_id


def add_outcomes(journeys: Iterable[Journey], outcome: str, records: Iterable[TopicRecord]) -> None:
    """Give each journey the records of a topic that are made of its raw record."""
    wanted = {(journey.raw.partition, journey.raw.offset): journey for journey in journeys}
    decode = msgspec.json.Decoder(_Origin).decode
    for record in records:
        origin = decode(record.value)
        if journey := wanted.get((origin.partition, origin.offset)):
            journey.found.setdefault(outcome, []).append(record)


def expect_windows(journey: Journey, rules: Rules) -> None:
    """Say which windows must hold an aligned reading; those it missed have a dead letter."""
    for record in journey.found.get("aligned", ()):
        reading = msgspec.json.decode(record.value)
        keys = {"sensor": reading["sensor_id"], "cell": reading["cell"], "region": reading["region"]}
        stream = next(stream for stream in rules.streams if stream.name == reading["stream"])
        missed = {letter["definition"] for letter in _decoded(journey, "late_events")}
        for window in stream.windows:
            if window.name in missed:
                continue
            for start_ms in assign(np.array([reading["event_time_ms"]]), window)[1]:
                identity = (stream.name, window.name, keys[window.key], reading["metric"], int(start_ms))
                journey.windows[WindowId(*identity)] = None


def add_windows(journeys: Iterable[Journey], records: Iterable[TopicRecord]) -> None:
    """Give each window that a journey expects its newest revision."""
    expected = [(journey.windows, identity) for journey in journeys for identity in journey.windows]
    newest: dict[WindowId, TopicRecord | None] = {identity: None for _, identity in expected}
    for record in records:
        row = decode_window(record.value)
        identity = WindowId(row.stream, row.definition, row.key, row.metric, row.window_start_ms)
        if identity in newest:
            before = newest[identity]
            if before is None or decode_window(before.value).revision <= row.revision:
                newest[identity] = record
    for windows, identity in expected:
        windows[identity] = newest[identity]


def stages(journey: Journey) -> list[Stage]:
    """The stages in their order; what is not there has not happened, or cannot be seen."""
    return [*_before_kafka(journey.raw), *behind_kafka(journey)]


def _before_kafka(raw: TopicRecord) -> Iterator[Stage]:
    headers = raw.headers
    text = {name: headers[name].decode(errors="replace") for name in headers}
    device_ms = _number(headers.get("device_timestamp") or headers.get("event_timestamp"))
    if device_ms:
        yield Stage("device", device_ms, text.get("sensor_id", ""), "event time")
    if "bridge_timestamp" in headers:
        adapter = f"adapter {text.get('bridge_adapter', '?')}"
        yield Stage("bridge received", _number(headers["bridge_timestamp"]), text.get("ce_source", ""), adapter)
    what = f"trace {text['traceparent'][3:35]}" if "traceparent" in text else ""
    if REPLAY_OF in text:
        what = f"replays {text[REPLAY_OF]} {what}".strip()
    yield Stage("kafka appended", raw.timestamp_ms, raw.place, what)


def behind_kafka(journey: Journey) -> Iterator[Stage]:
    """What the job has made of the raw record."""
    for record in journey.found.get("aligned", ()):
        row = msgspec.json.decode(record.value)
        what = f"{row['metric']} {row['value']:g} {row['unit']}, event id {row['event_id']}"
        yield Stage("aligned", record.timestamp_ms, record.place, what)
    for record in journey.found.get("accounting", ()):
        row = msgspec.json.decode(record.value)
        what = row.get("reason") or row.get("definition") or ""
        if "repeats_partition" in row:
            what = f"repeats {journey.raw.topic}/{row['repeats_partition']}/{row['repeats_offset']}"
        yield Stage(row["class"].replace("_", " "), record.timestamp_ms, record.place, what)
    for record in journey.found.get("invalid_events", ()):
        row = msgspec.json.decode(record.value)
        yield Stage("invalid", record.timestamp_ms, record.place, f"{row['reason']}: {row['message']}"[:200])
    for record in journey.found.get("late_events", ()):
        row = msgspec.json.decode(record.value)
        what = f"{row['definition']}: {row['lateness_ms']:,} ms behind the watermark"
        yield Stage("late", record.timestamp_ms, record.place, what)
    for identity, found in sorted(journey.windows.items()):
        yield _window_stage(identity, found)


def _window_stage(identity: WindowId, record: TopicRecord | None) -> Stage:
    if record is None:
        return Stage("window", None, "", f"{identity.definition} of {identity.key}: not fired yet")
    row = decode_window(record.value)
    return Stage("window", _emitted_ms(record), record.place, _describe(row))


def _describe(row: Window) -> str:
    return f"{row.definition} of {row.key}: mean {row.mean:g} of {row.count:,}, {row.timing}, revision {row.revision}"


def _emitted_ms(record: TopicRecord) -> int:
    return int(msgspec.json.decode(record.value)["emitted_at_ms"])


def _decoded(journey: Journey, outcome: str) -> Iterator[dict[str, Any]]:
    return (msgspec.json.decode(record.value) for record in journey.found.get(outcome, ()))


def _event_id(value: bytes) -> str | None:
    try:
        document = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return None
    return document.get("event_id") if isinstance(document, dict) else None


def _number(text: bytes | None) -> int | None:
    return int(text) if text and text.isdigit() else None
