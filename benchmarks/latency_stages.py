"""From times of readings to percentiles per stage, and the verdict whether the system kept up: arrays in, facts out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]  # epoch ms

_BEHIND_MS_PER_S = 20.0  # 2 % of the load is not kept up with
_BEHIND_MS = 1_000.0
_SAMPLES_FOR_P999 = 10_000
_CURVE = (0.0, *(1.0 - 10.0 ** (-step / 8) for step in range(1, 33)))  # up to 1 - 10^-4


class ReadingTimes(NamedTuple):
    """When each reading reached each point; columns of one length."""

    due_ms: Times
    sent_ms: Times
    raw_ms: Times
    aligned_ms: Times
    visible_ms: Times

    def between(self, start_ms: int, end_ms: int) -> ReadingTimes:
        """The readings that were due in [start, end)."""
        chosen = (self.due_ms >= start_ms) & (self.due_ms < end_ms)
        return ReadingTimes(*(column[chosen] for column in self))

    def stages(self) -> dict[str, Times]:
        """Time spent in each stage, ms, and in all of them."""
        return {
            "due to sent": self.sent_ms - self.due_ms,
            "sent to raw": self.raw_ms - self.sent_ms,
            "raw to aligned": self.aligned_ms - self.raw_ms,
            "aligned to visible": self.visible_ms - self.aligned_ms,
            "due to visible": self.visible_ms - self.due_ms,
        }


class WindowTimes(NamedTuple):
    """When each window result was written and visible; columns of one length."""

    end_ms: Times
    written_ms: Times
    visible_ms: Times

    def between(self, start_ms: int, end_ms: int) -> WindowTimes:
        """The windows that ended in [start, end)."""
        chosen = (self.end_ms >= start_ms) & (self.end_ms < end_ms)
        return WindowTimes(*(column[chosen] for column in self))

    def stages(self, out_of_orderness_ms: int) -> dict[str, Times]:
        """Time since the watermark could first pass the window's end.

        That is when a reading with event time `end + out-of-orderness` was due: the watermark is the newest event time
        less the out-of-orderness and one millisecond, and a window fires at its last millisecond.
        """
        possible_ms = self.end_ms + out_of_orderness_ms
        return {
            "due to written": self.written_ms - possible_ms,
            "written to visible": self.visible_ms - self.written_ms,
            "due to visible": self.visible_ms - possible_ms,
        }


class Pace(NamedTuple):
    """Whether readings came out as fast as they went in.

    `growth_ms_per_s` is the slope of the median latency over the time at which readings were due.
    """

    offered_per_s: float
    visible_per_s: float
    unseen: int
    growth_ms_per_s: float
    growth_ms: float

    @property
    def falls_behind(self) -> bool:
        """Percentiles of such a run say how long it was, and nothing about the system."""
        return self.unseen > 0 or (self.growth_ms_per_s > _BEHIND_MS_PER_S and self.growth_ms > _BEHIND_MS)


def pace(times: ReadingTimes, start_ms: int, end_ms: int, offered: int) -> Pace:
    """Judge the readings that were due in [start, end).

    Parameters
    ----------
    times
        What was seen of them, in any order.
    offered
        How many were due.
    """
    seconds = (end_ms - start_ms) / 1_000
    visible = int(((times.visible_ms >= start_ms) & (times.visible_ms < end_ms)).sum())
    due = times.between(start_ms, end_ms)
    second = (due.due_ms - start_ms) // 1_000
    latency = due.visible_ms - due.due_ms
    seen = np.unique(second)
    medians = np.array([np.median(latency[second == s]) for s in seen])
    slope = float(np.polyfit(seen, medians, 1)[0]) if len(seen) > 1 else 0.0
    return Pace(offered / seconds, visible / seconds, offered - len(latency), slope, slope * seconds)


def summary(latency_ms: Times) -> dict[str, float | int | None]:
    """Percentiles in ms; p99.9 is None where fewer than ten samples would lie above it."""
    if not len(latency_ms):
        return {"count": 0, "p50": None, "p99": None, "p99_9": None, "max": None}
    p50, p99, p999 = (float(np.percentile(latency_ms, q)) for q in (50, 99, 99.9))
    return {
        "count": len(latency_ms),
        "p50": round(p50, 1),
        "p99": round(p99, 1),
        "p99_9": round(p999, 1) if len(latency_ms) >= _SAMPLES_FOR_P999 else None,
        "max": int(latency_ms.max()),
    }


def curve(latency_ms: Times) -> list[tuple[float, float]]:
    """(quantile, ms), ever denser towards 1, as far as the samples carry; for a plot."""
    known = [q for q in _CURVE if len(latency_ms) * (1.0 - q) >= 1.0]
    return [(round(q, 6), round(float(v), 1)) for q, v in zip(known, np.quantile(latency_ms, known), strict=True)]


def table(stages: dict[str, Times]) -> dict[str, dict[str, Any]]:
    return {name: summary(latency_ms) for name, latency_ms in stages.items()}
