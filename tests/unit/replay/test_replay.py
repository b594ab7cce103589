"""A user's file becomes the readings its mapping says, row by row, and what it cannot say is shown by line number."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from jobs.replay.convert import Converter, Tally
from jobs.replay.envelope import Wrapper
from jobs.replay.mapping import InvalidMapping, load_mapping
from jobs.replay.source import BadRow, read_rows
from tests.support.generated import NOW_MS, PARTITIONS, RULES, TOPIC
from udfs.align import ENVELOPE_HEADERS, Aligner, RawRecord
from udfs.frame import decode_frame

ROOT = Path(__file__).parents[3]
DATA = ROOT.parent / "shared" / "data"
MINIMAL: dict[str, Any] = {
    "time": {"columns": ["time"]},
    "sensor_id": {"column": "id"},
    "x": {"column": "lon"},
    "y": {"column": "lat"},
    "metrics": [{"column": "t", "metric": "air_temperature", "unit": "degC"}],
}
HEADER = "time,id,lon,lat,t\n"
ROW = "2024-05-06T07:08:09Z,s1,-2.1,57.1,9.5\n"


def convert(tmp_path: Path, text: str | bytes, name: str = "data.csv", **changes: Any) -> tuple[list[dict], Tally]:
    mapping_file = tmp_path / "mapping.yaml"
    mapping_file.write_text(yaml.safe_dump({**MINIMAL, **changes}))
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    mapping = load_mapping(mapping_file)
    converter = Converter(mapping)
    return list(converter.readings(read_rows(path, mapping, tmp_path))), converter.tally


def test_a_row_becomes_a_reading(tmp_path: Path) -> None:
    [reading], tally = convert(tmp_path, HEADER + ROW)
    assert reading == {
        "metric": "air_temperature", "value": 9.5, "unit": "degC", "sensor_id": "s1",
        "event_time": 1714979289000, "x": -2.1, "y": 57.1, "crs": "EPSG:4326",
    }  # fmt: skip
    assert (tally.rows, tally.readings, tally.bad_rows) == (1, 1, 0)


def test_parquet_and_avro_give_what_csv_gives(tmp_path: Path) -> None:
    when = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    record = {"time": when, "id": "s1", "lon": -2.1, "lat": 57.1, "t": 9.5}
    parquet, avro = io.BytesIO(), io.BytesIO()
    pq.write_table(pa.Table.from_pylist([record]), parquet)
    kinds = {"id": "string", "lon": "double", "lat": "double", "t": ["null", "double"]}
    fields: list[dict[str, Any]] = [{"name": name, "type": kind} for name, kind in kinds.items()]
    fields.append({"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}})
    fastavro.writer(avro, {"type": "record", "name": "R", "fields": fields}, [record])
    expected, _ = convert(tmp_path, HEADER + ROW)
    for kind, file in (("parquet", parquet), ("avro", avro)):
        readings, tally = convert(tmp_path, file.getvalue(), f"data.{kind}", file={"format": kind})
        assert (readings, tally.bad_rows) == (expected, 0)


@pytest.mark.parametrize("kind", ["parquet", "avro"])
def test_a_file_that_is_not_what_it_says_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BadRow, match="not readable as"):
        convert(tmp_path, HEADER + ROW, f"data.{kind}", file={"format": kind})


def test_gzip_and_other_separators_are_read(tmp_path: Path) -> None:
    text = (HEADER + ROW).replace(",", ";")
    [reading], _ = convert(tmp_path, gzip.compress(text.encode()), "data.csv.gz", file={"separator": ";"})
    assert reading["value"] == 9.5


def test_ndjson_is_read_with_numbers_as_numbers(tmp_path: Path) -> None:
    text = '{"time":1714979289,"id":17,"lon":-2.1,"lat":57.1,"t":9.5}\n\n{broken\n[1]\n'
    [reading], tally = convert(tmp_path, text, file={"format": "ndjson"}, time={"columns": ["time"], "format": "epoch"})
    assert reading["sensor_id"] == "17" and reading["event_time"] == 1714979289000
    assert [p.partition(":")[0] for p in tally.problems] == ["line 3", "line 4"]


def test_a_column_of_ndjson_may_be_a_path_into_nested_json(tmp_path: Path) -> None:
    text = (
        '{"at":{"utc":"2024-05-06T07:08:09Z"},"id":"s1","position":{"lon":-2.1,"p":[5,57.1]},"t":9.5,"a.b":"c"}\n'
        '{"at":{"utc":"2024-05-06T07:08:10Z"},"id":"s1","position":null,"t":9.5,"a.b":"c"}\n'
        '{"at":"2024-05-06T07:08:10Z","id":"s1","position":{"lon":-2.1,"p":[5]},"t":9.5,"a.b":"c"}\n'
    )
    [reading], tally = convert(
        tmp_path, text, file={"format": "ndjson"}, time={"columns": ["at.utc"]},
        x={"column": "position.lon"}, y={"column": "position.p.1"}, attributes={"literal": {"column": "a.b"}},
    )  # fmt: skip
    assert (reading["x"], reading["y"], reading["event_time"]) == (-2.1, 57.1, 1714979289000)
    assert reading["literal"] == "c"
    assert tally.problems == ["line 2: no column 'position.lon'", "line 3: no column 'at.utc'"]


def test_a_measurement_of_openaq_is_read_by_its_shipped_mapping(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text(
        '{"date":{"utc":"2015-10-26T17:00:00.000Z","local":"2015-10-26T14:00:00-03:00"},"parameter":"pm25",'
        '"value":10.2,"unit":"µg/m³","location":"Escuela E-10","coordinates":{"latitude":-22.087,'
        '"longitude":-70.193253},"sourceName":"Chile","attribution":[{"name":"SINCA"}]}\n',
        encoding="utf-8",
    )
    mapping = load_mapping(ROOT / "docs" / "mappings" / "openaq_realtime.yaml")
    [reading] = Converter(mapping).readings(read_rows(path, mapping, tmp_path))
    assert reading == {
        "metric": "pm2_5", "value": 10.2, "unit": "µg/m³", "sensor_id": "openaq/Escuela E-10",
        "event_time": 1445878800000, "x": -70.193253, "y": -22.087, "crs": "EPSG:4326", "source": "Chile",
    }  # fmt: skip


def test_a_wide_row_becomes_one_reading_per_metric_and_missing_values_are_no_errors(tmp_path: Path) -> None:
    metrics = [
        {"column": "t", "metric": "air_temperature", "unit": "degC"},
        {"column": "p", "metric": "pressure", "unit": "hPa", "scale": 0.01},
    ]
    text = "time,id,lon,lat,t,p\n2024-05-06T07:08:09Z,s1,1,2,MM,101300\n2024-05-06T07:08:10Z,s1,1,2,MM,-9999\n"
    readings, tally = convert(tmp_path, text, metrics=metrics, missing=["MM", "-9999"])
    assert [(r["metric"], r["value"]) for r in readings] == [("pressure", 1013.0)]
    assert (tally.missing_values, tally.bad_rows) == (3, 0)


def test_a_long_row_names_its_metric_and_unit(tmp_path: Path) -> None:
    metrics = [
        {
            "column": "t",
            "metric": {"column": "parameter", "values": {"00010": "water_temperature"}},
            "unit": {"column": "unit"},
        }
    ]
    text = "time,id,lon,lat,t,parameter,unit\n2024-05-06T07:08:09Z,s1,1,2,9,00010,deg C\n"
    [reading], _ = convert(tmp_path, text, metrics=metrics)
    assert (reading["metric"], reading["unit"]) == ("water_temperature", "deg C")


def test_time_in_several_columns_of_a_whitespace_file_with_comments(tmp_path: Path) -> None:
    text = "#YY  MM DD hh mm id lon lat t\n#yr  mo dy hr mn - deg deg degC\n2024 05 06 07 08 s1 1 2 9\n"
    [reading], tally = convert(
        tmp_path, text, file={"format": "whitespace", "comments": "#"},
        time={"columns": ["YY", "MM", "DD", "hh", "mm"], "format": "%Y %m %d %H %M", "zone": "UTC"},
    )  # fmt: skip
    assert reading["event_time"] == 1714979280000
    assert tally.rows == 1


@pytest.mark.parametrize(("zone", "expected_ms"), (("UTC", 1714979289000), ("Europe/London", 1714975689000)))
def test_a_naive_time_is_local_in_the_mappings_zone(tmp_path: Path, zone: str, expected_ms: int) -> None:
    [reading], _ = convert(tmp_path, HEADER + ROW.replace("Z", ""), time={"columns": ["time"], "zone": zone})
    assert reading["event_time"] == expected_ms


def test_a_naive_time_without_a_zone_is_a_bad_row(tmp_path: Path) -> None:
    readings, tally = convert(tmp_path, HEADER + ROW.replace("Z", ""))
    assert readings == [] and tally.bad_rows == 1


def test_an_hour_ending_stamp_is_moved_to_the_start_header_included(tmp_path: Path) -> None:
    time = {"columns": ["time"], "interval_label": "ending", "period": "1 h"}
    [reading], _ = convert(tmp_path, HEADER + ROW, time=time)
    assert reading["event_time"] == 1714979289000 - 3_600_000
    _, _, _, headers = Wrapper(RULES, PARTITIONS).wrap(reading, NOW_MS)
    assert dict(headers)["event_timestamp"] == b"%d" % reading["event_time"]


def test_stations_are_joined_and_unknown_ones_are_bad_rows(tmp_path: Path) -> None:
    (tmp_path / "stations.csv").write_text("name,sx,sy\ns1,-2.1,57.1\ns1,9,9\n")
    readings, tally = convert(
        tmp_path, HEADER + ROW + ROW.replace("s1", "s2"), x={"column": "sx"}, y={"column": "sy"},
        stations={"file": "stations.csv", "key": "name", "column": "id"},
    )  # fmt: skip
    assert [(r["x"], r["y"]) for r in readings] == [(-2.1, 57.1)]
    assert tally.problems == ["line 3: station 's2' is not in stations.csv"]


def test_bad_rows_are_counted_and_named_by_their_lines(tmp_path: Path) -> None:
    bad = [
        ROW.replace("9.5", "warm"),
        ROW.replace("2024", "soon"),
        "too,few\n",
        ROW.replace("s1", ""),
        ROW.replace("9.5", "inf"),
    ]
    readings, tally = convert(tmp_path, HEADER + ROW + "".join(bad) + ROW)
    assert len(readings) == 2
    assert [p.partition(":")[0] for p in tally.problems] == [f"line {n}" for n in range(3, 8)]


def test_sorting_sends_a_newest_first_file_in_order_of_time(tmp_path: Path) -> None:
    text = HEADER + ROW + ROW.replace("07:08:09", "07:08:08") + ROW.replace("07:08:09", "07:08:07")
    readings, _ = convert(tmp_path, text, sort=True)
    times = [r["event_time"] for r in readings]
    assert times == sorted(times)


def test_a_converted_reading_is_accepted_by_the_align_stage(tmp_path: Path) -> None:
    [reading], _ = convert(tmp_path, HEADER + ROW, region="grampian", attributes={"firmware": "1"})
    reading["event_time"] = NOW_MS - 60_000
    value, key, partition, headers = Wrapper(RULES, PARTITIONS).wrap(reading, NOW_MS)
    found = dict(headers)
    record = RawRecord(value, key, partition, 0, NOW_MS, tuple(found.get(n) for n in ENVELOPE_HEADERS))
    [(_, data)] = Aligner(RULES, TOPIC).align([record])
    readings, _ = decode_frame(data)
    [station] = readings.stations
    assert station.key == station.cell.encode() == key


@pytest.mark.parametrize(
    ("changes", "named"),
    (
        ({"colour": "blue"}, "colour: unknown key"),
        ({"time": {"columns": ["t"], "zone": "Mars/Olympus"}}, "time.zone"),
        ({"time": {"columns": ["t"], "interval_label": "ending"}}, "needs the period"),
        ({"file": {"header": False}}, "a list of columns"),
        ({"metrics": []}, "metrics"),
    ),
)
def test_a_wrong_mapping_is_refused_and_the_key_named(tmp_path: Path, changes: dict, named: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, **changes}))
    with pytest.raises(InvalidMapping, match=named):
        load_mapping(path)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "mappings").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_shipped_mappings_are_valid(path: Path) -> None:
    load_mapping(path)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not there")
@pytest.mark.parametrize(
    ("mapping", "file", "rows", "readings"),
    (
        ("ndbc_41002", "ndbc_buoys/41002.txt.gz", 6_560, 27_534),
        ("sensor_community_dht22", "sensor_community_aberdeen/week_2019-03-28_04-03_dht22.csv.gz", 61_401, 122_802),
        ("sensor_community_sds011", "sensor_community_aberdeen/week_2019-03-28_04-03_sds011.csv.gz", 77_588, 155_176),
    ),
)
def test_the_shared_files_convert_without_a_bad_row(mapping: str, file: str, rows: int, readings: int) -> None:
    path = ROOT / "docs" / "mappings" / f"{mapping}.yaml"
    loaded = load_mapping(path)
    converter = Converter(loaded)
    previous = 0
    for reading in converter.readings(read_rows(DATA / file, loaded, path.parent)):
        assert reading["event_time"] >= previous
        previous = reading["event_time"]
    assert (converter.tally.rows, converter.tally.readings, converter.tally.bad_rows) == (rows, readings, 0)


def test_a_dry_run_needs_no_broker_and_prints_readings(tmp_path: Path) -> None:
    from jobs.cli.replay import replay

    (tmp_path / "m.yaml").write_text(yaml.safe_dump(MINIMAL))
    (tmp_path / "d.csv").write_text(HEADER + ROW + ROW.replace("9.5", "?"))
    arguments = [str(tmp_path / "d.csv"), "--mapping", str(tmp_path / "m.yaml"), "--dry-run", "--config"]
    result = CliRunner().invoke(replay, [*arguments, str(ROOT / "flink-conf" / "deployments" / "demo.yaml")])
    assert result.exit_code == 1  # there is a bad row
    assert '"value":9.5' in result.stdout
    assert "line 3" in result.stderr
