"""What can be said beforehand about which readings are late: certain, impossible, or a matter of reading speeds.

The watermark of a window is the minimum over partitions, so it is never above that of the reading's own partition
(unless that one was idle). With one partition and watermarks on every event it is exactly that one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.generator.network import Network
from jobs.generator.schedule import NO_CLAIM, Block
from udfs.rules import Rules, WindowDefinition

MUST_WINDOW, EITHER, MUST_LATE = 0, 1, 2
NAMES = ("must-window", "either", "must-late")


class LatenessOracle:
    """Judges blocks in sending order.

    Parameters
    ----------
    partitions : of the raw topic.
    exact : one partition and a watermark per event, so that lateness itself is certain.
    fresh : nothing was in the raw topic before; otherwise unknown watermarks stand and nothing is certain.
    """

    def __init__(self, network: Network, rules: Rules, partitions: int, *, exact: bool, fresh: bool) -> None:
        self._ooo_ms = rules.time.out_of_orderness_ms
        self._exact, self._fresh = exact, fresh
        self._highest_ms = np.full(partitions, NO_CLAIM, np.int64)
        streams = [s.stream for s in network.series]
        self._windows: list[WindowDefinition | None] = [s.windows[0] if s.windows else None for s in streams]
        first = [w or WindowDefinition("", "sensor", 1, 1) for w in self._windows]
        self._has_window = np.array([w is not None for w in self._windows])
        self._size_ms = np.array([w.size_ms for w in first], np.int64)
        self._slide_ms = np.array([w.slide_ms for w in first], np.int64)
        self._offset_ms = np.array([w.offset_ms for w in first], np.int64)
        self._allowed_ms = np.array([s.allowed_lateness_ms for s in streams], np.int64)

    def judge(self, block: Block) -> NDArray[Any]:
        """Codes of `NAMES` for each row, for the first window definition of its stream, as if it were accepted."""
        highest = np.empty(len(block.rows), np.int64)
        for partition in range(len(self._highest_ms)):
            index = np.flatnonzero(block.partition == partition)
            if len(index):
                before = np.concatenate(([self._highest_ms[partition]], block.claimed_ms[index]))
                running = np.maximum.accumulate(before)
                highest[index] = running[:-1]
                self._highest_ms[partition] = running[-1]
        series, event_ms = block.rows.series, block.rows.event_ms
        # A reading is late when the last of its windows is gone.
        start_ms = event_ms - (event_ms - self._offset_ms[series]) % self._slide_ms[series]
        gone_at_ms = start_ms + self._size_ms[series] - 1 + self._allowed_ms[series]
        behind = highest - self._ooo_ms - 1 < gone_at_ms
        codes = np.where(behind, MUST_WINDOW, MUST_LATE if self._exact else EITHER).astype(np.int8)
        if not self._fresh:
            codes[:] = EITHER
        codes[~self._has_window[series]] = EITHER
        return codes
