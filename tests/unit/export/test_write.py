"""Files hold exactly the selected records, as columns that others can read."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import netCDF4
import numpy as np
import orjson
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
import xarray as xr
from pyproj import CRS
from pyproj.datadir import get_data_dir

from jobs.export.batches import UnfitValue, local_time
from jobs.export.netcdf import UnfitForNetcdf
from jobs.export.select import Selection, UnreadableRecord
from jobs.export.tables import aligned_table, load_table, windows_table
from jobs.export.write import format_of, write_file
from jobs.pipeline.deployment_file import InvalidDeployment
from tests.unit.export.records import DAY_MS, MINUTE, aligned, window

ALIGNED, WINDOWS, ALL = aligned_table("aligned"), windows_table("windows"), Selection()


def parquet(path: Path, values: list[bytes], table: Any = ALIGNED, selection: Selection = ALL, **options: Any) -> Any:
    write_file(path, values, table, selection, "parquet", **options)
    return pq.read_table(path)


def test_every_field_of_a_record_comes_back(tmp_path: Path) -> None:
    value = aligned(attributes={"depth_m": 0.5}, quality=3)
    [row] = parquet(tmp_path / "a.parquet", [value]).to_pylist()
    record = orjson.loads(value)
    times = {name: row.pop(name.removesuffix("_ms")) for name in record if name.endswith("time_ms")}
    assert {name: int(t.timestamp() * 1000) for name, t in times.items()} == {n: record.pop(n) for n in times}
    assert json.loads(row.pop("attributes")) == record.pop("attributes")
    assert row.pop("quality") == "3" and record.pop("quality") == 3
    assert row.pop("beyond_dedup_horizon") is None
    del row["geometry"], row["bbox"]
    assert row == record


def test_geoparquet_says_where_its_points_are(tmp_path: Path) -> None:
    values = [aligned(), aligned("s2", lon_deg=10.5, lat_deg=-3.0), aligned("s3", lon_deg=None)]
    table = parquet(tmp_path / "a.parquet", values)
    geo = json.loads(pq.read_schema(tmp_path / "a.parquet").metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    assert (geo["version"], column["encoding"], column["geometry_types"]) == ("1.1.0", "WKB", ["Point"])
    assert CRS.from_json_dict(column["crs"]) == CRS.from_user_input("OGC:CRS84")
    jsonschema.validate(column["crs"], json.loads((Path(get_data_dir()) / "projjson.schema.json").read_text()))
    assert column["covering"] == {"bbox": {c: ["bbox", c] for c in ("xmin", "ymin", "xmax", "ymax")}}
    assert table.column("bbox").to_pylist()[1] == {"xmin": 10.5, "ymin": -3.0, "xmax": 10.5, "ymax": -3.0}
    points = shapely.from_wkb(table.column("geometry").to_pylist())
    assert [None if p is None else (p.x, p.y) for p in points] == [(-2.1, 57.15), (10.5, -3.0), None]


def test_parquet_has_a_row_group_for_each_batch(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet(path, [aligned(time_ms=DAY_MS + i) for i in range(25)], rows_per_batch=10)
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [10, 10, 5]


def test_only_the_last_revision_of_a_window_is_written(tmp_path: Path) -> None:
    values = [
        window("s1", revision=1, mean=1.0), window("s1", revision=3, mean=3.0), window("s1", revision=2, mean=2.0),
        window("s2", revision=1), window("s3", revision=1, timing="early"),
        window("s4", revision=1, timing="early"), window("s4", revision=2),
    ]  # fmt: skip
    rows = parquet(tmp_path / "w.parquet", values, WINDOWS).to_pylist()
    assert {(r["key"], r["revision"], r["mean"]) for r in rows} == {("s1", 3, 3.0), ("s2", 1, 1.5), ("s4", 2, 1.5)}
    assert [p.name for p in tmp_path.iterdir()] == ["w.parquet"]


def test_a_selection_takes_event_times_from_the_first_up_to_and_without_the_last(tmp_path: Path) -> None:
    values = [aligned(s, DAY_MS + m * MINUTE) for s in ("s1", "s2") for m in range(4)] + [aligned(metric="pm10")]
    chosen = Selection(DAY_MS + MINUTE, DAY_MS + 3 * MINUTE, {"sensor_id": {"s2"}, "metric": {"pm2_5"}})
    rows = parquet(tmp_path / "a.parquet", values, selection=chosen).to_pylist()
    assert [(r["sensor_id"], int(r["event_time"].timestamp() * 1000) - DAY_MS) for r in rows] == [
        ("s2", MINUTE), ("s2", 2 * MINUTE),
    ]  # fmt: skip


def test_an_export_without_records_is_a_file_without_rows(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.csv", "a.nc"):
        path = tmp_path / name
        assert write_file(path, [], ALIGNED, ALL, format_of(path) or "csv").rows == 0 and path.exists()


def test_a_failed_export_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("before")
    for bad, error in ((b"{", UnreadableRecord), (b"[1]", UnreadableRecord), (aligned(value="much"), UnfitValue)):
        with pytest.raises(error):
            parquet(path, [aligned(), bad], rows_per_batch=1)
        assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_csv_has_utc_and_on_request_local_times(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    zones = {"s1": "Europe/London", "s2": None}
    spring = 1_553_994_000_000  # 2019-03-31T01:00:00Z, when British summer time began
    values = [aligned("s1", spring - 1), aligned("s1", spring), aligned("s2", spring)]
    write_file(path, values, ALIGNED, ALL, "csv", zone_of=lambda r: zones[r["sensor_id"]])
    rows = pd.read_csv(io.StringIO(gzip.decompress(path.read_bytes()).decode()))
    assert rows["event_time"].tolist() == [
        "2019-03-31T00:59:59.999Z",
        "2019-03-31T01:00:00.000Z",
        "2019-03-31T01:00:00.000Z",
    ]
    assert rows["event_time_local"].fillna("").tolist() == [
        "2019-03-31T00:59:59.999+00:00", "2019-03-31T02:00:00.000+01:00", "",
    ]  # fmt: skip


def test_local_times_are_unambiguous_when_clocks_go_back() -> None:
    autumn = 1_572_136_200_000  # 2019-10-27T00:30:00Z: 01:30 comes twice in London
    assert local_time(autumn, "Europe/London") == "2019-10-27T01:30:00.000+01:00"
    assert local_time(autumn + 3_600_000, "Europe/London") == "2019-10-27T01:30:00.000+00:00"


def test_netcdf_is_decoded_by_xarray_as_time_series(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    values = [
        aligned("s1", DAY_MS, 1.0), aligned("s2", DAY_MS + 500, 2.0, lon_deg=10.0),
        aligned("s1", DAY_MS + 1000, 9.5, metric="air_temperature", unit="degC", lon_deg=-2.0),
    ]  # fmt: skip
    write_file(path, values, ALIGNED, ALL, "netcdf", rows_per_batch=2)
    with xr.open_dataset(path) as data:
        assert data.attrs["featureType"] == "timeSeries" and data.attrs["Conventions"].startswith("CF-")
        assert data["time"].values.astype("datetime64[ms]").astype(int).tolist() == [
            DAY_MS,
            DAY_MS + 500,
            DAY_MS + 1000,
        ]
        np.testing.assert_array_equal(data["pm2_5"].values, [1.0, 2.0, np.nan])
        np.testing.assert_array_equal(data["air_temperature"].values, [np.nan, np.nan, 9.5])
        assert data["station_id"].values[data["station_index"].values].tolist() == ["s1", "s2", "s1"]
        assert data["lon"].values.tolist() == [-2.1, 10.0] and data["precise_lon"].values.tolist() == [-2.1, 10.0, -2.0]
        assert data["air_temperature"].attrs["units"] == "degree_Celsius"
        assert data["air_temperature"].attrs["standard_name"] == "air_temperature"
        assert data["pm2_5"].attrs["units"] == "ug m-3"
        assert data["station_id"].attrs["cf_role"] == "timeseries_id"
        assert data["station_index"].attrs["instance_dimension"] == "station"
        assert CRS.from_cf(data[data["pm2_5"].attrs["grid_mapping"]].attrs).is_geographic


def test_windows_as_netcdf_have_bounds_and_cell_methods(tmp_path: Path) -> None:
    path = tmp_path / "w.nc"
    write_file(path, [window("s1"), window("s2", mean=2.0)], WINDOWS, ALL, "netcdf")
    with netCDF4.Dataset(path) as data:
        assert data["time"].bounds == "time_bounds"
        assert (data["time_bounds"][:, 1] - data["time_bounds"][:, 0]).tolist() == [5 * MINUTE, 5 * MINUTE]
        assert (
            data["pm2_5_mean"].cell_methods == "time: mean"
            and data["pm2_5_std"].cell_methods == "time: standard_deviation"
        )
        assert data["pm2_5_count"].standard_name == "number_of_observations"
        assert data["pm2_5_mean"][:].tolist() == [1.5, 2.0] and data["pm2_5_count"][:].tolist() == [3, 3]


def test_what_would_mix_series_or_units_is_no_netcdf_file(tmp_path: Path) -> None:
    path = tmp_path / "x.nc"
    with pytest.raises(UnfitForNetcdf, match=r"one definition, and there are 15min, 5min"):
        write_file(path, [window(), window("s2", definition="15min")], WINDOWS, ALL, "netcdf")
    with pytest.raises(UnfitForNetcdf, match="pm2_5 is in mg/m3 and in ug/m3"):
        write_file(path, [aligned(unit="mg/m3"), aligned()], ALIGNED, ALL, "netcdf", rows_per_batch=1)
    assert not path.exists()


def test_a_declared_topic_is_written_by_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(
        "topic: telemetry.grid\n"
        "columns: {place: text, at_ms: time, value: number, support.count: integer, revision: integer}\n"
        "time: at_ms\nrevised: {key: [place, at_ms], revision: revision}\n"
    )
    values = [
        orjson.dumps({"place": "p", "at_ms": DAY_MS, "value": v, "revision": r, "support": {"count": 2}})
        for r, v in ((1, 0.5), (2, 0.75))
    ]
    [row] = parquet(tmp_path / "g.parquet", values, load_table(file)).to_pylist()
    assert (row["place"], row["value"], row["support_count"], row["at"].year) == ("p", 0.75, 2, 2019)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("topic: t\ncolumns: {a: text}\ntime: a\n", "must be a column of kind time"),
        ("topic: t\ncolumns: {a: time, b: word}\ntime: a\n", "columns.b"),
        ("topic: t\ncolumns: {a: time}\ntime: a\nposition: {x: lon, y: lat}\n", "'lon' is not among the columns"),
        ("topic: t\ncolumns: {a: time, b.c: text, b_c: text}\ntime: a\n", "the same name"),
    ],
)
def test_a_bad_declaration_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(InvalidDeployment, match=says):
        load_table(tmp_path / "t.yaml")
