"""What the adapter `sensorthings` makes of OGC SensorThings, field by field."""

from __future__ import annotations

from jobs.bridge.feed import Refusal, Unreadable
from tests.unit.bridge.samples import HOUR_MS, NEW_YEAR_MS, SAMPLES, document_of, items_of, readings_of

SAMPLE = SAMPLES["sensorthings"]


def test_an_expanded_observation_says_it_all() -> None:
    assert readings_of(SAMPLE) == [
        {
            "sensor_id": "sensorthings/thing/3", "metric": "air_temperature", "value": 21.5, "unit": "degC",
            "event_time": NEW_YEAR_MS - HOUR_MS, "x": 8.5, "y": 49.0, "z": 110.0, "crs": "EPSG:4326",
            "event_id": "555", "quality": "good", "datastream": "5",
        }
    ]  # fmt: skip


def test_over_mqtt_the_options_say_what_the_message_leaves_out() -> None:
    message = {"@iot.id": 9, "phenomenonTime": "2025-12-31T23:00:00Z", "result": 3}
    mqtt = SAMPLE._replace(context={"topic": "v1.1/Datastreams(5)/Observations"})
    options = {
        "datastreams": {"5": {"metric": "pm10", "unit": "ug/m3", "sensor_id": "roof"}},
        "stations": {"5": {"x": 8.5, "y": 49.0}},
    }
    [reading] = readings_of(mqtt, message, **options)
    assert (reading["sensor_id"], reading["metric"], reading["unit"], reading["x"]) == (
        "roof",
        "pm10",
        "ug/m3",
        8.5,
    )


def test_a_data_array_is_as_many_observations() -> None:
    array = {
        "value": [
            {
                "Datastream@iot.navigationLink": "https://example.org/v1.1/Datastreams(5)",
                "components": ["id", "phenomenonTime", "result"],
                "dataArray": [[1, "2025-12-31T23:00:00Z", 1.5], [2, "2025-12-31T23:10:00Z", 2.5], [3]],
            }
        ]
    }
    options = {
        "datastreams": {"5": {"metric": "water_level", "unit": "m"}}, "stations": {"5": {"x": 8.5, "y": 49.0}},
    }  # fmt: skip
    items = items_of(SAMPLE, array, **options)
    assert [i["event_id"] for i in items if not isinstance(i, Unreadable)] == ["1", "2"]
    assert [i.reason for i in items if isinstance(i, Unreadable)] == [Refusal.WRONG_TYPE]


def test_a_datastream_with_its_observations() -> None:
    [observation] = document_of("sensorthings")["value"]
    datastream = observation.pop("Datastream")
    document = {"value": [{**datastream, "Observations": [observation]}]}
    assert readings_of(SAMPLE, document) == readings_of(SAMPLE)
