"""A queue on disk for Kafka records that cannot be delivered now: what `commit` has returned for survives a crash.

It is a SQLite file in write-ahead mode with `synchronous=FULL`: a commit is one fsync, and what a crash leaves half
written is recognised by the log's checksums and undone. Pages in the main file have none, so each record has its own.

Source: https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous
"""

from __future__ import annotations

import fcntl
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from jobs.bridge.envelope import Message

_SCHEMA_VERSION: Final = 1
_ROW_OVERHEAD_BYTES: Final = 24  # of SQLite for a row of this table: position, sizes, checksum
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, bytes | None, bytes, list[tuple[str, bytes]]]).decode


class SpoolFull(Exception):  # noqa: N818
    """The stated size, or the disk, leaves no room; nothing of the call has been kept."""


class SpoolUnusable(Exception):  # noqa: N818
    """The folder cannot be written, belongs to another process, or is of another version; one line for a person."""


class Spooled(NamedTuple):
    """A record with its place in the queue."""

    position: int
    topic: str
    message: Message


class Damaged(NamedTuple):
    """A record whose bytes on disk are no longer those that were written."""

    position: int


class Spool:
    """First in, first out, on disk, up to a stated size. One process and one thread at a time.

    Records are read by `read_after`, as often as wanted, and are gone after `release`. After a crash those that were
    not released are there again: delivery from it is at least once.

    Parameters
    ----------
    folder
        Made if missing; holds the queue's files, and no other queue's.
    max_bytes
        Size of all records together, their headers and keys included. The files may be larger by the write-ahead log,
        which is kept at about 4 MB plus the largest commit.

    Raises
    ------
    SpoolUnusable
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / "lock").open("w")
        except OSError as error:
            raise SpoolUnusable(f"{folder}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise SpoolUnusable(f"{folder}: another process uses this spool") from None
        try:
            self._database = _open(folder / "spool.db")
            self._bytes, self._count, self._last = self._totals()
        except sqlite3.Error as error:
            self._lock.close()
            raise SpoolUnusable(f"{folder}: {error}") from None

    def __len__(self) -> int:
        return self._count

    @property
    def bytes_used(self) -> int:
        return self._bytes

    @property
    def last_position(self) -> int:
        """Of the newest record ever appended; positions only grow."""
        return self._last

    def append(self, records: Sequence[tuple[str, Message]]) -> int:
        """Append (topic, message) pairs and wait until they are on the disk.

        Returns
        -------
            The position of the first one; the others follow by ones.

        Raises
        ------
        SpoolFull
        """
        rows, size, first = [], 0, self._last + 1
        for position, (topic, message) in enumerate(records, first):
            body = _encode((topic, message.key, message.value, list(message.headers.items())))
            size += len(body) + _ROW_OVERHEAD_BYTES
            rows.append((position, zlib.crc32(body), body))
        if self._bytes + size > self._max_bytes:
            raise SpoolFull
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany("INSERT INTO records VALUES (?, ?, ?)", rows)
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError:  # SQLITE_FULL, SQLITE_IOERR: no room on the device, or it fails
            raise SpoolFull from None
        self._bytes += size
        self._count += len(rows)
        self._last += len(rows)
        return first

    def read_after(self, position: int, limit: int, limit_bytes: int) -> list[Spooled | Damaged]:
        """Records that follow a position, in order: at most `limit`, and no more once they have `limit_bytes`."""
        rows: Iterable[tuple[int, int, bytes]] = self._database.execute(
            "SELECT position, checksum, body FROM records WHERE position > ? ORDER BY position LIMIT ?",
            (position, limit),
        )
        found: list[Spooled | Damaged] = []
        for place, checksum, body in rows:
            found.append(_read(place, checksum, body))
            limit_bytes -= len(body)
            if limit_bytes <= 0:
                break
        return found

    def release(self, up_to: int) -> None:
        """Forget all records up to and including a position, or later: a crash or a full disk may bring them back."""
        size, count = self._database.execute(
            f"SELECT COALESCE(SUM(LENGTH(body) + {_ROW_OVERHEAD_BYTES}), 0), COUNT(*) FROM records WHERE position <= ?",
            (up_to,),
        ).fetchone()
        if not count:
            return
        self._database.execute("PRAGMA synchronous=NORMAL")
        try:
            self._database.execute("DELETE FROM records WHERE position <= ?", (up_to,))
            self._bytes -= size
            self._count -= count
            if self._count == 0:
                self._database.executescript("PRAGMA incremental_vacuum")  # `execute` would free one page
        except sqlite3.OperationalError:
            return  # the next call takes them too
        finally:
            self._database.execute("PRAGMA synchronous=FULL")

    def close(self) -> None:
        self._database.close()
        self._lock.close()

    def _totals(self) -> tuple[int, int, int]:
        size, count = self._database.execute(
            f"SELECT COALESCE(SUM(LENGTH(body) + {_ROW_OVERHEAD_BYTES}), 0), COUNT(*) FROM records"
        ).fetchone()
        # AUTOINCREMENT's own memory: a position is never used again, even when the queue has been empty.
        last = self._database.execute("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence").fetchone()[0]
        return size, count, last


def _read(position: int, checksum: int, body: bytes) -> Spooled | Damaged:
    if zlib.crc32(body) != checksum:
        return Damaged(position)
    topic, key, value, headers = _decode(body)
    return Spooled(position, topic, Message(key, value, dict(headers)))  # type: ignore[arg-type]


def _open(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, isolation_level=None)
    database.execute("PRAGMA auto_vacuum=INCREMENTAL")  # before the first table, or it has no effect
    if database.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
        raise sqlite3.OperationalError("this file system cannot hold a write-ahead log")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("PRAGMA journal_size_limit=4194304")
    database.execute("PRAGMA cache_size=-8192")  # KiB
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, _SCHEMA_VERSION):
        raise sqlite3.DatabaseError(f"a spool of version {version}, this program knows {_SCHEMA_VERSION}")
    database.execute(
        "CREATE TABLE IF NOT EXISTS records"
        " (position INTEGER PRIMARY KEY AUTOINCREMENT, checksum INTEGER NOT NULL, body BLOB NOT NULL)"
    )
    database.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
    return database
