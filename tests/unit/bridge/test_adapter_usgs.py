"""What the adapter `usgs` makes of USGS instantaneous values, field by field."""

from __future__ import annotations

import orjson

from jobs.bridge.feed import PassedOver
from tests.unit.bridge.samples import NEW_YEAR_MS, SAMPLES, document_of, only_unreadable, readings_of

SAMPLE = SAMPLES["usgs"]


def test_a_gauge_with_its_watershed() -> None:
    assert readings_of(SAMPLE) == [
        {
            "sensor_id": "usgs/01234567", "metric": "water_level", "value": 3.13, "unit": "ft",
            "event_time": NEW_YEAR_MS - 900_000, "x": -76.25, "y": 39.5, "crs": "EPSG:4326", "quality": "P e",
            "huc": "02060003", "site_name": "A CREEK AT B", "method_id": 42,
        }
    ]  # fmt: skip


def test_no_data_value_is_a_missing_value() -> None:
    adapter = SAMPLE.make()
    list(adapter.readings(SAMPLE.payload()))
    assert adapter.passed_over == {PassedOver.MISSING_VALUE: 1}


def test_two_sensors_of_one_kind_at_a_site_stay_two() -> None:
    document = document_of("usgs")
    values = document["value"]["timeSeries"][0]["values"]
    values[0]["method"][0]["methodDescription"] = "7 ft above bed"
    values.append({**values[0], "method": [{"methodDescription": "1 ft above bed", "methodID": 43}]})
    assert {r["sensor_id"] for r in readings_of(SAMPLE, document)} == {"usgs/01234567/42", "usgs/01234567/43"}


def test_an_unknown_parameter_is_passed_on_by_its_code() -> None:
    document = document_of("usgs")
    document["value"]["timeSeries"][0]["variable"]["variableCode"][0]["value"] = "00078"
    assert readings_of(SAMPLE, document)[0]["metric"] == "usgs_00078"


def test_what_is_unreadable_keeps_all_that_names_it() -> None:
    document = document_of("usgs")
    document["value"]["timeSeries"][0]["values"][0]["value"][0]["value"] = "Ice"
    original = orjson.loads(only_unreadable(SAMPLE, document).original)
    assert original["sourceInfo"]["siteCode"][0]["value"] == "01234567"
    assert [point["value"] for point in original["values"][0]["value"]] == ["Ice"]
