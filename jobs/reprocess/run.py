"""A run of the align job over history: its span of the raw topic, its file, its topics, its end."""

from __future__ import annotations

from pathlib import Path

import yaml

from jobs.broker.snapshot import offsets_since, spans_now
from jobs.pipeline.config import Deployment
from jobs.reprocess.deployment import Document, Span


class EmptySpan(ValueError):  # noqa: N818
    """There is nothing to run over; one line for a person."""


def find_span(deployment: Deployment, from_ms: int | None, to_ms: int | None, *, bounded: bool) -> Span:
    """The raw records that Kafka got in [from_ms, to_ms), as offsets, so that a restart reads the same ones.

    Parameters
    ----------
    from_ms, to_ms : epoch ms by the broker's stamps; None: what retention has left, and the end of now.
    bounded : the run ends where the topic ends now; else it goes on.

    Raises
    ------
    EmptySpan : no record is in it.
    UnreadableTopic : the raw topic cannot be read.
    """
    topic = deployment.topics.raw.name
    held = spans_now(deployment, topic)
    start, stop = {p: first for p, (first, _) in held.items()}, {p: end for p, (_, end) in held.items()}
    if from_ms is not None:
        start = stop | offsets_since(deployment, topic, from_ms)
    if to_ms is not None:
        stop |= offsets_since(deployment, topic, to_ms)
    stop = {p: max(stop[p], start[p]) for p in start}
    if bounded and stop == start:
        raise EmptySpan(f"{topic} holds no records of that time")
    return Span(start, stop if bounded else None)


def read_document(path: Path) -> Document:
    """The deployment file as it is written; it has been validated before."""
    document: Document = yaml.safe_load(path.read_text())
    return document


def write_document(path: Path, document: Document, comment: str) -> None:
    path.write_text(f"# {comment}\n{yaml.safe_dump(document, sort_keys=False, allow_unicode=True)}")
