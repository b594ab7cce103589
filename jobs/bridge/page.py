"""What a bridge has for Prometheus: a port in its file, and figures that `jobs/observe/bridges.py` makes metrics of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Annotated, Any

from pydantic import Field

MetricsPort = Annotated[
    int | None,
    Field(ge=0, le=65_535, description="of a page for Prometheus on 127.0.0.1; 0: any free one; none: no page"),
]

Figures = Callable[[], Mapping[str, Any]]
"""Gives all counters since the start, and how things stand; called at each scrape, from another thread."""

Page = Callable[[int, Figures], AbstractContextManager[object]]
"""Shows the figures of one of several processes, by its place from 0 on, while a block runs."""
