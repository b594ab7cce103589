"""From records to columns: Arrow batches of bounded size, with local times where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pyarrow as pa

from jobs.export.select import Record, getter
from jobs.export.tables import Kind, Table

TIME = pa.timestamp("ms", tz="UTC")
_TYPES: dict[Kind, Any] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "truth": pa.bool_(),
    "time": TIME,
    "json": pa.string(),
}
ZoneOf = Callable[[Record], str | None]
"""The name of the time zone in which a record's times are shown; None: not known."""


class UnfitValue(ValueError):  # noqa: N818
    """A value that does not fit its column; one line for a person."""


def schema_of(table: Table, local_times: bool = False) -> Any:
    """The Arrow schema of a table; `local_times` adds a text column beside each time."""
    fields = []
    for field, kind in table.columns.items():
        fields.append(pa.field(table.name_of(field), _TYPES[kind]))
        if local_times and kind == "time":
            fields.append(pa.field(f"{table.name_of(field)}_local", pa.string()))
    return pa.schema(fields)


def batches(records: Iterable[Record], table: Table, rows: int, zone_of: ZoneOf | None = None) -> Iterator[Any]:
    """Arrow record batches of up to `rows` rows.

    Parameters
    ----------
    zone_of : with it, each time has a second column `…_local`: ISO 8601 with the offset that held there and then.

    Raises
    ------
    UnfitValue : a value is not of its column's kind.
    """
    schema = schema_of(table, zone_of is not None)
    found = iter(records)
    while chunk := list(islice(found, rows)):
        yield _batch(chunk, table, schema, zone_of)


def _batch(chunk: list[Record], table: Table, schema: Any, zone_of: ZoneOf | None) -> Any:
    zones = [zone_of(record) for record in chunk] if zone_of else []
    columns = []
    for field, kind in table.columns.items():
        values = list(map(getter(field), chunk))
        if kind == "text":
            values = [v if v is None or type(v) is str else _json(v) for v in values]
        elif kind == "json":
            values = [None if v is None else _json(v) for v in values]
        try:
            columns.append(pa.array(values, _TYPES[kind]))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise UnfitValue(f"column {field} is declared as {kind}: {error}") from None
        if zones and kind == "time":
            columns.append(pa.array(list(map(local_time, values, zones)), pa.string()))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def local_time(time_ms: int | None, zone: str | None) -> str | None:
    """An epoch time in a zone, as ISO 8601 with offset: unambiguous in the hour that a clock change repeats."""
    if time_ms is None or zone is None:
        return None
    moment = datetime.fromtimestamp(time_ms // 1000, UTC).replace(microsecond=time_ms % 1000 * 1000)
    return moment.astimezone(_zone(zone)).isoformat(timespec="milliseconds")


@lru_cache(maxsize=1_024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
