"""How a cold store lies in its folder: objects that are written once, found by partition, and never renamed.

    dt=2026-11-30/hour=15/NAME.ndjson.zst            lines of `jobs.cold.record`, compressed with Zstandard
    dt=2026-11-30/hour=15/_NAME.manifest.json        what it holds, and its SHA-256; without it the file does not count
    dt=2026-11-30/hour=15/_NAME.done.json            Kafka has all of it
    _open/NAME.part                                  being written by a bridge, not compressed

NAME is `<bridge>-<run>-<number>`; `dt` and `hour` (UTC) are of its first record's diversion. What begins with `_` is
passed over by readers of partitioned data sets; `_open` is of this machine and not to be copied to an object store.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import msgspec
import pyarrow as pa

from jobs.cold.record import ColdRecord, Damaged, decode_record, encode_record
from jobs.export.atomic_file import replacing, sync_folder

OPEN = "_open"
PART = ".part"
_DATA, _MANIFEST, _DONE = ".ndjson.zst", ".manifest.json", ".done.json"


class Manifest(msgspec.Struct):
    """What a cold file holds; times are epoch milliseconds. `damaged` lines could no longer be read, and are lost."""

    name: str
    bridge: str
    topic: str
    records: int
    damaged: int
    bytes: int
    sha256: str
    first_diverted_at_ms: int
    last_diverted_at_ms: int
    causes: dict[str, int]


class Done(msgspec.Struct):
    """When Kafka had all of a file, how many of its records were sent then, and how many it had before."""

    at_ms: int
    sent: int
    had_before: int


_manifest_of = msgspec.json.Decoder(Manifest).decode
_done_of = msgspec.json.Decoder(Done).decode


@dataclass(frozen=True)
class ColdFile:
    """A finished file of the store."""

    folder: Path
    manifest: Manifest
    done: Done | None

    @property
    def data(self) -> Path:
        return self.folder / (self.manifest.name + _DATA)

    def waits(self) -> bool:
        """Whether it is there, and not done, by now."""
        return self.data.exists() and not self._mark.exists()

    def records(self) -> Iterator[ColdRecord]:
        """Its records, in the order in which they were diverted.

        Raises
        ------
        Damaged : the file is not the one that was written; nothing has been given then.
        """
        try:
            with self.data.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise Damaged(f"{self.data}: {error.strerror}") from None
        if digest != self.manifest.sha256:
            raise Damaged(f"{self.data}: its SHA-256 is not the manifest's")
        with pa.CompressedInputStream(pa.OSFile(str(self.data)), "zstd") as stream:
            yield from map(decode_record, _lines(stream))

    def mark_done(self, done: Done) -> None:
        """Say that Kafka has all of it."""
        _write(self._mark, msgspec.json.encode(done))

    def delete(self) -> None:
        """Remove a file that is done; what a kill leaves over is no file any more, or is done still."""
        for path in (self.folder / f"_{self.manifest.name}{_MANIFEST}", self.data, self._mark):
            path.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return self.folder / f"_{self.manifest.name}{_DONE}"


def cold_files(store: Path, with_done: bool = False) -> list[ColdFile]:
    """The finished files that are not done, and those that are too if wanted; the oldest diversion first."""
    found = []
    for path in store.glob(f"dt=*/hour=*/_*{_MANIFEST}"):
        mark = path.with_name(path.name.removesuffix(_MANIFEST) + _DONE)
        done = _done_of(mark.read_bytes()) if mark.exists() else None
        if done is None or with_done:
            found.append(ColdFile(path.parent, _manifest_of(path.read_bytes()), done))
    return sorted(found, key=lambda file: (file.manifest.first_diverted_at_ms, file.manifest.name))


def finish(store: Path, part: Path) -> ColdFile | None:
    """Make a finished file of one that was being written; None of one that holds nothing.

    What a crash has left half written is left out: nobody was told that it is safe. It may be called again after a
    crash at any point.
    """
    content = _Content()
    lines = content.of(part)
    first = next(lines, None)
    if first is None:
        part.unlink()
        return None
    moment = datetime.fromtimestamp(first.diverted_at_ms / 1000, UTC)
    folder = store / f"dt={moment:%Y-%m-%d}" / f"hour={moment:%H}"
    folder.mkdir(parents=True, exist_ok=True)
    sync_folder(folder.parent)
    sync_folder(store)
    name = part.name.removesuffix(PART)
    with replacing(folder / (name + _DATA)) as target:
        with pa.CompressedOutputStream(str(target), "zstd") as out:
            for record in chain([first], lines):
                out.write(encode_record(record))
        compressed = target.read_bytes()
    manifest = Manifest(
        name,
        name.rsplit("-", 3)[0],
        first.topic,
        content.causes.total(),
        content.damaged,
        len(compressed),
        hashlib.sha256(compressed).hexdigest(),
        first.diverted_at_ms,
        content.last_ms,
        dict(content.causes),
    )
    _write(folder / f"_{name}{_MANIFEST}", msgspec.json.encode(manifest))
    part.unlink()
    return ColdFile(folder, manifest, None)


def recover(store: Path) -> None:
    """Finish what killed bridges have left open; what a living one is writing is locked, and left to it."""
    for part in sorted((store / OPEN).glob(f"*{PART}")):
        with part.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            if part.exists():  # else another process has just finished it
                finish(store, part)


class _Content:
    """Reads a file that was being written, and sums it up."""

    def __init__(self) -> None:
        self.damaged = self.last_ms = 0
        self.causes: Counter[str] = Counter()

    def of(self, part: Path) -> Iterator[ColdRecord]:
        with part.open("rb") as file:
            for line in file:
                try:
                    record = decode_record(line)
                except Damaged:
                    self.damaged += line.endswith(b"\n")  # else it is the end of a write that a crash has cut
                    continue
                self.causes[record.cause] += 1
                self.last_ms = max(self.last_ms, record.diverted_at_ms)
                yield record


def _lines(stream: pa.NativeFile) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(1 << 20):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as target:
        target.write_bytes(content)
