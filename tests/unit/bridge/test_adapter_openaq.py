"""What the adapter `openaq` makes of OpenAQ v3, field by field."""

from __future__ import annotations

import orjson

from jobs.bridge.feed import PassedOver, Refusal
from tests.unit.bridge.samples import HOUR_MS, NEW_YEAR_MS, SAMPLES, document_of, only_unreadable, readings_of

SAMPLE = SAMPLES["openaq"]


def test_an_hour_is_named_by_its_start() -> None:
    assert readings_of(SAMPLE) == [
        {
            "sensor_id": "openaq/3920", "metric": "pm2_5", "value": 7.5, "unit": "µg/m³",
            "event_time": NEW_YEAR_MS - 2 * HOUR_MS, "x": -106.5, "y": 35.25, "crs": "EPSG:4326",
            "period": "1hour", "coverage_percent": 100.0,
        }
    ]  # fmt: skip


def test_the_latest_value_has_the_same_time_as_the_measurement_that_it_repeats() -> None:
    latest = {
        "results": [
            {
                "datetime": {"utc": "2025-12-31T23:00:00Z"}, "value": 7.5, "sensorsId": 3920, "locationsId": 8,
                "coordinates": {"latitude": 35.25, "longitude": -106.5},
            }
        ]
    }  # fmt: skip
    assert only_unreadable(SAMPLE, latest).reason is Refusal.MISSING_FIELD  # nobody knows what it measures
    sensors = {"3920": {"metric": "pm2_5", "unit": "ug/m3"}}
    [reading] = readings_of(SAMPLE, latest, sensors=sensors)
    assert reading["event_time"] == readings_of(SAMPLE)[0]["event_time"]
    assert (reading["metric"], reading["location"]) == ("pm2_5", 8)


def test_minus_999_and_null_are_missing_values() -> None:
    document = document_of("openaq")
    document["results"] = [{**document["results"][0], "value": value} for value in (-999, None, -9999.0)]
    adapter = SAMPLE.make()
    assert not list(adapter.readings(SAMPLE.payload(orjson.dumps(document))))
    assert adapter.passed_over == {PassedOver.MISSING_VALUE: 3}


def test_an_option_goes_before_what_the_payload_says() -> None:
    measures = {"pm25": {"metric": "fine_dust", "unit": "mg/m3"}}
    assert readings_of(SAMPLE, measures=measures)[0]["unit"] == "mg/m3"
