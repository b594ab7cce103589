"""Schemas on disk, so that a worker that starts while the registry is away knows what its machine has known.

A registry never gives an id another schema; so what is here stays right. A registry that is set up anew is another one,
and its folder here must go.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from pathlib import Path

from jobs.schemas.registry import Registry
from jobs.schemas.settings import RegistrySettings
from udfs.schema_lookup import SchemaSource
from udfs.writer_schema import SchemaFormat, WriterSchema

_LOG = logging.getLogger(__name__)


class CachedOnDisk:
    """Looks in a folder before it asks; a folder that cannot be used is a warning and no failure."""

    def __init__(self, source: SchemaSource, folder: Path) -> None:
        self._source = source
        self._folder: Path | None = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_uid != os.getuid():
                raise PermissionError(f"{folder} is somebody else's")
        except OSError as error:
            _LOG.warning("schemas are not kept on disk: %s", error)
            self._folder = None

    def find(self, schema_id: int) -> WriterSchema | None:
        """Implement `udfs.schema_lookup.SchemaSource`."""
        known = self._read(schema_id)
        if known is not None:
            return known
        found = self._source.find(schema_id)
        if found is not None:
            self._write(schema_id, found)
        return found

    def _read(self, schema_id: int) -> WriterSchema | None:
        if self._folder is None:
            return None
        try:
            kept = json.loads((self._folder / f"{schema_id}.json").read_bytes())
            return WriterSchema(SchemaFormat(kept["format"]), str(kept["text"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _LOG.warning("schema id %d on disk cannot be read: %s", schema_id, error)
            return None

    def _write(self, schema_id: int, schema: WriterSchema) -> None:
        if self._folder is None:
            return
        part = self._folder / f"{schema_id}.{os.getpid()}.part"
        try:
            part.write_text(json.dumps(schema._asdict()))
            part.replace(self._folder / f"{schema_id}.json")  # workers of one machine share the folder
        except OSError as error:
            _LOG.warning("schema id %d is not kept on disk: %s", schema_id, error)


def open_source(settings: RegistrySettings) -> SchemaSource:
    """Make what a worker asks for unknown ids; nothing is connected yet."""
    return CachedOnDisk(Registry(settings), cache_folder(settings))


def cache_folder(settings: RegistrySettings) -> Path:
    """The folder of one registry, told from others by its addresses."""
    root = settings.cache_folder or f"{tempfile.gettempdir()}/meridian-schemas-{os.getuid()}"
    return Path(root) / hashlib.sha256(" ".join(settings.urls).encode()).hexdigest()[:16]
