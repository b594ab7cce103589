"""The raw envelope that bridges write: headers, CloudEvents, trace, key."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.bridge.envelope import MAX_VALUE_BYTES, Enveloper
from jobs.bridge.feed import Refusal, Unreadable
from jobs.bridge.sample import Judge
from jobs.bridge.spatial_key import NOWHERE, KeyRule
from jobs.bridge.trace import Tracer
from udfs.envelope import ENVELOPE_HEADERS, read_headers
from udfs.identity import derive_event_id, event_id_start
from udfs.rules import Rules, StreamRule

NOW_MS = 1_767_225_600_000
READING = {
    "sensor_id": "s-1", "region": "po", "metric": "air_temperature", "value": 4, "unit": "degC",
    "event_time": NOW_MS - 1_500, "x": 10.5, "y": 45.25, "crs": "EPSG:4326",
}  # fmt: skip
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def envelope(**rule: Any) -> Enveloper:
    return Enveloper("mqtt://gateway/site", "meridian", KeyRule(**rule).key())


def headers_of(reading: Any, traceparent: str | None = None) -> dict[str, str]:
    headers = envelope().message(reading, NOW_MS, traceparent).headers
    return {name: value.decode() for name, value in headers.items()}


def test_a_reading_has_all_headers() -> None:
    headers = headers_of(READING)
    traceparent = headers.pop("traceparent")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", traceparent)
    assert headers == {
        "sensor_id": "s-1",
        "event_timestamp": str(NOW_MS - 1_500),
        "device_timestamp": str(NOW_MS - 1_500),
        "ingest_timestamp": str(NOW_MS),
        "bridge_timestamp": str(NOW_MS),
        "crs_source": "EPSG:4326",
        "payload_version": "1",
        "content-type": "application/json",
        "bridge_adapter": "meridian",
        "ce_specversion": "1.0",
        "ce_source": "mqtt://gateway/site",
        "ce_type": "meridian.telemetry.reading.v1",
        "ce_time": "2025-12-31T23:59:58.500Z",
        "ce_id": derive_event_id(
            event_id_start("s-1", "air_temperature"), (NOW_MS - 1_500) * 1_000_000, 4.0
        ),  # as the job derives it
    }


def test_the_feeds_own_event_id_is_unique_within_its_sensor_only() -> None:
    assert headers_of({**READING, "event_id": "77"})["ce_id"] == "s-1/77"


def test_a_repeat_has_the_same_key_value_and_id() -> None:
    first, again = (envelope().message(READING, NOW_MS + later) for later in (0, 5_000))
    assert (first.key, first.value) == (again.key, again.value)
    assert first.headers["ce_id"] == again.headers["ce_id"]


@pytest.mark.parametrize(
    ("event_time", "header"),
    [
        (1_767_225_540, "1767225540000"),
        (1_767_225_540_123_456_789, "1767225540123"),
        ("2025-12-31T23:59:00+01:00", "1767221940000"),
        ("2025-12-31T23:59:00", None),
        ("soon", None),
        (None, None),
        (True, None),
    ],
)
def test_the_event_timestamp_is_what_the_value_says_or_left_out(event_time: Any, header: str | None) -> None:
    assert headers_of({**READING, "event_time": event_time}).get("event_timestamp") == header


@pytest.mark.parametrize("sensor_id", [None, "", "  ", 7, ["a"], "x" * 257])
def test_a_header_that_the_job_would_refuse_is_left_to_the_value(sensor_id: Any) -> None:
    assert "sensor_id" not in headers_of({**READING, "sensor_id": sensor_id})


def test_the_trace_goes_on_with_a_new_span() -> None:
    child = headers_of(READING, PARENT)["traceparent"]
    assert child.startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert child.endswith("-00")
    assert child != PARENT


@pytest.mark.parametrize(
    "parent",
    ["", "x", PARENT[:-1], PARENT.upper(), PARENT.replace("00-4", "ff-4"), f"00-{'0' * 32}-00f067aa0ba902b7-01"],
)
def test_a_broken_trace_begins_anew(parent: str) -> None:
    new = Tracer().child(parent).decode()
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", new)
    assert new[3:35] not in (PARENT[3:35], "0" * 32)


def test_what_is_unreadable_goes_out_as_it_came_and_moves_no_watermark() -> None:
    original = orjson.dumps({"event_time": NOW_MS, "value": "much"})
    message = envelope().message(Unreadable(Refusal.WRONG_TYPE, "value is text", original), NOW_MS)
    headers = {name: value.decode() for name, value in message.headers.items()}
    assert message.value == original
    assert headers["event_timestamp"] == "0"
    assert headers["content-type"] == "application/vnd.meridian.unreadable; adapter=meridian; reason=wrong_type"
    assert (headers["bridge_reason"], headers["bridge_message"]) == ("wrong_type", "value is text")


def test_the_dead_letter_of_what_is_unreadable_names_adapter_and_reason() -> None:
    rules = Rules(streams=(StreamRule("all", ("*",), "degC"),))
    message = envelope().message(Unreadable(Refusal.NAIVE_TIME, "no zone", b"{}"), NOW_MS)
    verdict = Judge(rules).judge(message, NOW_MS)
    assert verdict.reason == "unsupported_content_type"
    assert "adapter=meridian; reason=naive_time" in verdict.message


def test_an_original_that_kafka_would_refuse_is_cut_and_its_length_told() -> None:
    original = b"x" * (MAX_VALUE_BYTES + 5)
    message = envelope().message(Unreadable(Refusal.MALFORMED, "", original), NOW_MS)
    assert len(message.value) == MAX_VALUE_BYTES
    assert message.headers["bridge_original_bytes"] == b"%d" % len(original)


def test_a_reading_that_is_too_large_or_no_json_is_unreadable() -> None:
    large = headers_of({**READING, "notes": "x" * MAX_VALUE_BYTES})
    assert large["bridge_reason"] == "too_large"
    for foreign in ({1, 2}, "\ud800", 1 << 70, object()):
        assert headers_of({**READING, "notes": foreign})["bridge_reason"] == "unexpected_error"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*READING, "event_id", "extra"]), json_values))
def test_every_reading_has_headers_that_the_job_can_read(reading: dict[str, Any]) -> None:
    for rule in ({}, {"by": "region"}, {"by": "attribute", "attribute": "extra"}):
        message = envelope(**rule).message(reading, NOW_MS)
        headers = message.headers
        assert 0 < len(message.key) <= 1_024
        read = read_headers(*(headers.get(name) for name in ENVELOPE_HEADERS))
        assert read.ingest_timestamp_ms == NOW_MS
        assert datetime.fromisoformat(headers["ce_time"].decode()).tzinfo == UTC
        assert all(value.decode() is not None for value in headers.values())


class TestKeys:
    def test_neighbours_share_a_cell_and_sensors_do_not_matter(self) -> None:
        near = {**READING, "sensor_id": "s-2", "x": 10.501}
        far = {**READING, "x": 12.5}
        keys = [envelope().message(reading, NOW_MS).key for reading in (READING, near, far)]
        assert keys[0] == keys[1] != keys[2]

    def test_a_cell_is_the_same_in_every_crs(self) -> None:
        utm = {**READING, "crs": "EPSG:32632", "x": 617_725.0, "y": 5_011_846.0}
        assert envelope().message(utm, NOW_MS).key == envelope().message(READING, NOW_MS).key

    def test_a_watershed_is_an_attribute(self) -> None:
        watershed = {"by": "attribute", "attribute": "huc"}
        assert envelope(**watershed).message({**READING, "huc": "02060005"}, NOW_MS).key == b"02060005"
        assert envelope(**watershed).message(READING, NOW_MS).key == b"po"

    @pytest.mark.parametrize("broken", [{"crs": "EPSG:0"}, {"x": None}, {"x": 1e300}, {"y": "45"}, {"crs": "x" * 300}])
    def test_what_has_no_place_has_its_region_or_nowhere(self, broken: dict[str, Any]) -> None:
        reading = {**READING, **broken}
        assert envelope().message(reading, NOW_MS).key == b"po"
        assert envelope().message({**reading, "region": None}, NOW_MS).key == NOWHERE

    def test_an_attribute_is_named_exactly_when_it_is_the_key(self) -> None:
        for wrong in ({"by": "attribute"}, {"by": "region", "attribute": "huc"}, {"by": "sensor"}):
            with pytest.raises(ValidationError):
                KeyRule(**wrong)
