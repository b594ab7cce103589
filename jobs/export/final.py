"""The last revision of each record, whatever their number: the candidates wait on disk and not in memory."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from jobs.export.select import Record, value_of
from jobs.export.tables import Revised

_CACHE_KIB = 32_768
_KEEP_HIGHEST = """
    INSERT INTO final VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE
    SET revision = excluded.revision, record = excluded.record WHERE excluded.revision >= revision
"""


def final_records(records: Iterable[Record], rule: Revised, folder: Path) -> Iterator[Record]:
    """The record with the highest revision of each key, in the order of keys; provisional ones are left out.

    Parameters
    ----------
    folder : where the candidates are kept meanwhile; about as many bytes as the records have.
    """
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as scratch:
        database = sqlite3.connect(Path(scratch) / "final.sqlite", isolation_level=None)
        try:
            # A scratch file needs no safety.
            for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
                database.execute(f"PRAGMA {pragma}")
            database.execute("CREATE TABLE final (key BLOB PRIMARY KEY, revision INTEGER, record BLOB) WITHOUT ROWID")
            database.execute("BEGIN")
            database.executemany(
                _KEEP_HIGHEST,
                (
                    (
                        orjson.dumps([value_of(record, name) for name in rule.key]),
                        value_of(record, rule.revision) or 0,
                        orjson.dumps(record),
                    )
                    for record in records
                ),
            )
            database.execute("COMMIT")
            for (data,) in database.execute("SELECT record FROM final ORDER BY key"):
                record = orjson.loads(data)
                if not any(value_of(record, name) == value for name, value in rule.provisional.items()):
                    yield record
        finally:
            database.close()
