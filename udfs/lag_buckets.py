"""Histograms of lags as Prometheus counts them: how many were at most each bound, ever growing.

Flink's reporter turns its own histograms into summaries, which cannot be added up over subtasks, and PyFlink's
distributions never reach Prometheus. Counters do, so each bucket is one (docs/metrics.md).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

BOUNDS_MS: Final = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 300_000, 1_800_000, 7_200_000)
LABELS: Final = (*(f"{bound / 1000:g}" for bound in BOUNDS_MS), "+Inf")
"""Values of the label `le`, in seconds."""

_BOUNDS: Final = np.array(BOUNDS_MS, np.int64)


def cumulative_counts(lags_ms: npt.NDArray[np.int64]) -> list[int]:
    """How many lags are at most each bound, then all of them; one figure for each of LABELS."""
    counts = np.bincount(_BOUNDS.searchsorted(lags_ms), minlength=len(LABELS))
    return [int(count) for count in counts.cumsum()]
