"""The real payloads of `shared/data`: everything in them is accounted for, and the figures are those of the files."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from jobs.bridge.envelope import Enveloper
from jobs.bridge.feed import Adapter, Item, PassedOver, Payload, Refusal, Unreadable, make_adapter
from jobs.bridge.sample import Judge
from jobs.bridge.spatial_key import KeyRule
from udfs.rules import Rules, StreamRule, TimeRule

ROOT = Path(__file__).parents[3]
DATA = ROOT.parent / "shared" / "data"
PAYLOADS = DATA / "payloads"
NGSI = PAYLOADS / "ngsi_smartdatamodels"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not there")


def split(items: list[Item]) -> tuple[list[dict[str, Any]], Counter[Refusal]]:
    readings = [item for item in items if not isinstance(item, Unreadable)]
    return readings, Counter(item.reason for item in items if isinstance(item, Unreadable))


def read(adapter: Adapter, body: bytes, **context: str) -> tuple[list[dict[str, Any]], Counter[Refusal]]:
    return split(list(adapter.readings(Payload(body, context, 0))))


def judged(readings: list[dict[str, Any]], unit: str) -> Counter[str]:
    """What a job with one stream for everything says of readings, at the time of the last one."""
    stream = StreamRule("all", ("*",), unit, max_age_ms=10**13)
    judge = Judge(Rules(streams=(stream,), time=TimeRule(floor_ms=0)))
    envelope = Enveloper("test", "test", KeyRule().key())
    latest_ms = max(r["event_time"] for r in readings)
    return Counter(judge.judge(envelope.message(r, latest_ms), latest_ms).reason for r in readings)


def test_the_sensor_community_api() -> None:
    document = orjson.loads((PAYLOADS / "sensor_community_api" / "data_json_sample.json").read_bytes())
    values = [v for node in document for v in node["sensordatavalues"]]
    readings, refused = read(make_adapter("sensor_community"), orjson.dumps(document))
    assert not refused
    assert sorted(r["event_id"] for r in readings) == sorted(str(v["id"]) for v in values)
    metrics = {"P1": "pm10", "P2": "pm2_5", "humidity": "relative_humidity", "temperature": "air_temperature"}
    assert Counter(r["metric"] for r in readings) == Counter(metrics[v["value_type"]] for v in values)


def test_a_week_of_sensor_community_as_the_api_would_send_it() -> None:
    """The archive's rows in the API's shape; every cell is a reading or a missing value."""
    with gzip.open(DATA / "sensor_community_aberdeen" / "week_2019-03-28_04-03_dht22.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file, delimiter=";"))[::50]
    nodes = [
        {
            "timestamp": row["timestamp"],
            "sensor": {"id": int(row["sensor_id"])},
            "sensordatavalues": [{"value_type": n, "value": row[n]} for n in ("temperature", "humidity")],
            "location": {"latitude": row["lat"], "longitude": row["lon"]},
        }
        for row in rows
    ]
    adapter = make_adapter("sensor_community")
    readings, refused = read(adapter, orjson.dumps(nodes))
    assert not refused
    assert len(readings) + adapter.passed_over[PassedOver.MISSING_VALUE] == 2 * len(rows)
    warm = [r for r in readings if r["metric"] == "air_temperature"]
    assert judged(warm, "degC") == {"": len(warm)}


def test_usgs_instantaneous_values() -> None:
    body = (PAYLOADS / "usgs_iv.json").read_bytes()
    readings, refused = read(make_adapter("usgs"), body)
    assert not refused
    assert Counter((r["sensor_id"], r["metric"], r["unit"]) for r in readings) == {
        ("usgs/01491000", "discharge", "ft3/s"): 5, ("usgs/01491000", "water_level", "ft"): 5,
        ("usgs/01645000", "discharge", "ft3/s"): 5, ("usgs/01645000", "water_level", "ft"): 5,
    }  # fmt: skip
    assert {r["huc"][:4] for r in readings} == {"0206", "0207"}
    assert judged([r for r in readings if r["metric"] == "discharge"], "m3/s") == {"": 10}


def test_usgs_gauges_with_their_units_and_local_offsets() -> None:
    """The tidy table in the service's shape: each row is a reading with its unit, or a missing value."""
    with gzip.open(DATA / "usgs_nwis" / "usgs_iv_tidy.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    series = [
        {
            "sourceInfo": {
                "siteCode": [{"value": row["site_no"]}],
                "geoLocation": {
                    "geogLocation": {
                        "srs": row["srs_declared"], "latitude": row["latitude"], "longitude": row["longitude"],
                    }
                },
            },
            "variable": {
                "variableCode": [{"value": row["param_cd"]}], "unit": {"unitCode": row["unit"]},
                "noDataValue": -999999.0,
            },
            "values": [{"value": [{"value": row["value_text"], "dateTime": row["datetime_iso_local_offset"]}]}],
        }
        for row in rows
    ]  # fmt: skip
    adapter = make_adapter("usgs")
    readings, refused = read(adapter, orjson.dumps({"value": {"timeSeries": series}}))
    assert len(readings) + sum(refused.values()) + sum(adapter.passed_over.values()) == len(rows)
    assert not refused
    assert {r["unit"] for r in readings} <= {row["unit"] for row in rows}


def test_an_ndbc_file_newest_first_leaves_oldest_first() -> None:
    body = gzip.decompress((DATA / "ndbc_buoys" / "41002.txt.gz").read_bytes())
    adapter = make_adapter("ndbc", {"stations": {"41002": {"x": -74.84, "y": 31.76}}})
    readings, refused = read(adapter, body, url="https://www.ndbc.noaa.gov/data/realtime2/41002.txt")
    cells = [line.split()[5:] for line in body.decode().splitlines()[2:]]
    missing = sum(row.count("MM") for row in cells)
    assert not refused
    assert adapter.passed_over == {PassedOver.MISSING_VALUE: missing}
    assert len(readings) == sum(map(len, cells)) - missing
    times = [r["event_time"] for r in readings]
    assert times == sorted(times)
    water = [r for r in readings if r["metric"] == "water_temperature"]
    assert judged(water[:500], "degC") == {"": 500}


def test_the_last_reports_of_all_ndbc_stations() -> None:
    body = (DATA / "ndbc_buoys" / "latest_obs.txt").read_bytes()
    adapter = make_adapter("ndbc")
    readings, refused = read(adapter, body)
    rows = [line for line in body.decode().splitlines() if not line.startswith("#")]
    assert not refused
    assert len(readings) + adapter.passed_over[PassedOver.MISSING_VALUE] == 14 * len(rows)
    assert len({r["sensor_id"] for r in readings}) <= len(rows)
    assert judged([r for r in readings if r["metric"] == "wind_speed"], "m/s").keys() == {""}


def openaq_files() -> Iterator[Any]:
    figures = {
        "resources_measurement.json": 1, "responses_measurements.json": 2, "resources_sensor.json": 1,
        "responses_sensors.json": 8, "resources_location.json": 0, "responses_locations.json": 0,
        "responses_locations_variation.json": 0, "responses_parameters.json": 0,
    }  # fmt: skip
    for name, readings in figures.items():
        yield pytest.param(name, readings, id=name)


@pytest.mark.parametrize(("name", "figure"), openaq_files())
def test_openaq_v3(name: str, figure: int) -> None:
    adapter = make_adapter("openaq", {"stations": {"3920": {"x": -106.5847, "y": 35.1353}}})
    url = "https://api.openaq.org/v3/sensors/3920/measurements"
    readings, refused = read(adapter, (PAYLOADS / "openaq_v3" / name).read_bytes(), url=url)
    assert (len(readings), sum(refused.values())) == (figure, 0)
    assert readings or adapter.passed_over[PassedOver.NO_MEASUREMENT]


def test_hours_of_europe_as_openaq_v3_would_send_them() -> None:
    """The table's hours in the shape of v3; its stations come from the file of stations, as a station table."""
    folder = DATA / "openaq_europe_2019"
    with (folder / "air_quality_stations.csv").open() as file:
        stations = {
            row["location"]: {"x": float(row["coordinates.longitude"]), "y": float(row["coordinates.latitude"])}
            for row in csv.DictReader(file)
        }
    adapter = make_adapter("openaq", {"stations": stations})
    rows = list(csv.DictReader(io.StringIO((folder / "air_quality_long.csv").read_text())))
    readings: list[dict[str, Any]] = []
    for row in rows[::25]:
        result = {
            "period": {"label": "1hour", "datetimeFrom": {"utc": row["date.utc"]}}, "value": float(row["value"]),
            "parameter": {"name": row["parameter"], "units": row["unit"]}, "coordinates": None,
        }  # fmt: skip
        found, refused = read(adapter, orjson.dumps({"results": [result]}), sensor_id=row["location"])
        assert not refused
        readings += found
    assert len(readings) == len(rows[::25])
    assert judged(readings, "ug/m3") == {"": len(readings)}


@pytest.mark.parametrize(
    ("pattern", "files", "readings", "refused"),
    [
        ("AirQualityMonitoring/**/*.json*", 4, 20, {}),
        ("AirQualityObserved/**/*normalized.jsonld", 1, 12, {}),
        ("AirQualityObserved/**/*normalized.json", 1, 11, {Refusal.WRONG_TYPE: 1}),  # precipitation: false
        ("AirQualityObserved/**/example.json", 1, 7, {Refusal.MISSING_FIELD: 5}),  # gases without a unit
        ("AirQualityObserved/**/example.jsonld", 1, 5, {Refusal.MISSING_FIELD: 5}),
        ("AirQualityObserved/**/*geojson*", 1, 5, {}),
        ("NoiseLevelObserved/**/*.json*", 5, 20, {}),
        ("WaterObserved/**/*.json*", 5, 10, {}),
    ],
)
def test_smart_data_models(pattern: str, files: int, readings: int, refused: dict[Refusal, int]) -> None:
    found = sorted(NGSI.glob(pattern))
    adapter = make_adapter("ngsi_ld", {"zone": "Europe/Madrid"})
    results = [read(adapter, file.read_bytes()) for file in found]
    assert len(found) == files
    assert sum(len(result[0]) for result in results) == readings
    assert sum((result[1] for result in results), Counter()) == refused


def test_tasmota_lines_as_documented() -> None:
    options = {"zone": "Europe/Berlin", "stations": {"roof": {"x": 13.4, "y": 52.5}}}
    adapter = make_adapter("tasmota", options)
    counts: Counter[str] = Counter()
    lines = (PAYLOADS / "tasmota" / "tele_sensor.ndjson").read_bytes().splitlines()
    for line in lines:
        before = sum(adapter.passed_over.values())
        readings, refused = read(adapter, line, topic="tele/roof/SENSOR")
        assert not refused
        assert readings or sum(adapter.passed_over.values()) > before
        counts.update(r["metric"] for r in readings)
    text = b"\n".join(lines)
    assert counts == {
        "air_temperature": text.count(b'"Temperature":') - text.count(b'"ESP32":{"Temperature":'),
        "relative_humidity": text.count(b'"Humidity":'),
        "dew_point": text.count(b'"DewPoint":'),
        "illuminance": text.count(b'"Illuminance":'),
        "co2": text.count(b'"CarbonDioxide":'),
        "tvoc": text.count(b'"TVOC":'),
    }
    for line in (PAYLOADS / "tasmota" / "invalid_json_lines_as_documented.txt").read_bytes().splitlines():
        assert read(adapter, line, topic="tele/roof/SENSOR") == ([], {Refusal.MALFORMED: 1})
