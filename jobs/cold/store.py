"""A bridge's side of the cold store: what `append` has returned for survives a crash.

Lines are appended to an open file with one fsync a call; a file that is large or old enough becomes an object of the
store, see `jobs.cold.layout`.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple

from jobs.bridge.breakers.config import ColdRule
from jobs.cold.layout import OPEN, PART, cold_files, finish, recover
from jobs.cold.record import ColdRecord, encode_record
from jobs.export.atomic_file import sync_folder

_LOOK_EVERY_S: Final = 10.0  # for files that were sent again meanwhile


class ColdFull(Exception):  # noqa: N818
    """The stated size, or the disk, leaves no room; nothing of the call counts as kept. One line for a person."""


class ColdUnusable(Exception):  # noqa: N818
    """The folder cannot be written; one line for a person."""


class Waiting(NamedTuple):
    """What has not been sent again."""

    records: int
    bytes: int


class ColdStore:
    """Writes the files of one bridge. Belongs to one thread; several stores, of any process, may share a folder.

    Parameters
    ----------
    folder
        Made if missing. What killed bridges have left open in it is finished.
    bridge
        Its name, which the files bear.
    clock
        Monotonic seconds.

    Raises
    ------
    ColdUnusable
    """

    def __init__(self, folder: Path, bridge: str, rule: ColdRule, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._bridge, self._rule, self._clock = folder, bridge, rule, clock
        self._run = f"{time.time_ns() // 1_000_000}-{uuid.uuid4().hex[:8]}"
        self._number = 0
        self._file: FileIO | None = None
        self._part = folder
        self._opened_s = self._looked_s = 0.0
        self._open = self._finished = Waiting(0, 0)
        try:
            (folder / OPEN).mkdir(parents=True, exist_ok=True)
            recover(folder)
            self._files = [file for file in cold_files(folder) if file.manifest.bridge == bridge]
            self._look()
        except OSError as error:
            raise ColdUnusable(f"{folder}: {error.strerror}") from None

    @property
    def waiting(self) -> Waiting:
        """Of this bridge, as of at most ten seconds ago: `meridian cold reingest` changes it."""
        return Waiting(self._finished.records + self._open.records, self._finished.bytes + self._open.bytes)

    def append(self, records: Sequence[ColdRecord]) -> None:
        """Write records and wait until they are on the disk.

        Raises
        ------
        ColdFull
        """
        lines = b"".join(map(encode_record, records))
        if self.waiting.bytes + len(lines) > self._rule.max_size:
            raise ColdFull(f"{self._folder} holds {self.waiting.bytes} bytes of at most {self._rule.max_size}")
        try:
            if self._file is None:
                self._begin()
            assert self._file is not None
            unwritten = memoryview(lines)
            while unwritten:
                unwritten = unwritten[self._file.write(unwritten) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._undo()
            raise ColdFull(f"{self._folder}: {error.strerror}") from None
        self._open = Waiting(self._open.records + len(records), self._open.bytes + len(lines))
        if self._open.bytes >= self._rule.file_size:
            self.finish()

    def turn(self) -> None:
        """Finish a file that has been open for long, and see what was sent again."""
        now_s = self._clock()
        if self._file is not None and now_s - self._opened_s >= self._rule.file_after / 1000:
            self.finish()
        if now_s - self._looked_s >= _LOOK_EVERY_S:
            self._look()

    def finish(self) -> None:
        """Make an object of what is open; where the disk does not let it, the next start does."""
        if self._file is None:
            return
        with suppress(OSError):
            finished = finish(self._folder, self._part)
            self._files += [] if finished is None else [finished]
        self._close()
        self._look()

    def _begin(self) -> None:
        self._number += 1
        self._part = self._folder / OPEN / f"{self._bridge}-{self._run}-{self._number:04d}{PART}"
        file = self._part.open("xb", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(file.fileno()).st_nlink:
            raise FileNotFoundError(2, "another process has taken the new file away")
        self._file, self._opened_s, self._open = file, self._clock(), Waiting(0, 0)
        sync_folder(self._part.parent)

    def _undo(self) -> None:
        """Take back what was written of a failed call; where that fails too, leave the file as it is."""
        if self._file is None:
            return
        try:
            self._file.truncate(self._open.bytes)
            self._file.seek(self._open.bytes)
        except OSError:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        self._file, self._open = None, Waiting(0, 0)

    def _look(self) -> None:
        self._files = [file for file in self._files if file.waits()]
        manifests = [file.manifest for file in self._files]
        self._finished = Waiting(sum(m.records for m in manifests), sum(m.bytes for m in manifests))
        self._looked_s = self._clock()
