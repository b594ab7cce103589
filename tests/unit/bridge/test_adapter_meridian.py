"""What the adapter `meridian` makes of Meridian's own reading, field by field."""

from __future__ import annotations

import orjson

from jobs.bridge.envelope import Enveloper
from jobs.bridge.feed import Refusal, Unreadable
from jobs.bridge.spatial_key import KeyRule
from tests.unit.bridge.samples import RECEIVED_MS, SAMPLES, document_of, items_of, only_unreadable, readings_of

SAMPLE = SAMPLES["meridian"]


def test_a_reading_passes_as_it_is() -> None:
    assert readings_of(SAMPLE) == [document_of("meridian")]


def test_arrays_and_lines_are_as_many() -> None:
    body = SAMPLE.body
    assert readings_of(SAMPLE, b"[" + body + b"," + body + b"]") == [document_of("meridian")] * 2
    items = items_of(SAMPLE, body + b"\n" + body[:20] + b"\n\n" + body)
    assert [i.original for i in items if isinstance(i, Unreadable)] == [body[:20]]
    assert len(items) == 3


def test_the_topic_fills_up_what_the_payload_leaves_out() -> None:
    topic = SAMPLE._replace(context={"region": "po", "sensor_id": "s-9", "metric": "pm10"})
    options = {"units": {"pm10": "ug/m3"}, "stations": {"s-9": {"x": 1.5, "y": 2.5, "region": "elsewhere"}}}
    assert readings_of(topic, b"21.5", **options) == [
        {
            "value": 21.5, "event_time": RECEIVED_MS, "sensor_id": "s-9", "region": "po", "metric": "pm10",
            "unit": "ug/m3", "x": 1.5, "y": 2.5, "crs": "EPSG:4326",
        }
    ]  # fmt: skip
    assert readings_of(topic)[0]["sensor_id"] == "s-1"


def test_what_lacks_nothing_goes_on_byte_by_byte_and_what_is_filled_up_is_written_anew() -> None:
    body = b' {"sensor_id" : "s-1", "metric": "pm10", "region": "po", "unit": "ug/m3", "value": 1.50, "x": 1, "y": 2}'
    envelope = Enveloper("test", "meridian", KeyRule().key())
    whole, lines = SAMPLE.payload(body), SAMPLE.payload(body + b"\n" + body.replace(b"s-1", b"s-2"))
    adapter = SAMPLE.make()
    assert [envelope.message(item, RECEIVED_MS).value for item in adapter.readings(whole)] == [body]
    assert [envelope.message(item, RECEIVED_MS).value for item in adapter.readings(lines)] == lines.body.split(b"\n")
    [filled] = SAMPLE.make(region="po").readings(SAMPLE.payload(body.replace(b'"region": "po", ', b"")))
    assert orjson.loads(envelope.message(filled, RECEIVED_MS).value) == {**orjson.loads(body), "region": "po"}


def test_nesting_is_bounded_also_where_there_are_few_readings() -> None:
    deep = b'{"sensor_id": "s", "a": ' + b"[" * 40 + b"]" * 40 + b"}"
    assert only_unreadable(SAMPLE, deep).reason is Refusal.MALFORMED
    assert only_unreadable(SAMPLE, b"[" + deep + b"]").reason is Refusal.MALFORMED
    wide = b'{"sensor_id": "s", "a": [' + b",".join([b"[1]"] * 40) + b"]}"
    assert readings_of(SAMPLE, wide)
