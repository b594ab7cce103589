"""Settings of a Python worker process that neither Flink nor Beam offers as configuration."""

from __future__ import annotations

import ctypes
import os
import stat
import threading
import time
from functools import cache

from apache_beam.runners.worker import data_plane, statesampler

from udfs.flink.collector import collect_rarely

# Beam hands results to gRPC in messages of up to 10 MiB. Each is copied four times, and at that size every copy is new
# memory from the kernel: 2.1 microseconds a KiB, against 0.4 in messages of up to 1 MiB.
_BEAM_MESSAGE_BYTES = 10 << 20
_MESSAGE_BYTES = 262_144

# glibc gives a large block back to the kernel when it is freed (mallopt(3)), so that the next batch's buffers are new
# memory, mapped and zeroed page by page. Blocks of up to 32 MiB, its limit, stay in the heap instead, which is cut only
# when so much of its end is free.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_BLOCK_BYTES, _SPARE_BYTES = 32 << 20, 128 << 20

_STDIN = 0
_LAST_WORDS_S = 10.0  # that a worker gets to end by itself


@cache
def tune_worker() -> None:
    """Collect garbage rarely, keep memory, send smaller messages, end bundles at once, and outlive no TaskManager.

    Called by every `open`.

    Source: `apache_beam.runners.worker.data_plane`
    """
    collect_rarely()
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _SPARE_BYTES)
    data_plane._DEFAULT_SIZE_FLUSH_THRESHOLD = _MESSAGE_BYTES
    for stream in (
        data_plane.SizeBasedBufferingClosableOutputStream,
        data_plane.TimeBasedBufferingClosableOutputStream,
    ):
        defaults = stream.__init__.__defaults__ or ()
        stream.__init__.__defaults__ = tuple(_MESSAGE_BYTES if v == _BEAM_MESSAGE_BYTES else v for v in defaults)
    statesampler.StateSampler.start = _start_without_thread
    statesampler.StateSampler.stop = _stop_without_thread
    if stat.S_ISFIFO(os.fstat(_STDIN).st_mode):
        threading.Thread(target=end_with_parent, args=(_STDIN, _LAST_WORDS_S), name="parent", daemon=True).start()


def end_with_parent(pipe: int, last_words_s: float) -> None:
    """Wait until a pipe's writer is gone, then end this process within so many seconds.

    The TaskManager holds the other end of its workers' standard input, and nothing is ever written to it. A worker
    whose TaskManager is killed notices by its connections, but may then wait for ever: Beam closes its log handler with
    the handler's lock held while it waits for a thread that PyFlink makes log to that handler.
    """
    while os.read(pipe, 1):
        pass
    time.sleep(last_words_s)
    os._exit(1)


def _start_without_thread(sampler: statesampler.StateSampler) -> None:
    """Begin a bundle without a thread that looks every 2 to 200 ms at what the bundle is doing.

    Nobody asks Beam's sampler what it saw, but the end of each bundle waited until that thread next woke up: 7 % of the
    time in bundles (py-spy).
    """
    statesampler.set_current_tracker(sampler)
    sampler.started = True


def _stop_without_thread(sampler: statesampler.StateSampler) -> None:
    statesampler.set_current_tracker(None)
    sampler.finished = True
