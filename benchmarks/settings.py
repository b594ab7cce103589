"""What the two works are: the same numbers for every variant, the oracle and the deployments beside this file.

*windows*: decode, move to the target CRS, 5-minute windows per sensor, late topic.
*whole*: all stages: validate, convert, deduplicate, aligned topic, tumbling and sliding windows with revisions, DLQs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Work = Literal["windows", "whole"]

MINUTE_MS = 60_000
OUT_OF_ORDERNESS_MS = 30_000
MAX_FUTURE_MS = 60_000
FLOOR_MS = 1_577_836_800_000  # 2020-01-01, the default
STALE_AFTER_MS = 3_600_000
DEDUP_TTL_MS = 86_400_000
TARGET_CRS = "EPSG:3857"
CELL_M = 10_000
DLQ_PAYLOAD_BYTES = 65_536
CONTROL_CONTENT_TYPE = "application/vnd.meridian.control+json"


@dataclass(frozen=True)
class Metric:
    """One metric; `units` says for each unit sent how it becomes the canonical one: value * scale + offset."""

    stream: str
    unit: str
    lowest: float
    highest: float
    units: dict[str, tuple[float, float]]


METRICS = {
    "air_temperature": Metric(
        "weather", "degC", -60.0, 60.0, {"degC": (1.0, 0.0), "degF": (5 / 9, -160 / 9), "K": (1.0, -273.15)}
    ),
    "pm2_5": Metric("air-quality", "ug/m3", 0.0, 2_000.0, {"ug/m3": (1.0, 0.0), "mg/m3": (1_000.0, 0.0)}),
    "water_level": Metric("rivers", "m", -20.0, 100.0, {"m": (1.0, 0.0), "cm": (0.01, 0.0)}),
}


@dataclass(frozen=True)
class WindowDefinition:
    """A tumbling (`slide_ms == size_ms`) or sliding window per sensor and metric."""

    name: str
    size_ms: int
    slide_ms: int
    allowed_lateness_ms: int = 0


WINDOWS: dict[Work, tuple[WindowDefinition, ...]] = {
    "windows": (WindowDefinition("5min", 5 * MINUTE_MS, 5 * MINUTE_MS),),
    "whole": (
        WindowDefinition("5min", 5 * MINUTE_MS, 5 * MINUTE_MS, 2 * MINUTE_MS),
        WindowDefinition("15min", 15 * MINUTE_MS, 5 * MINUTE_MS, 2 * MINUTE_MS),
    ),
}


@dataclass(frozen=True)
class Topics:
    """A variant's output topics; the names are those of the roles in a deployment file."""

    prefix: str

    @property
    def aligned(self) -> str:
        return f"{self.prefix}.aligned"

    @property
    def windows(self) -> str:
        return f"{self.prefix}.windows"

    @property
    def late(self) -> str:
        return f"{self.prefix}.late_events"

    @property
    def invalid(self) -> str:
        return f"{self.prefix}.invalid_events"

    @property
    def accounting(self) -> str:
        return f"{self.prefix}.accounting"

    @property
    def all(self) -> tuple[str, ...]:
        return self.aligned, self.windows, self.late, self.invalid, self.accounting
