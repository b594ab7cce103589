"""Keeps a number of processes running until this one is told to end."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from typing import Any

from jobs.bridge.journal import Journal

_LOOK_EVERY_S = 0.5
_YOUNG_S = 10.0
_PR_SET_PDEATHSIG = 1


class StartFailed(OSError):  # noqa: N818
    """A process ended by itself before it can have served; another one would, too."""


def keep_running(count: int, target: Callable[..., None], arguments: tuple[Any, ...], journal: Journal) -> None:
    """Run `target` in so many processes; one that dies is started again. SIGTERM and SIGINT end all of them.

    Parameters
    ----------
    target
        Is given its place, from 0 on, and the arguments. Ends in an orderly way at SIGTERM. The process that runs it is
        told to end when this one is gone.

    Raises
    ------
    StartFailed
    """
    is_over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: is_over.set())

    def start(place: int) -> tuple[SpawnProcess, float]:
        process = get_context("spawn").Process(target=_run, args=(os.getpid(), target, (place, *arguments)))
        process.start()
        return process, time.monotonic()

    running = [start(place) for place in range(count)]
    try:
        while not is_over.wait(_LOOK_EVERY_S):
            for place, (process, started_s) in enumerate(running):
                if process.exitcode is None:
                    continue
                journal.event("process_died", pid=process.pid, exit_code=process.exitcode)
                if process.exitcode > 0 and time.monotonic() - started_s < _YOUNG_S:
                    raise StartFailed(f"a process ended with exit code {process.exitcode} as it started")
                running[place] = start(place)
    finally:
        for process, _ in running:
            process.terminate()
        for process, _ in running:
            process.join()


def _run(parent: int, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    # However the parent ends: a process that stayed would keep the port.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends this one
    if os.getppid() == parent:
        target(*arguments)
