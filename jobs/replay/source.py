"""Rows of a file as dicts of texts, with their line numbers."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

import fastavro
import orjson
import pyarrow.parquet

from jobs.replay.mapping import File, Mapping, Stations

_BATCH = 10_000


class BadRow(ValueError):  # noqa: N818
    """A row that gives no reading; one line for a person."""


class Row(NamedTuple):
    """`cells` is None where the line itself cannot be read; `problem` then says why."""

    line: int
    cells: dict[str, Any] | None
    problem: str = ""


def find_cell(cells: dict[str, Any], column: str) -> Any:
    """Find a cell by its column; in nested JSON by its path, such as `position.lon` or `coordinates.0`.

    Raises
    ------
    BadRow : there is no such column.
    """
    if column in cells:
        return cells[column]
    value: Any = cells
    for name in column.split("."):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise BadRow(f"no column {column!r}")
    return value


def read_rows(path: Path, mapping: Mapping, base: Path) -> Iterator[Row]:
    """Read a file row by row, with the columns of the station table joined.

    Parameters
    ----------
    base : folder of the mapping file, which the station table is relative to.
    """
    stations = None if mapping.stations is None else _read_stations(mapping.stations, base)
    for row in _rows(path, mapping.file):
        if row.cells is not None and stations is not None and mapping.stations is not None:
            row = _join(row, mapping.stations, stations)
        yield row


def _rows(path: Path, file: File) -> Iterator[Row]:
    if file.format == "parquet":
        yield from _records(_parquet(path))
    elif file.format == "avro":
        with path.open("rb") as stream:
            yield from _records(_avro(stream))
    else:
        with _open(path, file.encoding) as text:
            yield from _ndjson(text) if file.format == "ndjson" else _table(text, file)


def _records(records: Iterable[dict[str, Any]]) -> Iterator[Row]:
    """Typed records, numbered from 1; times become texts, since a mapping says what times are."""
    for number, record in enumerate(records, 1):
        yield Row(number, {name: v.isoformat() if isinstance(v, datetime) else v for name, v in record.items()})


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH):
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise BadRow(f"not readable as Parquet: {error}") from None


def _avro(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    try:
        for record in fastavro.reader(stream):
            if not isinstance(record, dict):
                raise BadRow("the Avro file holds no records")
            yield record
    except (ValueError, EOFError) as error:
        raise BadRow(f"not readable as Avro: {error}") from None


def _open(path: Path, encoding: str) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=encoding, newline="")
    return path.open(encoding=encoding, newline="")


def _ndjson(stream: IO[str]) -> Iterator[Row]:
    for line, text in enumerate(stream, 1):
        if not text.strip():
            continue
        try:
            cells = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            yield Row(line, None, f"no JSON: {error}")
            continue
        yield Row(line, cells) if isinstance(cells, dict) else Row(line, None, "the JSON value is no object")


def _table(stream: IO[str], file: File) -> Iterator[Row]:
    names = file.columns or None
    for line, cells in _split(stream, file):
        if line <= file.skip_lines or not cells:
            continue
        is_comment = bool(file.comments) and cells[0].startswith(str(file.comments))
        if names is None:
            if is_comment:
                cells = [cells[0][len(file.comments or "") :], *cells[1:]]
            names = [c.strip() for c in (cells if cells[0] else cells[1:])]
            continue
        if is_comment:
            continue
        if len(cells) != len(names):
            yield Row(line, None, f"{len(cells)} columns, the header has {len(names)}")
            continue
        yield Row(line, dict(zip(names, (c.strip() for c in cells), strict=True)))


def _split(stream: IO[str], file: File) -> Iterator[tuple[int, list[str]]]:
    if file.format == "whitespace":
        for line, text in enumerate(stream, 1):
            yield line, text.split()
        return
    reader = csv.reader(stream, delimiter=file.separator)
    for cells in reader:
        yield reader.line_num, cells


def _read_stations(table: Stations, base: Path) -> dict[str, dict[str, Any]]:
    with _open(base / table.file, "utf-8") as stream:
        rows = csv.DictReader(stream, delimiter=table.separator)
        if table.key not in (rows.fieldnames or ()):
            raise BadRow(f"{table.file}: no column {table.key!r}")
        # A station that is listed twice keeps its first position.
        found: dict[str, dict[str, Any]] = {}
        for row in rows:
            found.setdefault(str(row.pop(table.key)).strip(), row)
        return found


def _join(row: Row, table: Stations, stations: dict[str, dict[str, Any]]) -> Row:
    assert row.cells is not None
    try:
        key = find_cell(row.cells, table.column)
    except BadRow as problem:
        return Row(row.line, None, str(problem))
    station = None if key is None else stations.get(str(key))
    if station is None:
        return Row(row.line, None, f"station {key!r} is not in {table.file}")
    return Row(row.line, {**station, **row.cells})
