"""Durations as people write them in a deployment file: `500 ms`, `30 s`, `5 min`, `24 h`, `30 d`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_UNIT_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_PATTERN = r"^(\d+)\s*(ms|s|min|h|d)$"


def parse_duration_ms(value: Any) -> int:
    """Milliseconds of a duration text; a bare number is refused because its unit would be a guess."""
    match = re.match(_PATTERN, value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is a whole number and a unit: '500 ms', '30 s', '5 min', '24 h' or '30 d'")
    return int(match[1]) * _UNIT_MS[match[2]]


def format_duration(duration_ms: int) -> str:
    for unit in ("d", "h", "min", "s"):
        if duration_ms and duration_ms % _UNIT_MS[unit] == 0:
            return f"{duration_ms // _UNIT_MS[unit]} {unit}"
    return f"{duration_ms} ms"


DurationMs = Annotated[
    int,
    BeforeValidator(parse_duration_ms),
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["30 s", "5 min", "24 h"]}),
]
