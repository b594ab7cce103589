"""What all parts of one running bridge share."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from jobs.bridge.journal import Journal
from jobs.bridge.rest.config import RestBridge
from jobs.bridge.rest.figures import RestFigures
from jobs.pipeline.config import Kafka


@dataclass(frozen=True)
class Run:
    """One run of a bridge."""

    config: RestBridge
    folder: Path
    """Of the configuration; files named in it are relative to it."""
    kafka: Kafka
    raw_topic: str
    journal: Journal
    stop: threading.Event = field(default_factory=threading.Event)
    """Set to end the run; it also ends every wait."""
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Names this run among others that write the same cursors."""
    figures: RestFigures = field(default_factory=RestFigures)
