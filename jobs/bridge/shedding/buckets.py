"""Token buckets of many sensors, one number each."""

from __future__ import annotations

from collections import OrderedDict


class SensorBuckets:
    """Admits of each sensor `burst` readings at once, and `count` in `per_s` seconds over time.

    Parameters
    ----------
    max_sensors
        How many are remembered. Beyond it the one that was heard of least recently is forgotten: if its bucket is full
        again, as it is after `burst * per_s / count` seconds of silence, that changes nothing.

    Source: the generic cell rate algorithm (ITU-T I.371), in its form of a virtual schedule: of a bucket only the time
    is kept at which it will be full.
    """

    def __init__(self, count: int, per_s: float, burst: int, max_sensors: int) -> None:
        self._step_s = per_s / count
        self._ahead_s = (burst - 1) * self._step_s
        self._max_sensors = max_sensors
        self._full_at_s: OrderedDict[str, float] = OrderedDict()
        self._now_s = float("-inf")

    def __len__(self) -> int:
        return len(self._full_at_s)

    def take(self, sensor: str, now_s: float) -> bool:
        """Take a token if there is one; `now_s` is monotonic, and what is behind the latest counts as the latest."""
        self._now_s = now_s = max(self._now_s, now_s)
        full_at_s = max(self._full_at_s.get(sensor, now_s), now_s)
        if full_at_s - now_s > self._ahead_s + 1e-9:
            self._full_at_s.move_to_end(sensor)
            return False
        self._full_at_s[sensor] = full_at_s + self._step_s
        self._full_at_s.move_to_end(sensor)
        if len(self._full_at_s) > self._max_sensors:
            self._full_at_s.popitem(last=False)
        return True
