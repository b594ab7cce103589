"""Readings at a steady rate, for as long as a scenario lasts: the benchmarks' seeded workload, duplicates included."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from benchmarks.broker_io import end_offsets, finish, make_consumer, make_producer, make_room, read_to_end
from benchmarks.workload import Record, Renderer, Workload, blocks

_HOUR_MS = 3_600_000
_TIME = re.compile(rb'"event_time":(\d{13})')
_SPOILT = re.compile(rb'[^}]\Z|"NaN"|phlogiston|"y":95.0')
_BEHIND_S = 1.0  # how much of a pause is made up for
_TICK = 50  # records between looks at the clock
_LARGEST = 3_000_000

Change = Callable[[Record], Iterable[Record]]
"""What is sent in place of a record."""


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
        self._servers, self._topic, self._rate, self._least = bootstrap, topic, rate, least
        self._change: Change | None = None
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

    @contextmanager
    def changed(self, change: Change, times: int = 1) -> Iterator[None]:
        """Send something else in place of each record, at so many times the rate."""
        steady = self._rate
        self._change, self._rate = change, steady * times
        try:
            yield
        finally:
            self._change, self._rate = None, steady

    def send_again(self, partition: int) -> int:
        """Send all records of a partition once more, in their order; to be called after `stop`."""
        consumer = make_consumer(self._servers, "faults-again")
        first = self.sent
        end = end_offsets(consumer, self._topic)[partition]
        for batch in read_to_end(consumer, self._topic, {partition: end}):
            for message in batch:
                headers = [(name, value) for name, value in message.headers() or []]
                self._send(Record(message.value() or b"", message.key() or b"", partition, headers))
        consumer.close()
        finish(self._producer, self._topic)
        return self.sent - first

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
        due_s, looked = time.monotonic(), 0
        for block in blocks(self._workload):
            for record in self._renderer.render(block):
                if self.sent >= looked + _TICK:
                    if self._is_over.is_set() and self.sent >= self._least:
                        return
                    due_s = max(due_s + (self.sent - looked) / self._rate, time.monotonic() - _BEHIND_S)
                    looked = self.sent
                    time.sleep(max(0.0, due_s - time.monotonic()))
                    make_room(self._producer)
                change = self._change
                for instead in (record,) if change is None else change(record):
                    self._send(instead)

    def _send(self, record: Record) -> None:
        self._producer.produce(self._topic, record.value, record.key, record.partition, headers=record.headers)
        self.sent += 1


def stamped(record: Record, name: str, value_time: int, header_ms: int | None = None) -> Record:
    """The same reading under an id of its own, as another clock would have stamped it.

    Parameters
    ----------
    name
        Put before the id; copies of one record need different ones.
    value_time, header_ms
        Event time in the value, in any precision, and in the header, epoch ms; None: the same.
    """
    value = _TIME.sub(b'"event_time":%d' % value_time, record.value)
    value = value.replace(b'"event_id":"', b'"event_id":"%s-' % name.encode(), 1)
    time_header = ("event_timestamp", b"%d" % (value_time if header_ms is None else header_ms))
    return record._replace(
        value=value, headers=[time_header if header[0] == "event_timestamp" else header for header in record.headers]
    )


def event_ms(record: Record) -> int | None:
    """The event time of a reading of this feed; None for one that is spoilt."""
    found = _TIME.search(record.value)
    return int(found[1]) if found and _SPOILT.search(record.value) is None else None
