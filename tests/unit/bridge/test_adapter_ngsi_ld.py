"""What the adapter `ngsi_ld` makes of NGSI-LD, field by field."""

from __future__ import annotations

from jobs.bridge.feed import Refusal
from tests.unit.bridge.samples import HOUR_MS, NEW_YEAR_MS, SAMPLES, document_of, only_unreadable, readings_of

SAMPLE = SAMPLES["ngsi_ld"]


def test_normalised_the_unit_code_and_observed_at_win() -> None:
    common = {
        "sensor_id": "urn:ngsi-ld:Device:7", "x": -3.75, "y": 40.5, "crs": "EPSG:4326",
        "entity_type": "AirQualityObserved", "entity_id": "urn:ngsi-ld:AirQualityObserved:a:2025-12-31T23:00:00Z",
    }  # fmt: skip
    assert readings_of(SAMPLE) == [
        {"metric": "relative_humidity", "value": 0.54, "unit": "1", "event_time": NEW_YEAR_MS - HOUR_MS, **common},
        {"metric": "no2", "value": 22.0, "unit": "GQ", "event_time": NEW_YEAR_MS - HOUR_MS + 300_000, **common},
    ]


def test_every_representation_says_the_same() -> None:
    key_values = {
        "id": "a", "type": "T", "dateObserved": "2025-12-31T23:00:00Z", "pm10": 5,
        "location": {"type": "Point", "coordinates": [1.5, 2.5]},
    }  # fmt: skip
    normalised = {
        "id": "a", "type": "T", "dateObserved": {"type": "DateTime", "value": "2025-12-31T23:00:00Z"},
        "pm10": {"type": "Number", "value": 5, "metadata": {}},
        "location": {"type": "geo:json", "value": {"type": "Point", "coordinates": [1.5, 2.5]}},
    }  # fmt: skip
    feature = {
        "id": "a", "type": "Feature", "geometry": {"type": "Point", "coordinates": [1.5, 2.5]},
        "properties": {
            "type": "T", "dateObserved": "2025-12-31T23:00:00Z/2026-01-01T00:00:00Z", "pm10": {"value": 5},
        },
    }  # fmt: skip
    notification = {"id": "n", "type": "Notification", "data": [key_values]}
    results = [readings_of(SAMPLE, d) for d in (key_values, normalised, feature, notification, [key_values])]
    assert results[0][0]["value"] == 5.0
    assert all(result == results[0] for result in results)


def test_a_gas_without_a_unit_is_not_guessed_at() -> None:
    document = document_of("ngsi_ld")
    del document["no2"]["unitCode"]
    assert only_unreadable(SAMPLE, document).reason is Refusal.MISSING_FIELD


def test_the_waters_temperature_is_not_the_airs() -> None:
    document = {**document_of("ngsi_ld"), "type": "WaterQualityObserved", "temperature": {"value": 9.5}}
    assert "water_temperature" in {r["metric"] for r in readings_of(SAMPLE, document)}


def test_a_height_is_a_gauges_only_where_there_is_water() -> None:
    document = {**document_of("ngsi_ld"), "height": {"value": 3.5}}
    assert len(readings_of(SAMPLE, document)) == 2
    assert len(readings_of(SAMPLE, {**document, "type": "WaterObserved"})) == 3
