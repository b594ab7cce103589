"""What the adapter `tasmota` makes of Tasmota, field by field."""

from __future__ import annotations

from jobs.bridge.feed import Refusal
from tests.unit.bridge.samples import HOUR_MS, NEW_YEAR_MS, SAMPLES, only_unreadable, readings_of

SAMPLE = SAMPLES["tasmota"]


def test_local_time_the_messages_unit_and_the_station_table() -> None:
    common = {
        "sensor_id": "tasmota/roof/AHT1X-0x38", "event_time": NEW_YEAR_MS - HOUR_MS - 60_000,
        "x": 13.5, "y": 52.5, "z": 40.0, "crs": "EPSG:4326", "region": "berlin",
    }  # fmt: skip
    assert readings_of(SAMPLE) == [
        {"metric": "air_temperature", "value": 75.2, "unit": "F", **common},
        {"metric": "relative_humidity", "value": 61.9, "unit": "%", **common},
    ]


def test_without_a_zone_a_local_time_is_unreadable() -> None:
    assert only_unreadable(SAMPLE, zone=None).reason is Refusal.NAIVE_TIME


def test_a_sensor_can_measure_something_else_than_its_kind() -> None:
    document = {
        "Time": "2025-12-31T23:59:00",
        "DS18B20": {"Id": "0A", "Temperature": 4.0},
        "SR04": {"Distance": 42.5},
    }
    measures = {
        "DS18B20.Temperature": {"metric": "water_temperature", "unit": "degC"},
        "Distance": {"metric": "distance", "unit": "cm"},
    }
    water, distance = readings_of(SAMPLE, document, measures=measures)
    assert (water["metric"], water["hardware_id"]) == ("water_temperature", "0A")
    assert (distance["value"], distance["unit"]) == (42.5, "cm")


def test_the_device_comes_from_the_template_or_the_topic() -> None:
    named = SAMPLE._replace(context={"topic": "a/b/c", "device": "roof"})
    assert readings_of(named)[0]["sensor_id"].startswith("tasmota/roof/")
    assert only_unreadable(SAMPLE._replace(context={})).reason is Refusal.MISSING_FIELD
