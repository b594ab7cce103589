"""Settings of a Python worker process that neither Flink nor Beam offers as configuration."""

from __future__ import annotations

import gc

from apache_beam.runners.worker import data_plane

# A batch makes tens of thousands of objects that live until its end and hold no cycles. With the default of 700 the
# collector walks them (and the libraries' millions) again and again: it took more time than all stages together. With
# far more than this, what Beam leaves behind in cycles, buffers of a bundle among it, grew to gigabytes.
_NEW_OBJECTS = 20_000

# Beam hands results to gRPC in messages of up to 10 MiB. Each is copied four times, and at that size every copy is new
# memory from the kernel: 2.1 microseconds a KiB, against 0.4 in messages of up to 1 MiB.
_BEAM_MESSAGE_BYTES = 10 << 20
_MESSAGE_BYTES = 262_144


def tune_worker() -> None:
    """Collect garbage rarely and send smaller messages; called by every operator's `open`.

    Source: https://docs.python.org/3.11/library/gc.html; `apache_beam.runners.worker.data_plane`
    """
    if gc.get_threshold()[0] == _NEW_OBJECTS:
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 10, 10)
    data_plane._DEFAULT_SIZE_FLUSH_THRESHOLD = _MESSAGE_BYTES
    for stream in (
        data_plane.SizeBasedBufferingClosableOutputStream,
        data_plane.TimeBasedBufferingClosableOutputStream,
    ):
        defaults = stream.__init__.__defaults__ or ()
        stream.__init__.__defaults__ = tuple(_MESSAGE_BYTES if v == _BEAM_MESSAGE_BYTES else v for v in defaults)
