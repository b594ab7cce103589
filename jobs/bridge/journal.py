"""What a bridge says while it runs: one JSON object a line on stderr, for people with jq and for log collectors."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

import orjson


class Journal:
    """Writes events. Callers give facts, never settings: no secret can come in by accident."""

    def __init__(self, bridge: str, stream: TextIO | None = None) -> None:
        self._bridge = bridge
        self._stream = stream or sys.stderr

    def event(self, event: str, **facts: Any) -> None:
        line = {"time_ms": time.time_ns() // 1_000_000, "bridge": self._bridge, "event": event, **facts}
        self._stream.write(orjson.dumps(line, default=str).decode() + "\n")
        self._stream.flush()
