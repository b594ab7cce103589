"""Values of Flink's configuration file: durations and sizes as Flink writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_DURATION_MS = {"ms": 1, "s": 1_000, "min": 60_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE = {"b": 1, "k": 2**10, "kb": 2**10, "m": 2**20, "mb": 2**20, "g": 2**30, "gb": 2**30}
_TEXT = re.compile(r"^\s*(\d+)\s*([a-z]*)\s*$")

INTERVAL = "execution.checkpointing.interval"
TIMEOUT = "execution.checkpointing.timeout"
INCREMENTAL = "execution.checkpointing.incremental"
STORAGE = "execution.checkpointing.dir"


def duration_ms(config: Mapping[str, Any], key: str) -> int | None:
    """Milliseconds; None: not set, or no duration. A number without a unit is milliseconds, as in Flink."""
    return _number(config.get(key), _DURATION_MS)


def size_bytes(config: Mapping[str, Any], key: str) -> int | None:
    return _number(config.get(key), _SIZE)


def is_set(config: Mapping[str, Any], key: str) -> bool:
    return str(config.get(key, "")).lower() == "true"


def _number(value: Any, units: Mapping[str, int]) -> int | None:
    match = _TEXT.match(str(value).lower())
    if match is None or (match[2] and match[2] not in units):
        return None
    return int(match[1]) * units.get(match[2], 1)
