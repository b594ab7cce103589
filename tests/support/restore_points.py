"""Savepoints and checkpoints as Flink leaves them behind, with nothing but the header of their metadata."""

from __future__ import annotations

import os
import struct
from pathlib import Path

JOB = "1a2b3c" + "0" * 26
OTHER_JOB = "f" * 32


def make_checkpoint(root: Path, job: str, number: int, completed_s: int) -> Path:
    return _make(root / job / f"chk-{number}", number, completed_s)


def make_savepoint(root: Path, job: str, number: int, completed_s: int) -> Path:
    return _make(root / f"savepoint-{job[:6]}-{number:012x}", number, completed_s)


def _make(folder: Path, number: int, completed_s: int) -> Path:
    folder.mkdir(parents=True)
    metadata = folder / "_metadata"
    metadata.write_bytes(struct.pack(">iiq", 0x4960672D, 6, number) + b"the rest")
    os.utime(metadata, (completed_s, completed_s))
    return folder
