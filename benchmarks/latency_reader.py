"""Watches the aligned and the windows topic as a read_committed consumer, and notes when each record became visible."""

from __future__ import annotations

import time
from array import array

import msgspec
import numpy as np
import numpy.typing as npt
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from benchmarks.broker_io import make_consumer
from benchmarks.latency_stages import ReadingTimes, WindowTimes

_BATCH = 10_000


class _Aligned(msgspec.Struct):
    """The times of an aligned record: due, sent and appended to the raw topic."""

    event_time_ms: int
    ingest_time_ms: int
    append_time_ms: int


class _Window(msgspec.Struct):
    window_end_ms: int


class LatencyReader:
    """Keeps the times only. Both topics must be stamped by the broker (LogAppendTime)."""

    def __init__(self, bootstrap: str, aligned: str, windows: str, partitions: int) -> None:
        self._consumer = make_consumer(bootstrap, "bench-latency")
        self._aligned = aligned
        self._consumer.assign(
            [TopicPartition(t, p, OFFSET_BEGINNING) for t in (aligned, windows) for p in range(partitions)]
        )
        self._decode_aligned = msgspec.json.Decoder(_Aligned).decode
        self._decode_window = msgspec.json.Decoder(_Window).decode
        self._readings, self._windows = array("q"), array("q")

    @property
    def readings_seen(self) -> int:
        return len(self._readings) // len(ReadingTimes._fields)

    def poll(self, timeout_s: float) -> None:
        """Note what is there, waiting at most so long for the first record.

        Raises
        ------
        KafkaException : the broker refuses.
        """
        first = self._consumer.poll(timeout_s)
        if first is None:
            return
        # `consume` with a time-out would wait for a whole batch.
        messages = [first, *self._consumer.consume(_BATCH, 0)]
        visible_ms = time.time_ns() // 1_000_000
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                continue
            appended_ms = message.timestamp()[1]
            value = message.value()
            assert value is not None
            if message.topic() == self._aligned:
                reading = self._decode_aligned(value)
                self._readings.extend(
                    (reading.event_time_ms, reading.ingest_time_ms, reading.append_time_ms, appended_ms, visible_ms)
                )
            else:
                window = self._decode_window(value)
                self._windows.extend((window.window_end_ms, appended_ms, visible_ms))

    def take(self) -> tuple[ReadingTimes, WindowTimes]:
        """Hand over what was noted, and start anew."""
        readings, windows = self._readings, self._windows
        self._readings, self._windows = array("q"), array("q")
        return ReadingTimes(*_columns(readings, 5)), WindowTimes(*_columns(windows, 3))

    def close(self) -> None:
        self._consumer.close()


def _columns(flat: array[int], width: int) -> npt.NDArray[np.int64]:
    return np.frombuffer(flat, np.int64).reshape(-1, width).T if flat else np.empty((width, 0), np.int64)
