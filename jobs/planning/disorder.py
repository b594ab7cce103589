"""How far out of order a topic is: how long each reading is behind the newest one before it in its partition.

That is what a watermark per partition has to wait for, live as in a replay; an implausible time counts for nothing,
since it moves no watermark.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np


class Quantiles(NamedTuple):
    readings: int
    in_order: int
    p50_ms: int
    p99_ms: int
    p999_ms: int
    max_ms: int


class DisorderSample:
    """Takes event times in the order of each partition; 8 bytes a reading."""

    def __init__(self) -> None:
        self._newest_ms: dict[int, int] = {}
        self._behind_ms = array("q")

    def add(self, partition: int, event_ms: int) -> None:
        newest_ms = self._newest_ms.get(partition, event_ms)
        self._behind_ms.append(max(0, newest_ms - event_ms))
        self._newest_ms[partition] = max(newest_ms, event_ms)

    def __len__(self) -> int:
        return len(self._behind_ms)

    def quantiles(self) -> Quantiles:
        """Each is a delay that occurred; there must be at least one reading."""
        behind = np.array(self._behind_ms)
        p50, p99, p999 = (int(q) for q in np.quantile(behind, (0.5, 0.99, 0.999), method="higher"))
        return Quantiles(len(behind), int((behind == 0).sum()), p50, p99, p999, int(behind.max()))
