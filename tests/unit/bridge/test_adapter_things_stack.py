"""What the adapter `things_stack` makes of The Things Stack, field by field."""

from __future__ import annotations

import orjson

from jobs.bridge.feed import PassedOver
from tests.unit.bridge.samples import NEW_YEAR_MS, SAMPLES, document_of, only_unreadable, readings_of

SAMPLE = SAMPLES["things_stack"]


def test_a_channel_is_a_sensor_and_the_frame_names_the_event() -> None:
    common = {
        "sensor_id": "things_stack/app1/dev1/1", "event_time": 1_767_225_571_012_345_678,
        "x": 4.75, "y": 52.25, "z": 10.0, "crs": "EPSG:4326", "dev_eui": "0004A30B001C0530", "f_port": 1,
    }  # fmt: skip
    assert readings_of(SAMPLE) == [
        {"metric": "air_temperature", "value": 4.5, "unit": "degC", "event_id": "AXA50x/9/temperature_1", **common},
        {
            "metric": "relative_humidity", "value": 81.0, "unit": "%",
            "event_id": "AXA50x/9/relative_humidity_1", **common,
        },
    ]  # fmt: skip


def test_normalised_measurements_have_times_of_their_own() -> None:
    document = document_of("things_stack")
    document["uplink_message"]["normalized_payload"] = [
        {"air": {"temperature": 4.5}, "time": "2025-12-31T23:50:00Z"},
        {"air": {"temperature": 5.5}, "soil": {"moisture": 30}},
    ]
    first, second, soil = readings_of(SAMPLE, document)
    assert (first["event_time"], first["event_id"]) == (NEW_YEAR_MS - 600_000, "AXA50x/9/air.temperature")
    assert (second["value"], second["event_id"]) == (5.5, "AXA50x/9/1/air.temperature")
    assert (soil["metric"], soil["unit"]) == ("soil_moisture", "%")


def test_the_first_frame_has_no_counter() -> None:
    document = document_of("things_stack")
    del document["uplink_message"]["f_cnt"]
    assert readings_of(SAMPLE, document)[0]["event_id"] == "AXA50x/0/temperature_1"


def test_a_join_measures_nothing_and_an_undecoded_uplink_is_unreadable() -> None:
    join = {**document_of("things_stack"), "join_accept": {}}
    del join["uplink_message"]
    adapter = SAMPLE.make()
    assert not list(adapter.readings(SAMPLE.payload(orjson.dumps(join))))
    assert adapter.passed_over == {PassedOver.NO_MEASUREMENT: 1}
    uplink = document_of("things_stack")
    del uplink["uplink_message"]["decoded_payload"]
    assert "payload formatter" in only_unreadable(SAMPLE, uplink).message


def test_a_simulated_uplink_measures_nothing() -> None:
    assert readings_of(SAMPLE, {**document_of("things_stack"), "simulated": True}) == []


def test_a_position_in_the_payload_beats_the_registered_one() -> None:
    document = document_of("things_stack")
    document["uplink_message"]["decoded_payload"]["gps_2"] = {"latitude": 1.5, "longitude": 2.5, "altitude": 3}
    reading = readings_of(SAMPLE, document)[0]
    assert (reading["x"], reading["y"], reading["z"]) == (2.5, 1.5, 3.0)
