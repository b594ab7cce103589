"""What the bounded runs of the grid job share: their part of the sources, its disorder, and its start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from jobs.broker.clients import make_admin
from jobs.broker.grid_topics import grid_topic_specs
from jobs.broker.snapshot import offsets_since, spans_now
from jobs.broker.topic_records import TopicRecord, topic_records
from jobs.broker.topics import create_topics
from jobs.cli.join import read_grid_file, submit_grid_job
from jobs.pipeline.grid_config import GridDeployment
from jobs.reprocess.deployment import Document, Span
from jobs.reprocess.grid import History, largest_disorder_ms
from jobs.reprocess.run import EmptySpan, write_document
from udfs.grid.gather import AlignedReading
from udfs.grid.rules import GridRules, SourceRule

_decoder = msgspec.json.Decoder(AlignedReading)


def find_history(
    deployment: GridDeployment, rules: GridRules, from_ms: int | None, to_ms: int | None = None
) -> dict[str, History]:
    """What the sources hold of a time, by the records' stamps; None: all, and up to the end of now.

    Raises
    ------
    EmptySpan : nothing.
    UnreadableTopic : a source cannot be read.
    """
    history = {source.name: _history(deployment, rules, source, from_ms, to_ms) for source in rules.sources}
    if all(of.span.start == of.span.stop for of in history.values()):
        raise EmptySpan(f"{', '.join(source.topic for source in rules.sources)}: no records of that time")
    return history


def _history(
    deployment: GridDeployment, rules: GridRules, source: SourceRule, from_ms: int | None, to_ms: int | None
) -> History:
    held = spans_now(deployment, source.topic)  # type: ignore[arg-type]
    start, stop = {p: first for p, (first, _) in held.items()}, {p: end for p, (_, end) in held.items()}
    if from_ms is not None:
        start = stop | offsets_since(deployment, source.topic, from_ms)  # type: ignore[arg-type]
    if to_ms is not None:
        stop |= offsets_since(deployment, source.topic, to_ms)  # type: ignore[arg-type]
    span = Span(start, {p: max(end, start[p]) for p, end in stop.items()})
    corrections = {c.sensor_id: c for c in rules.clock.corrections}

    def times() -> Iterator[tuple[int, int, int]]:
        for record in records_of(deployment, source, span, from_ms):
            try:
                reading = _decoder.decode(record.value)
            except msgspec.DecodeError:
                continue  # the job counts it as unreadable
            known, time_ms = corrections.get(reading.sensor_id), reading.event_time_ms
            yield record.partition, time_ms, time_ms + (known.correction_ms(time_ms) if known else 0)

    return History(span, largest_disorder_ms(times()))


def records_of(
    deployment: GridDeployment, source: SourceRule, span: Span, from_ms: int | None
) -> Iterator[TopicRecord]:
    """The records of a bounded part of a source."""
    held = span.until({})
    for record in topic_records(deployment, source.topic, from_ms):  # type: ignore[arg-type]
        first, end = held[record.partition]
        if first <= record.offset < end:
            yield record


def start_bounded(file: Path, document: Document, comment: str) -> str:
    """Write the grid file of a bounded run, create its topics and submit it; the job's id."""
    write_document(file, document, comment)
    deployment = read_grid_file(file)
    create_topics(deployment, make_admin(deployment), grid_topic_specs(deployment))  # type: ignore[arg-type]
    return submit_grid_job(file, deployment, None)
