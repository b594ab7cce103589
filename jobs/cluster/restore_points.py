"""Savepoints and retained checkpoints: whose they are, and which came later.

A checkpoint lies in `<root>/<job id>/chk-<number>`, a savepoint in `<root>/savepoint-<start of the job id>-<random>`.
The numbers of a job's checkpoints and savepoints rise together, and a job that is restored goes on counting.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

METADATA = "_metadata"
_MAGIC = 0x4960672D  # Flink's Checkpoints.HEADER_MAGIC_NUMBER; then the format's version and the checkpoint's number
_HEADER = struct.Struct(">iiq")
_CHECKPOINT = re.compile(r"/([0-9a-f]{32})/chk-\d+$")
_SAVEPOINT = re.compile(r"/savepoint-([0-9a-f]{6})-[0-9a-f]+$")


class NoRestorePoint(ValueError):  # noqa: N818
    """There is no savepoint or checkpoint at that path; one line for a person."""


class RestorePoint(NamedTuple):
    """A completed savepoint or checkpoint; `job` is its job's id, the first digits of it, or empty where unknown."""

    path: str
    job: str
    number: int
    completed_ms: int

    def is_of(self, job_id: str) -> bool:
        return bool(self.job) and job_id.startswith(self.job)

    def is_later_than(self, other: RestorePoint) -> bool:
        """By number within a job, since a copied file looks younger than it is; by time between jobs."""
        if self.job and other.job and (self.is_of(other.job) or other.is_of(self.job)):
            return self.number > other.number
        return self.completed_ms > other.completed_ms


def plain_path(given: str) -> str:
    """The folder of a restore point as Flink shall get it: without `_metadata`, a local one absolute."""
    path = given.rstrip("/").removesuffix(f"/{METADATA}")
    return path if urlsplit(path).scheme else str(Path(path).absolute())


def local_folder(path: str) -> Path | None:
    """The folder on this machine that a path or `file:` URI names; None for another file system."""
    parts = urlsplit(path)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def job_of(path: str) -> str:
    """The job id of a checkpoint's path, its first six digits of a savepoint's; empty for a name of someone's own."""
    match = _CHECKPOINT.search(path) or _SAVEPOINT.search(path)
    return match[1] if match else ""


def read_point(folder: Path) -> RestorePoint:
    """What a folder's metadata says of it.

    Raises
    ------
    NoRestorePoint : no metadata, or not Flink's.
    """
    metadata = folder / METADATA
    try:
        with metadata.open("rb") as file:
            magic, _version, number = _HEADER.unpack(file.read(_HEADER.size))
        completed_ms = metadata.stat().st_mtime_ns // 1_000_000
    except (OSError, struct.error) as error:
        raise NoRestorePoint(f"no savepoint or checkpoint in {folder}: {METADATA}: {error}") from None
    if magic != _MAGIC:
        raise NoRestorePoint(f"no savepoint or checkpoint in {folder}: {METADATA} is not Flink's")
    return RestorePoint(str(folder), job_of(str(folder)), number, completed_ms)


def points_of(job: str, roots: Iterable[Path]) -> list[RestorePoint]:
    """All points of the job whose id is `job`, or begins so, below some checkpoint and savepoint folders."""
    patterns = (f"{job}*/chk-*/{METADATA}", f"savepoint-{job[:6]}-*/{METADATA}")
    folders = {metadata.parent for root in roots for pattern in patterns for metadata in root.glob(pattern)}
    found = []
    for folder in sorted(folders):
        with suppress(NoRestorePoint):  # torn, or deleted just now
            found.append(read_point(folder))
    return found


def root_of(folder: Path) -> Path:
    """The folder that holds all checkpoints or all savepoints beside this one."""
    return folder.parent.parent if _CHECKPOINT.search(str(folder)) else folder.parent


def latest(points: Iterable[RestorePoint]) -> RestorePoint | None:
    """The one that no other is later than."""
    newest: RestorePoint | None = None
    for point in points:
        if newest is None or point.is_later_than(newest):
            newest = point
    return newest
