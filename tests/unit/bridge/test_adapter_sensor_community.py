"""What the adapter `sensor_community` makes of sensor.community, field by field."""

from __future__ import annotations

from jobs.bridge.feed import PassedOver, Refusal
from tests.unit.bridge.samples import NEW_YEAR_MS, SAMPLES, document_of, only_unreadable, readings_of

SAMPLE = SAMPLES["sensor_community"]


def test_numbers_in_text_times_in_utc() -> None:
    assert readings_of(SAMPLE) == [
        {
            "metric": "pm10", "value": 12.5, "unit": "ug/m3", "event_id": "1001",
            "sensor_id": "sensor.community/11", "event_time": NEW_YEAR_MS - 30_000,
            "x": 13.4, "y": 52.5, "z": 34.0, "crs": "EPSG:4326",
            "sensor_type": "SDS011", "location": 7, "country": "DE", "indoor": 0, "exact_location": 0,
        }
    ]  # fmt: skip


def test_unavailable_is_a_missing_value_and_housekeeping_no_measurement() -> None:
    adapter = SAMPLE.make()
    list(adapter.readings(SAMPLE.payload()))
    assert adapter.passed_over == {PassedOver.MISSING_VALUE: 1, PassedOver.NO_MEASUREMENT: 1}


def test_an_unknown_type_needs_a_unit() -> None:
    document = document_of("sensor_community")
    document[0]["sensordatavalues"] = [{"id": 1, "value": "5", "value_type": "radon"}]
    assert only_unreadable(SAMPLE, document).reason is Refusal.MISSING_FIELD
    [reading] = readings_of(SAMPLE, document, measures={"radon": {"metric": "radon", "unit": "Bq/m3"}})
    assert (reading["metric"], reading["unit"]) == ("radon", "Bq/m3")


def test_a_node_without_position_is_in_the_station_table_or_unreadable() -> None:
    document = document_of("sensor_community")
    document[0]["location"].update(latitude="", longitude="")
    assert only_unreadable(SAMPLE, document).reason is Refusal.UNKNOWN_STATION
    [reading] = readings_of(SAMPLE, document, stations={"11": {"x": 1.5, "y": 50.5, "region": "south"}})
    assert (reading["x"], reading["y"], reading["region"]) == (1.5, 50.5, "south")
