"""Parquet whose points others find: GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0/)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from jobs.export.tables import Position, Table

GEOMETRY, BBOX = "geometry", "bbox"
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_BOX = pa.struct([pa.field(corner, pa.float64()) for corner in _CORNERS])


class ParquetWriter:
    """Appends batches as row groups; only the one at hand is in memory.

    A table with positions gets a column `geometry` (WKB points), the metadata by which readers know its CRS, and a
    column `bbox`, whose statistics tell readers which row groups they need not read.
    """

    def __init__(self, path: Path, table: Table, schema: Any) -> None:
        self._xy: list[str] = []
        if table.position is not None:
            self._xy = [table.name_of(field) for field in (table.position.x, table.position.y)]
            schema = schema.append(pa.field(GEOMETRY, pa.binary())).append(pa.field(BBOX, _BOX))
            schema = schema.with_metadata({"geo": json.dumps(geo_metadata(table.position))})
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def write(self, batch: Any) -> None:
        columns = batch.columns
        if self._xy:
            x, y = (_numbers(batch, name) for name in self._xy)
            boxes = pa.StructArray.from_arrays([pa.array(c, from_pandas=True) for c in (x, y, x, y)], fields=list(_BOX))
            columns = [*columns, pa.array(encode_points(x, y), pa.binary()), boxes]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema), row_group_size=batch.num_rows)

    def close(self) -> None:
        self._writer.close()


def encode_points(x: NDArray[Any], y: NDArray[Any]) -> list[bytes | None]:
    """WKB of points, None where a coordinate is missing."""
    encoded: list[bytes | None] = [None] * len(x)
    known = np.isfinite(x) & np.isfinite(y)
    if known.any():
        points = shapely.to_wkb(shapely.points(x[known], y[known]))
        for row, point in zip(np.flatnonzero(known).tolist(), points, strict=True):
            encoded[row] = point
    return encoded


def geo_metadata(position: Position) -> dict[str, Any]:
    """The value of Parquet's metadata key `geo`; the CRS as PROJJSON.

    The optional box of the whole file is not there: this metadata is written before the first row is known.
    """
    column = {
        "encoding": "WKB",
        "geometry_types": ["Point"],
        "crs": CRS.from_user_input(position.crs).to_json_dict(),
        "covering": {BBOX: {corner: [BBOX, corner] for corner in _CORNERS}},
    }
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}


def _numbers(batch: Any, name: str) -> NDArray[Any]:
    numbers: NDArray[Any] = batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
    return numbers
