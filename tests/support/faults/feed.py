"""Readings at a steady rate, for as long as a scenario lasts: the benchmarks' seeded workload, duplicates included."""

from __future__ import annotations

import threading
import time

import numpy as np

from benchmarks.broker_io import finish, make_producer, make_room
from benchmarks.workload import Record, Renderer, Workload, blocks

_HOUR_MS = 3_600_000
_TICK = 50  # records between looks at the clock
_LARGEST = 3_000_000


class Feed(threading.Thread):
    """Sends until `stop`, and at least `least` records.

    Event time runs faster than the clock: each of the 500 sensors reports every 5 s of it. One reading in ten is out of
    order by up to 20 s, one in 200 is two hours late, one in a hundred comes twice, one in a thousand is invalid.

    Parameters
    ----------
    rate
        Records a second.
    """

    def __init__(self, bootstrap: str, topic: str, seed: int, rate: int, least: int) -> None:
        super().__init__(name="feed", daemon=True)
        start_ms = time.time_ns() // 1_000_000 - 10 * _HOUR_MS
        self._workload = Workload("whole", _LARGEST, start_ms, seed=seed, sensors=500, step_ms=5_000)
        self._renderer = Renderer(self._workload)
        self._producer = make_producer(bootstrap, **{"enable.idempotence": True, "linger.ms": 5})
        self._topic, self._rate, self._least = topic, rate, least
        self._is_over = threading.Event()
        self._failure: BaseException | None = None
        self.sent = 0

    def stop(self) -> int:
        """End it once enough has been sent, and wait until the broker has everything; how many records that are."""
        self._is_over.set()
        self.join()
        if self._failure is not None:
            raise self._failure
        return self.sent

    def abandon(self) -> None:
        """End it at once."""
        self._least = 0
        self._is_over.set()

    def repeat(self, share: float) -> int:
        """Send a share of the records so far once more; to be called after `stop`."""
        rng = np.random.default_rng(self._workload.seed)
        first = self.sent
        number = 0
        for block in blocks(self._workload):
            for record in self._renderer.render(block):
                if number == first:
                    finish(self._producer, self._topic)
                    return self.sent - first
                number += 1
                if rng.random() < share:
                    self._send(record)
        raise AssertionError("the workload is over")

    def run(self) -> None:
        try:
            self._run()
            finish(self._producer, self._topic)
        except BaseException as failure:
            self._failure = failure

    def _run(self) -> None:
        began_s = time.monotonic()
        for block in blocks(self._workload):
            for record in self._renderer.render(block):
                if self.sent % _TICK == 0:
                    if self._is_over.is_set() and self.sent >= self._least:
                        return
                    time.sleep(max(0.0, began_s + self.sent / self._rate - time.monotonic()))
                    make_room(self._producer)
                self._send(record)

    def _send(self, record: Record) -> None:
        self._producer.produce(self._topic, record.value, record.key, record.partition, headers=record.headers)
        self.sent += 1
