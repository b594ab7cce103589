"""Compile `.proto` texts with the official compiler, in a process of its own: no text can harm this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from udfs.writer_schema import UnusableSchema

_TIMEOUT_S = 30
_SHOWN = 300


def compile_texts(files: Mapping[str, str], root: str) -> bytes:
    """Compile Protobuf files that import one another.

    Parameters
    ----------
    files
        Texts by the name under which they are imported; `google/protobuf/*.proto` need not be given.
    root
        The file whose messages are meant.

    Returns
    -------
        A serialised FileDescriptorSet, imported files first.

    Raises
    ------
    UnusableSchema
        What the compiler says of the first mistake.
    """
    with TemporaryDirectory(prefix="meridian-protoc-") as folder:
        for name, text in files.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise UnusableSchema(f"imported file {name!r}: a relative path without '..' is expected")
            target = Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return _run(Path(folder), root)


def compile_file(path: Path) -> bytes:
    """Compile a `.proto` file; what it imports lies beside it. Otherwise as `compile_texts`."""
    return _run(path.resolve().parent, path.name)


def _run(folder: Path, root: str) -> bytes:
    with TemporaryDirectory(prefix="meridian-protoc-") as out:
        target = Path(out) / "files.binpb"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", "--include_imports"]
        command += [f"--descriptor_set_out={target}", str(folder / root)]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            raise UnusableSchema(f"{root}: not compiled within {_TIMEOUT_S} s") from None
        if result.returncode != 0:
            raise UnusableSchema(f"not Protobuf: {' '.join(result.stderr.split())[:_SHOWN]}")
        return target.read_bytes()
