"""Facts of this machine: clock, memory, disks, spools, and what both interpreters have installed."""

from __future__ import annotations

import ctypes
import json
import platform
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import psutil

from jobs.doctor.facts import Folder, Machine, Pythons

PACKAGES: Final = ("apache-flink", "msgspec", "numpy", "orjson", "pyarrow", "pyproj")
"""Those that change what a job does; all others are pinned with them."""

_ASK: Final = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try: found[name] = version(name)
    except PackageNotFoundError: pass
print(json.dumps(found))
"""
_UNSYNCHRONISED: Final = 0x0040  # STA_UNSYNC
_SPOOL: Final = "spool.db"


class _Timex(ctypes.Structure):
    """The beginning of Linux's struct timex, and room for the rest. Source: adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def collect_machine(folders: Iterable[Path]) -> Machine:
    synchronised, error_ms = _clock()
    memory = psutil.virtual_memory()
    seen = tuple(_folder(path) for path in dict.fromkeys(folders) if path.exists())
    return Machine(synchronised, error_ms, memory.available, memory.total, seen)


def collect_pythons(worker_path: str | None) -> Pythons:
    """Versions on both sides; a worker's interpreter that is not on this machine cannot be asked."""
    client = {"python": platform.python_version()} | {name: v for name in PACKAGES if (v := _version(name))}
    if worker_path is None or not Path(worker_path).is_absolute() or not Path(worker_path).exists():
        return Pythons(client, worker_path=worker_path or "")
    command = [worker_path, "-c", _ASK, *PACKAGES]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        return Pythons(client, json.loads(answer), worker_path)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Pythons(client, worker_path=worker_path, problem=f"{type(error).__name__}: {error}"[:200])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _clock() -> tuple[bool | None, float | None]:
    """Whether the kernel's clock is disciplined, and its largest error; None where that cannot be asked."""
    try:
        timex = _Timex()
        if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
            return None, None
        return not timex.status & _UNSYNCHRONISED, timex.maxerror / 1_000
    except (OSError, AttributeError):
        return None, None


def _folder(path: Path) -> Folder:
    usage = shutil.disk_usage(path)
    return Folder(str(path), usage.free, usage.total, sum(map(_waiting, path.rglob(_SPOOL))))


def _waiting(database: Path) -> int:
    """Records of a spool, read beside the bridge that has it open."""
    try:
        with sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=5) as connection:
            return int(connection.execute("SELECT count(*) FROM records").fetchone()[0])
    except sqlite3.Error:
        return 0
