"""CSV: UTF-8, a header, ISO 8601 times in UTC; `.gz` compresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

_ISO = "%Y-%m-%dT%H:%M:%SZ"  # Arrow's %S has the milliseconds


class CsvWriter:
    """Appends batches as lines."""

    def __init__(self, path: Path, schema: Any, *, compressed: bool) -> None:
        self._schema = pa.schema(
            [pa.field(f.name, pa.string() if pa.types.is_timestamp(f.type) else f.type) for f in schema]
        )
        file = pa.OSFile(str(path), "wb")
        self._file = pa.CompressedOutputStream(file, "gzip") if compressed else file
        self._writer = pa.csv.CSVWriter(self._file, self._schema)

    def write(self, batch: Any) -> None:
        columns = [pc.strftime(c, _ISO) if pa.types.is_timestamp(c.type) else c for c in batch.columns]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()
        self._file.close()
