"""What the adapter `chirpstack` makes of ChirpStack, field by field."""

from __future__ import annotations

import orjson

from jobs.bridge.feed import PassedOver
from tests.unit.bridge.samples import NEW_YEAR_MS, SAMPLES, document_of, readings_of

SAMPLE = SAMPLES["chirpstack"]


def test_cayenne_channels_and_tags() -> None:
    event_id = "3ac7e3c4-4401-4b8d-9386-a5c902f9202d"
    common = {
        "event_time": NEW_YEAR_MS - 49_877, "x": 8.25, "y": 47.5, "crs": "EPSG:4326",
        "application": "fields", "device": "probe", "f_port": 5,
    }  # fmt: skip
    assert readings_of(SAMPLE) == [
        {
            "metric": "air_temperature", "value": 4.25, "unit": "degC", **common,
            "sensor_id": "chirpstack/0101010101010101/1", "event_id": f"{event_id}/temperatureSensor.1",
        },
        {
            "metric": "relative_humidity", "value": 80.0, "unit": "%", **common,
            "sensor_id": "chirpstack/0101010101010101", "event_id": f"{event_id}/humidity",
        },
    ]  # fmt: skip


def test_a_status_measures_nothing() -> None:
    adapter = SAMPLE.make()
    status = {k: v for k, v in document_of("chirpstack").items() if k in ("deviceInfo", "time")}
    assert not list(adapter.readings(SAMPLE.payload(orjson.dumps({**status, "margin": 10}))))
    assert adapter.passed_over == {PassedOver.NO_MEASUREMENT: 1}
