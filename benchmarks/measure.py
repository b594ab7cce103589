"""CPU time and memory of process trees, for variants that are more than one process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import TracebackType

import psutil

_STEP_S = 0.5


def descendants(roots: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes with all their children, each once."""
    found: dict[int, psutil.Process] = {}
    for root in roots:
        try:
            found |= {p.pid: p for p in (root, *root.children(recursive=True))}
        except psutil.Error:
            continue
    return list(found.values())


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system time; that of a child which has ended and been waited for is in its parent's."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def rss_mb(processes: Iterable[psutil.Process]) -> float:
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total / 1024**2


class TreeMeter:
    """Watches process trees while a variant runs: CPU time used meanwhile, and the peak of memory.

    Parameters
    ----------
    roots
        Called every half second, since a killed process is started again under another id.
    """

    def __init__(self, roots: Callable[[], Iterable[psutil.Process]]) -> None:
        self._roots = roots
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._before_s = 0.0
        self.peak_rss_mb = 0.0

    def cpu_s(self) -> float:
        """Seconds of CPU time since the start."""
        return cpu_seconds(descendants(self._roots())) - self._before_s

    def __enter__(self) -> TreeMeter:
        self._before_s = cpu_seconds(descendants(self._roots()))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_STEP_S):
            self.peak_rss_mb = max(self.peak_rss_mb, rss_mb(descendants(self._roots())))


def flink_processes(stack_dir: str) -> list[psutil.Process]:
    """JobManager and TaskManagers of a local stack; their Python workers are their children."""
    entry_points = ("StandaloneSessionClusterEntrypoint", "TaskManagerRunner")
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        if stack_dir in command and any(name in command for name in entry_points):
            found.append(process)
    return found
