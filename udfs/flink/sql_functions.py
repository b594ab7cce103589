"""The functions that `sql/02_functions.sql` registers: Arrow batches in, columns out; the work is done in pure modules.

Positions are (x, y) as everywhere: longitude or easting first, whatever a CRS says of its own axes.

What is wrong with a row makes its result NULL and never an exception, which would restart the job for as long as the
row is there: missing or infinite numbers, positions that are not on Earth or outside of their CRS's area of use, and
CRS codes out of a **column** that name none. What is wrong with the statement ends it with a message: a **constant**
CRS or cell scheme that can never give a result, a layer that cannot be read, and, before anything runs, a wrong number
or type of arguments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pyflink.table import DataTypes
from pyflink.table.udf import FunctionContext, ScalarFunction, udf

from udfs.cell_scheme import CellSchemes
from udfs.crs_operation import Floats
from udfs.crs_text import read_crs
from udfs.flink.worker import tune_worker
from udfs.geodesic import distance_m
from udfs.layer_file import read_layer
from udfs.reproject import Reprojected, Reprojector, Texts
from udfs.stations import Stations
from udfs.watersheds import Watersheds

STATIONS_PARAMETER = "meridian.layers.stations"
WATERSHEDS_PARAMETER = "meridian.layers.watersheds"

Numbers = pd.Series | float | None  # a constant comes as it is, not as a Series
Names = pd.Series | str | None

_DOUBLE, _STRING = DataTypes.DOUBLE(), DataTypes.STRING()


class _Transforming(ScalarFunction):
    sql_name: str

    def open(self, function_context: FunctionContext) -> None:
        tune_worker()
        self._reprojector = Reprojector()
        self._known: set[str] = set()

    def _transform(self, x: Numbers, y: Numbers, source: Names, target: Names) -> Reprojected:
        rows = _rows(x, y, source, target)
        return self._reprojector.transform(
            _floats(x, rows), _floats(y, rows), self._texts(source, rows), self._texts(target, rows)
        )

    def _texts(self, value: Names, rows: int) -> Texts:
        if isinstance(value, str) and value not in self._known:
            try:
                read_crs(value)
            except ValueError as error:
                raise ValueError(f"{self.sql_name}: {error}") from None
            self._known.add(value)
        return _texts(value, rows)


class ToCrs(_Transforming):
    """`TO_CRS(x, y, source, target)`: ROW<x DOUBLE, y DOUBLE>, (x, y) in the target CRS, as the job would write them.

    Both fields are NULL where there is no result; the row itself never is.
    """

    sql_name = "TO_CRS"

    def eval(self, x: Numbers, y: Numbers, source: Names, target: Names) -> pd.DataFrame:
        moved = self._transform(x, y, source, target)
        return pd.DataFrame({"x": moved.x, "y": moved.y})


class CrsAccuracy(_Transforming):
    """`CRS_ACCURACY(source, target, x, y)`: metres, by the operation that TO_CRS takes there; NULL where unknown."""

    sql_name = "CRS_ACCURACY"

    def eval(self, source: Names, target: Names, x: Numbers, y: Numbers) -> pd.Series:
        return pd.Series(self._transform(x, y, source, target).accuracy_m)


class Cell(ScalarFunction):
    """`CELL(x, y, scheme)`: the job's name of the cell.

    Scheme `grid:1000` takes x, y in the target CRS, `h3:7` longitude and latitude in degrees.
    """

    def open(self, function_context: FunctionContext) -> None:
        tune_worker()
        self._schemes = CellSchemes()

    def eval(self, x: Numbers, y: Numbers, scheme: Names) -> pd.Series:
        rows = _rows(x, y, scheme)
        if isinstance(scheme, str):
            try:
                self._schemes.require(scheme)
            except ValueError as error:
                raise ValueError(f"CELL: {error}") from None
        cells = self._schemes.cells(_floats(x, rows), _floats(y, rows), _texts(scheme, rows))
        return pd.Series(cells, dtype=object)


class GreatCircleM(ScalarFunction):
    """`GREAT_CIRCLE_M(lon1, lat1, lon2, lat2)`: metres along the geodesic of WGS 84; NULL for what is not on Earth."""

    def open(self, function_context: FunctionContext) -> None:
        tune_worker()

    def eval(self, lon1: Numbers, lat1: Numbers, lon2: Numbers, lat2: Numbers) -> pd.Series:
        rows = _rows(lon1, lat1, lon2, lat2)
        return pd.Series(distance_m(*(_floats(column, rows) for column in (lon1, lat1, lon2, lat2))))


class NearestStation(ScalarFunction):
    """`NEAREST_STATION(lon, lat)`: ROW<station STRING, distance_m DOUBLE>, both NULL for what is not on Earth."""

    def open(self, function_context: FunctionContext) -> None:
        tune_worker()
        path = function_context.get_job_parameter(STATIONS_PARAMETER, "")
        self._stations = Stations.of(read_layer(path, "stations"))

    def eval(self, lon: Numbers, lat: Numbers) -> pd.DataFrame:
        rows = _rows(lon, lat)
        nearest = self._stations.nearest(_floats(lon, rows), _floats(lat, rows))
        return pd.DataFrame({"station": nearest.station, "distance_m": nearest.distance_m})


class Watershed(ScalarFunction):
    """`WATERSHED(lon, lat)`: name of the first polygon of the layer that holds the position; NULL outside of all."""

    def open(self, function_context: FunctionContext) -> None:
        tune_worker()
        path = function_context.get_job_parameter(WATERSHEDS_PARAMETER, "")
        self._watersheds = Watersheds(read_layer(path, "watersheds"))

    def eval(self, lon: Numbers, lat: Numbers) -> pd.Series:
        rows = _rows(lon, lat)
        return pd.Series(self._watersheds.containing(_floats(lon, rows), _floats(lat, rows)), dtype=object)


def _rows(*arguments: Any) -> int:
    """Length of the batch; the planner works out calls that have only constants itself, or fails."""
    return next(len(argument) for argument in arguments if isinstance(argument, pd.Series))


def _floats(value: Numbers, rows: int) -> Floats:
    """A column of numbers, NaN where there is none."""
    if isinstance(value, pd.Series):
        return pd.to_numeric(value, errors="coerce").to_numpy(np.float64)
    return np.full(rows, np.nan if value is None else float(value))


def _texts(value: Names, rows: int) -> Texts:
    if isinstance(value, pd.Series):
        return value.tolist()
    return [None] * rows if value is None else value


def _function(function: ScalarFunction, inputs: list[Any], result: Any) -> Any:
    # With types of inputs, an argument of a wrong type is refused by the planner and DECIMAL literals are cast.
    return udf(function, inputs, result, func_type="pandas")


to_crs = _function(
    ToCrs(),
    [_DOUBLE, _DOUBLE, _STRING, _STRING],
    DataTypes.ROW([DataTypes.FIELD("x", _DOUBLE), DataTypes.FIELD("y", _DOUBLE)]),
)
crs_accuracy = _function(CrsAccuracy(), [_STRING, _STRING, _DOUBLE, _DOUBLE], _DOUBLE)
cell = _function(Cell(), [_DOUBLE, _DOUBLE, _STRING], _STRING)
great_circle_m = _function(GreatCircleM(), [_DOUBLE] * 4, _DOUBLE)
nearest_station = _function(
    NearestStation(),
    [_DOUBLE, _DOUBLE],
    DataTypes.ROW([DataTypes.FIELD("station", _STRING), DataTypes.FIELD("distance_m", _DOUBLE)]),
)
watershed = _function(Watershed(), [_DOUBLE, _DOUBLE], _STRING)
