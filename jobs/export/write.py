"""One export: records in, a whole file out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jobs.export.atomic_file import replacing
from jobs.export.batches import ZoneOf, batches, schema_of
from jobs.export.csv_file import CsvWriter
from jobs.export.final import final_records
from jobs.export.parquet import ParquetWriter
from jobs.export.select import Selection, read_records
from jobs.export.tables import Table

Format = Literal["parquet", "netcdf", "csv"]
SUFFIXES: dict[str, Format] = {".parquet": "parquet", ".geoparquet": "parquet", ".nc": "netcdf", ".csv": "csv"}


@dataclass
class Written:
    """What became of the records."""

    read: int = 0
    rows: int = 0


def format_of(path: Path) -> Format | None:
    """The format that a file's name says; `.csv.gz` is CSV."""
    return SUFFIXES.get(Path(path.name.removesuffix(".gz")).suffix)


def write_file(
    path: Path,
    values: Iterable[bytes | None],
    table: Table,
    selection: Selection,
    kind: Format,
    rows_per_batch: int = 50_000,
    zone_of: ZoneOf | None = None,
) -> Written:
    """Write the selected records of a topic, given as their JSON, to a file that takes its place when it is whole.

    Raises
    ------
    UnreadableRecord, UnfitValue, UnfitForNetcdf : the records do not make such a file; nothing is left behind.
    """
    written = Written()

    def selected() -> Iterable[Any]:
        for record in read_records(values):
            written.read += 1
            if selection.takes(record, table.time):
                yield record

    records = selected() if table.revised is None else final_records(selected(), table.revised, path.parent)
    with replacing(path) as part:
        writer = _writer(part, path, table, kind, zone_of is not None)
        try:
            for batch in batches(records, table, rows_per_batch, zone_of):
                writer.write(batch)
                written.rows += batch.num_rows
        finally:
            writer.close()
    return written


def _writer(part: Path, path: Path, table: Table, kind: Format, local_times: bool) -> Any:
    if kind == "netcdf":
        from jobs.export.netcdf import NetcdfWriter  # HDF5 takes a while to load

        return NetcdfWriter(part, table, path.stem)
    schema = schema_of(table, local_times)
    if kind == "csv":
        return CsvWriter(part, schema, compressed=path.suffix == ".gz")
    return ParquetWriter(part, table, schema)
