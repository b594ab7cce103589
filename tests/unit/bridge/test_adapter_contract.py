"""The laws of every adapter: it never raises, never drops, and what it gives goes through the envelope and the job."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.bridge.envelope import UNREADABLE_CONTENT_TYPE, Enveloper
from jobs.bridge.feed import PassedOver, Refusal, Unreadable, adapter_names
from jobs.bridge.sample import Judge
from jobs.bridge.spatial_key import KeyRule
from jobs.bridge.station_feed import StationFeed
from tests.unit.bridge.samples import RECEIVED_MS, SAMPLES, Sample, items_of
from udfs.reasons import Reason
from udfs.rules import Rules, StreamRule
from udfs.units import is_unit

ALL = pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES.keys())
# One stream for each unit that a sample has; what else comes is refused by the job, and that is an answer too.
RULES = Rules(
    streams=(
        StreamRule("temperature", ("*temperature*",), "degC"),
        StreamRule("particles", ("pm*", "no2"), "ug/m3"),
        StreamRule("rivers", ("water_level",), "m"),
        StreamRule("humidity", ("relative_humidity",), "%"),
        StreamRule("pressure", ("air_pressure",), "hPa"),
        StreamRule("wind", ("wind_speed",), "m/s"),
        StreamRule("direction", ("wind_direction",), "degree"),
    )
)
_judge = Judge(RULES)
_envelope = Enveloper("https://example.org/feed", "any", KeyRule().key())

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", " ", "NaN", "-999999", "2025-12-31T23:59:60Z", "9" * 400, "1e999", "é\0", "🜁" * 300])
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def _nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(node for key, child in children for node in _nodes(child, (*path, key)))]


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


def check(sample: Sample, body: bytes) -> None:
    """A payload of any bytes: nothing raised, no defect met, everything accounted for, and the job copes."""
    adapter = sample.make()
    items = list(adapter.readings(sample.payload(body)))
    accounted = len(items) + sum(adapter.passed_over.values())
    assert accounted or _is_empty(sample, body)
    for item in items:
        message = _envelope.message(item, RECEIVED_MS)
        verdict = _judge.judge(message, RECEIVED_MS)
        if isinstance(item, Unreadable):
            assert item.reason is not Refusal.UNEXPECTED_ERROR, item.message
            assert item.original or not body
            assert verdict.reason == Reason.UNSUPPORTED_CONTENT_TYPE
            assert f"reason={item.reason}" in verdict.message
        else:
            assert verdict.accepted or verdict.reason != Reason.UNEXPECTED_ERROR, verdict.message
            # What an adapter calls a reading is of the right types; values and lengths are the job's to judge.
            if sample.adapter != "meridian" and "characters, more than" not in verdict.message:
                assert verdict.reason not in (Reason.WRONG_TYPE, Reason.MISSING_FIELD, Reason.BROKEN_HEADER)
                assert verdict.reason not in (Reason.HEADER_MISMATCH, Reason.UNREADABLE_TIME, Reason.NAIVE_TIME)


def _is_empty(sample: Sample, body: bytes) -> bool:
    """A list without entries holds nothing that could be lost."""
    if sample.adapter == "ndbc":
        return True
    return b"[]" in body or b"{}" in body or not any(_lists(orjson.loads(body)))


def _lists(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_every_adapter_has_a_sample() -> None:
    assert set(adapter_names()) >= set(SAMPLES)
    assert {name for name in adapter_names() if name in SAMPLES} == set(SAMPLES)


@ALL
def test_the_units_of_the_tables_are_known(sample: Sample) -> None:
    adapter = sample.make()
    if isinstance(adapter, StationFeed):
        units = {row.unit for row in adapter.own_measures.values() if row is not None and row.unit is not None}
        assert [unit for unit in units if not is_unit(unit)] == []


@ALL
def test_the_job_accepts_every_reading_of_a_good_sample(sample: Sample) -> None:
    items = items_of(sample)
    assert items
    for item in items:
        assert not isinstance(item, Unreadable), item
        verdict = _judge.judge(_envelope.message(item, RECEIVED_MS), RECEIVED_MS)
        assert verdict.accepted, verdict


@ALL
def test_the_same_payload_gives_the_same_readings(sample: Sample) -> None:
    adapter = sample.make()
    once = list(adapter.readings(sample.payload()))
    assert list(adapter.readings(sample.payload())) == once


@ALL
def test_readings_leave_oldest_first(sample: Sample) -> None:
    times = [item["event_time"] for item in items_of(sample) if not isinstance(item, Unreadable)]
    assert times == sorted(times)


@ALL
@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"\n\n", b"null", b"true", b"0", b'"text"', b"[]", b"{}", b"[[]]", b"[{}]", b"{", b"\xff\xfe",
        b"\x00",
b'{"value": NaN}', b'{"a": 1e999}', b'{"a": ' + b"9" * 5_000 + b"}", b"[" * 100_000, b'{"a":' * 500 + b"1",
        b'{"a":' * 900 + b"1" + b"}" * 900, b"[" * 900 + b"]" * 900, b'{"id": 1, "id": [2]}', b"MM MM MM",
        b"#YY MM DD hh mm WSPD\n#yr mo dy hr mn m/s\n", b"#YY MM\n", b"\xef\xbb\xbf{}", b"x" * 1_000_000,
    ],
    ids=lambda body: repr(body[:24]),
)  # fmt: skip
def test_bytes_of_any_kind_are_accounted_for(sample: Sample, body: bytes) -> None:
    check(sample, body)


@ALL
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_truncated_payload_is_accounted_for(sample: Sample, data: st.DataObject) -> None:
    check(sample, sample.body[: data.draw(st.integers(0, len(sample.body) - 1))])


@ALL
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_field_of_any_type_is_accounted_for(sample: Sample, data: st.DataObject) -> None:
    if sample.adapter == "ndbc":
        cells = sample.body.split()
        place = data.draw(st.integers(0, len(cells) - 1))
        new = data.draw(st.binary(max_size=12) | st.sampled_from([b"1e5", b"nan", b"0x1F", b"-", b"1_0"]))
        check(sample, sample.body.replace(cells[place], new))
        return
    document = orjson.loads(sample.body)
    for _ in range(data.draw(st.integers(1, 3))):
        document = _replaced(document, data.draw(st.sampled_from(_nodes(document))), data.draw(_values))
    check(sample, orjson.dumps(document))


@ALL
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_payload_without_one_of_its_fields_is_accounted_for(sample: Sample, data: st.DataObject) -> None:
    if sample.adapter == "ndbc":
        lines = sample.body.split(b"\n")
        del lines[data.draw(st.integers(0, len(lines) - 1))]
        check(sample, b"\n".join(lines))
        return
    document = orjson.loads(sample.body)
    path = data.draw(st.sampled_from([node for node in _nodes(document) if node]))
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    check(sample, orjson.dumps(document))


@ALL
def test_what_is_wrong_with_one_reading_does_not_touch_the_others(sample: Sample) -> None:
    """Of two values in a payload the first is made unreadable: it is reported, the second still comes."""
    document = _twice(sample)
    if document is None:
        pytest.skip("one message of this feed is one moment of one device: see its own tests")
    items = items_of(sample, document)
    assert [item.reason for item in items if isinstance(item, Unreadable)] == [Refusal.WRONG_TYPE]
    assert [item for item in items if not isinstance(item, Unreadable)]


def _twice(sample: Sample) -> Any:
    document = None if sample.adapter == "ndbc" else orjson.loads(sample.body)
    match sample.adapter:
        case "sensor_community":
            document[0]["sensordatavalues"].insert(0, {"id": 1, "value": "warm", "value_type": "P1"})
        case "usgs":
            document["value"]["timeSeries"][0]["values"][0]["value"].append(
                {"value": "Ice", "dateTime": "2025-12-31T18:15:00.000-05:00"}
            )
        case "openaq":
            document["results"].append({**document["results"][0], "value": "much"})
        case "sensorthings":
            document["value"].append({**document["value"][0], "result": "much"})
        case "ngsi_ld":
            document["no2"]["value"] = "much"
        case "tasmota":
            document["AHT1X-0x38"]["Humidity"] = "much"
        case "things_stack":
            document["uplink_message"]["decoded_payload"]["temperature_1"] = "much"
        case "chirpstack":
            document["object"]["humidity"] = "much"
        case "ndbc":
            return sample.body.replace(b"1022.5", b"much")
        case _:
            return None
    return document


def test_an_unreadable_part_goes_out_as_it_came() -> None:
    sample = SAMPLES["ndbc"]
    [unreadable] = [i for i in items_of(sample, sample.body.replace(b"1022.5", b"much")) if isinstance(i, Unreadable)]
    assert unreadable.original == b"2025 12 31 23 40 999  99.0 much  28.0"
    headers = _envelope.message(unreadable, RECEIVED_MS).headers
    assert headers["content-type"].decode().startswith(UNREADABLE_CONTENT_TYPE)


def test_missing_values_are_counted_and_no_error() -> None:
    sample = SAMPLES["ndbc"]
    adapter = sample.make()
    assert len(list(adapter.readings(sample.payload()))) == 5
    assert adapter.passed_over == {PassedOver.MISSING_VALUE: 3}
