"""NetCDF-4 by the CF conventions: time series as an indexed ragged array (CF 1.11, section 9.3.4).

Rows come in any order and are appended as they come, so nothing but the stations is kept in memory. Every metric has a
variable of its own, since it has a unit of its own; a row has a value in one metric's variables and none in the others,
which compression makes cheap.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from jobs.export.cf_names import standard_name, udunits
from jobs.export.tables import Table

_TIME_UNITS = "milliseconds since 1970-01-01 00:00:00 UTC"
_FILL = float(netCDF4.default_fillvals["f8"])
_FILL_INTEGER = int(netCDF4.default_fillvals["i4"])
_CHUNK = 65_536


class UnfitForNetcdf(ValueError):  # noqa: N818
    """The records do not make one NetCDF file; one line for a person, with what to choose."""


class NetcdfWriter:
    """Appends batches along the unlimited dimension `obs`; stations are written at the end, when all are known."""

    def __init__(self, path: Path, table: Table, title: str) -> None:
        if table.measures is None or table.position is None:
            raise UnfitForNetcdf(f"{table.topic}: NetCDF needs a table with `measures` and `position`")
        self._table, self._measures, self._position = table, table.measures, table.position
        self._stations: dict[str, tuple[int, float, float]] = {}  # id: (number, x, y)
        self._metrics: dict[str, tuple[str, str | None]] = {}  # metric: (name in the file, unit)
        self._uniform: dict[str, Any] = {}
        self._bounds = [np.inf, -np.inf]
        self._rows = 0
        self._crs = CRS.from_user_input(table.position.crs)
        self._xy = ("lon", "lat") if self._crs.is_geographic else ("x", "y")
        self._file = netCDF4.Dataset(path, "w", format="NETCDF4")
        self._file.setncatts(
            {
                "Conventions": "CF-1.11",
                "featureType": "timeSeries",
                "title": title,
                "source": f"Kafka topic {table.topic}",
                "history": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} written by meridian export",
            }
        )
        self._file.createDimension("obs", None)
        self._define_coordinates()

    def write(self, batch: Any) -> None:
        begin, end = self._rows, self._rows + batch.num_rows
        self._check_uniform(batch)
        columns = self._file.variables
        time_ms = _times_ms(batch, self._table.name_of(self._table.time))
        columns["time"][begin:end] = time_ms
        self._bounds = [min(self._bounds[0], time_ms.min()), max(self._bounds[1], time_ms.max())]
        if self._measures.end is not None:
            columns["time_bounds"][begin:end, 0] = time_ms
            columns["time_bounds"][begin:end, 1] = _times_ms(batch, self._table.name_of(self._measures.end))
        x, y = (_numbers(batch, self._table.name_of(f)) for f in (self._position.x, self._position.y))
        for name, numbers in zip(self._xy, (x, y), strict=True):
            columns[f"precise_{name}"][begin:end] = _filled(numbers)
        columns["station_index"][begin:end] = self._station_numbers(batch, x, y)
        self._write_measures(batch, begin, end)
        self._rows = end

    def close(self) -> None:
        self._write_stations()
        if self._rows:
            first, last = (datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in self._bounds)
            self._file.setncatts({"time_coverage_start": first, "time_coverage_end": last})
        self._file.close()

    def _define_coordinates(self) -> None:
        time = self._variable("time", "i8", ("obs",), fill=False)
        time.setncatts({"standard_name": "time", "long_name": "event time", "units": _TIME_UNITS})
        time.setncatts({"calendar": "standard", "units_metadata": "leap_seconds: none", "axis": "T"})
        if self._measures.end is not None:
            self._file.createDimension("bound", 2)
            time.bounds = "time_bounds"
            self._variable("time_bounds", "i8", ("obs", "bound"), fill=False)
        index = self._variable("station_index", "i4", ("obs",), fill=False)
        index.setncatts({"long_name": "which station this row is of", "instance_dimension": "station"})
        for name, axis in zip(self._xy, "xy", strict=True):
            variable = self._variable(f"precise_{name}", "f8", ("obs",))
            variable.units = _axis_attributes(self._crs, axis)["units"]
            variable.long_name = f"{_axis_name(self._crs, axis)} at the time, of stations that move"
        mapping = self._file.createVariable("crs", "i4")
        mapping.setncatts(self._crs.to_cf())

    def _write_measures(self, batch: Any, begin: int, end: int) -> None:
        table, measures = self._table, self._measures
        metric = batch.column(table.name_of(measures.metric)).to_numpy(zero_copy_only=False)
        units = batch.column(table.name_of(measures.unit)).to_numpy(zero_copy_only=False)
        for name in sorted(set(metric)):
            rows = metric == name
            of_metric = sorted({str(unit or "1") for unit in units[rows]})
            for unit in of_metric:
                self._define_metric(str(name), unit)
            for field, method in measures.fields.items():
                numbers = _numbers(batch, table.name_of(field))
                variable = self._file.variables[self._variable_name(str(name), field)]
                if method == "count":
                    whole = np.where(rows & np.isfinite(numbers), numbers, _FILL_INTEGER)
                    variable[begin:end] = whole.astype(np.int32)
                else:
                    variable[begin:end] = _filled(np.where(rows, numbers, np.nan))

    def _define_metric(self, metric: str, unit: str) -> None:
        if metric in self._metrics:
            known = self._metrics[metric][1]
            if known != unit:
                raise UnfitForNetcdf(f"{metric} is in {known} and in {unit}: choose one stream or period")
            return
        taken = {name for name, _ in self._metrics.values()}
        name = plain_name(metric)
        while name in taken or name in self._file.variables:
            name += "_"
        self._metrics[metric] = name, unit
        for field, method in self._measures.fields.items():
            self._define_measure(metric, unit, field, method)

    def _define_measure(self, metric: str, unit: str, field: str, method: str) -> None:
        is_count = method == "count"
        variable = self._variable(self._variable_name(metric, field), "i4" if is_count else "f8", ("obs",))
        quantity, spelt = standard_name(metric, unit), udunits(unit)
        attributes = {
            "long_name": metric if method == "point" else f"{metric}, {field}",
            "units": "1" if is_count else spelt or "1",
            "grid_mapping": "crs",
            "coordinates": "time {1} {0} precise_{1} precise_{0} station_id".format(*self._xy),
        }
        if is_count:
            attributes["standard_name"] = "number_of_observations"
        elif quantity is not None:
            attributes["standard_name"] = quantity
        if spelt is None and not is_count:
            attributes["comment"] = f"unit: {unit}, a scale that UDUNITS does not know"
        if not is_count:
            attributes["cell_methods"] = f"time: {method}"
        variable.setncatts(attributes)

    def _variable_name(self, metric: str, field: str) -> str:
        name = self._metrics[metric][0]
        return name if len(self._measures.fields) == 1 else f"{name}_{plain_name(field)}"

    def _station_numbers(self, batch: Any, x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        stations = self._stations
        ids = batch.column(self._table.name_of(self._measures.series)).to_pylist()
        numbers = np.empty(len(ids), np.int32)
        for row, station in enumerate(ids):
            found = stations.get(station)
            if found is None:  # its nominal position is its first one
                found = stations[station] = len(stations), float(x[row]), float(y[row])
            numbers[row] = found[0]
        return numbers

    def _write_stations(self) -> None:
        self._file.createDimension("station", len(self._stations))
        station_id = self._file.createVariable("station_id", str, ("station",))
        station_id.setncatts({"cf_role": "timeseries_id", "long_name": self._measures.series})
        for at, station in enumerate(self._stations):
            station_id[at] = str(station)
        positions = list(self._stations.values())
        for place, (name, axis) in enumerate(zip(self._xy, "xy", strict=True), 1):
            variable = self._file.createVariable(name, "f8", ("station",), fill_value=_FILL)
            variable.setncatts(_axis_attributes(self._crs, axis))
            variable.long_name = f"{_axis_name(self._crs, axis)} where the station was first"
            variable.axis = axis.upper()
            if positions:
                variable[:] = _filled(np.array([p[place] for p in positions]))

    def _check_uniform(self, batch: Any) -> None:
        for field in self._measures.uniform:
            found = batch.column(self._table.name_of(field)).unique().to_pylist()
            values = {*found, self._uniform.setdefault(field, found[0])}
            if len(values) > 1:
                texts = ", ".join(sorted(map(str, values)))
                raise UnfitForNetcdf(f"one NetCDF file holds one {field}, and there are {texts}: choose one")

    def _variable(self, name: str, kind: str, dimensions: tuple[str, ...], *, fill: bool = True) -> Any:
        chunks = (_CHUNK, 2)[: len(dimensions)]
        value = (_FILL_INTEGER if kind == "i4" else _FILL) if fill else None
        return self._file.createVariable(
            name, kind, dimensions, compression="zlib", shuffle=True, chunksizes=chunks, fill_value=value
        )


def plain_name(text: str) -> str:
    """A name of letters, digits and underscores that begins with a letter, as CF recommends."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", text)
    return name if name[:1].isalpha() else f"v_{name}"


def _axis_name(crs: CRS, axis: str) -> str:
    if crs.is_geographic:
        return "longitude" if axis == "x" else "latitude"
    return f"{axis} coordinate"


def _axis_attributes(crs: CRS, axis: str) -> dict[str, str]:
    if crs.is_geographic:
        east = axis == "x"
        return {"standard_name": _axis_name(crs, axis), "units": "degrees_east" if east else "degrees_north"}
    return {"standard_name": f"projection_{axis}_coordinate", "units": str(crs.axis_info[0].unit_name)}


def _times_ms(batch: Any, name: str) -> NDArray[Any]:
    column = batch.column(name)
    if column.null_count:
        raise UnfitForNetcdf(f"{name} is missing in {column.null_count} records")
    times: NDArray[Any] = column.cast("int64").to_numpy(zero_copy_only=False)
    return times


def _numbers(batch: Any, name: str) -> NDArray[Any]:
    numbers: NDArray[Any] = batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
    return numbers


def _filled(numbers: NDArray[Any]) -> NDArray[Any]:
    return np.where(np.isfinite(numbers), numbers, _FILL)
