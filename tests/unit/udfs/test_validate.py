"""Laws of validation: what a reading must have, and what takes the place of what it lacks."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.reading import Headers, Reading
from udfs.reasons import Reason, Rejected
from udfs.rules import StreamRule
from udfs.validate import Validator

AIR = StreamRule("air", ("pm*",), "ug/m3", 0.0, 1000.0)
TEMPERATURE = StreamRule("temperature", ("*temperature", "t?"), "degC", -60.0, 60.0)
REST = StreamRule("rest", ("rest.*", "pm99"), "1")
RECORD: dict[str, Any] = {
    "event_id": "e-1",
    "sensor_id": "s-1",
    "region": "thames",
    "metric": "pm25",
    "value": 12.5,
    "unit": "µg/m³",
    "event_time": 1_700_000_000_123,
    "x": -0.12,
    "y": 51.5,
    "z": 11.0,
    "crs": "EPSG:4326",
    "quality": "good",
}


def validate(record: dict[str, Any], headers: Headers | None = None, region_required: bool = False) -> Reading:
    return Validator((AIR, TEMPERATURE, REST), region_required).validate(record, headers or Headers())


def rejected(record: dict[str, Any], headers: Headers | None = None, region_required: bool = False) -> Rejected:
    with pytest.raises(Rejected) as caught:
        validate(record, headers, region_required)
    return caught.value


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in RECORD.items() if name not in names}


def test_a_complete_record_becomes_a_reading() -> None:
    assert validate(RECORD) == Reading(
        "s-1", "thames", "pm25", AIR, 12.5, "ug/m3", 12.5, "µg/m³", 1_700_000_000_123, -0.12, 51.5, "EPSG:4326",
        "e-1", 11.0, "good", None,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["sensor_id", "metric", "value", "unit", "event_time", "x", "y", "crs"])
@pytest.mark.parametrize("how", ["absent", "null"])
def test_a_missing_field_is_named(name: str, how: str) -> None:
    refusal = rejected(without(name) if how == "absent" else {**RECORD, name: None})
    assert refusal.reason is Reason.MISSING_FIELD
    assert refusal.message.startswith(name)


@pytest.mark.parametrize("name", ["event_id", "region", "z", "quality"])
@pytest.mark.parametrize("how", ["absent", "null"])
def test_optional_fields_may_be_missing(name: str, how: str) -> None:
    reading = validate(without(name) if how == "absent" else {**RECORD, name: None})
    assert getattr(reading, name) in (None, "")
    assert reading.attributes is None


WRONG: dict[str, list[Any]] = {
    "sensor_id": [1, True, [], {}, "x" * 257],
    "metric": [1, [], {}, "pm" + "x" * 255],
    "unit": [1, None.__class__, []],
    "value": ["12.5", True, [], {}, b"1"],
    "x": ["1", False, []],
    "y": ["1", True, {}],
    "z": ["1", True, []],
    "crs": [4326, [], True],
    "region": [1, [], "x" * 257],
    "event_id": [1, [], "x" * 257],
    "quality": [True, [], {}, math.nan, "x" * 257],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_field_of_the_wrong_type_is_named(name: str, value: object) -> None:
    refusal = rejected({**RECORD, name: value})
    assert refusal.reason is Reason.WRONG_TYPE
    assert refusal.message.startswith(name)
    assert len(refusal.message) < 500


@pytest.mark.parametrize("sensor_id", ["", " ", "\t\n", "\u2003"])
def test_an_empty_sensor_id_is_named_so(sensor_id: str) -> None:
    assert rejected({**RECORD, "sensor_id": sensor_id}).reason is Reason.EMPTY_SENSOR_ID


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, -(10**400)])
@pytest.mark.parametrize("metric", ["pm25", "rest.a"])  # with and without limits of the stream
def test_a_value_that_is_not_finite_is_named_so(value: float, metric: str) -> None:
    unit = "ug/m3" if metric == "pm25" else "1"
    assert rejected({**RECORD, "value": value, "metric": metric, "unit": unit}).reason is Reason.VALUE_NOT_FINITE


def test_limits_of_a_stream_are_included() -> None:
    for value in (0.0, 1000.0):
        assert validate({**RECORD, "value": value}).value == value
    for value in (math.nextafter(0.0, -1.0), math.nextafter(1000.0, 2000.0)):
        assert rejected({**RECORD, "value": value}).reason is Reason.VALUE_OUT_OF_RANGE


def test_limits_hold_in_the_canonical_unit() -> None:
    hot = {**RECORD, "metric": "air_temperature", "unit": "degF"}
    reading = validate({**hot, "value": 104})
    assert (reading.value, reading.unit) == (pytest.approx(40.0), "degC")
    assert (reading.value_original, reading.unit_original) == (104.0, "degF")
    assert rejected({**hot, "value": 200.0}).reason is Reason.VALUE_OUT_OF_RANGE


def test_a_value_that_overflows_in_the_canonical_unit_is_out_of_range() -> None:
    wide = Validator((StreamRule("s", ("m",), "mm"),))
    with pytest.raises(Rejected) as caught:
        wide.validate({**RECORD, "metric": "m", "unit": "km", "value": 1e308}, Headers())
    assert caught.value.reason is Reason.VALUE_OUT_OF_RANGE


@given(st.floats(0.0, 1000.0))
def test_a_value_in_the_canonical_unit_keeps_every_bit(value: float) -> None:
    assert validate({**RECORD, "value": value}).value.hex() == value.hex()


def test_the_first_stream_that_matches_takes_a_metric() -> None:
    assert validate({**RECORD, "metric": "pm99"}).stream is AIR
    assert validate({**RECORD, "metric": "t1", "unit": "C"}).stream is TEMPERATURE
    assert rejected({**RECORD, "metric": "PM25"}).reason is Reason.UNKNOWN_METRIC
    assert rejected({**RECORD, "metric": ""}).reason is Reason.UNKNOWN_METRIC


def test_units_are_judged_against_the_stream() -> None:
    assert rejected({**RECORD, "unit": "furlongs?"}).reason is Reason.UNKNOWN_UNIT
    assert rejected({**RECORD, "unit": "degC"}).reason is Reason.INCOMPATIBLE_UNIT


def test_a_refusal_is_the_same_the_second_time() -> None:
    judge = Validator((AIR,))
    for record in ({**RECORD, "metric": "nope"}, {**RECORD, "unit": "nope"}, {**RECORD, "unit": "m"}):
        reasons = []
        for _ in range(2):
            with pytest.raises(Rejected) as caught:
                judge.validate(record, Headers())
            reasons.append(caught.value.reason)
        assert reasons[0] is reasons[1]


def test_caches_are_bounded() -> None:
    judge = Validator((StreamRule("all", ("*",), "1"),))
    for number in range(20_000):
        judge.validate({**RECORD, "metric": f"m{number}", "unit": "1"}, Headers())
    assert len(judge._plans) <= 4_096
    assert len(judge._stream_of) <= 4_096


def test_headers_stand_in_for_missing_fields() -> None:
    headers = Headers("s-9", None, 1_700_000_000_999, "EPSG:27700", "3")
    reading = validate(without("sensor_id", "event_time", "crs"), headers)
    assert (reading.sensor_id, reading.event_time, reading.crs) == ("s-9", 1_700_000_000_999, "EPSG:27700")
    assert reading.attributes is None


@pytest.mark.parametrize("missing", [("crs",), ("sensor_id", "event_time"), ("sensor_id", "event_time", "crs")])
def test_fields_that_headers_stand_in_for_make_no_attribute_vanish(missing: tuple[str, ...]) -> None:
    headers = Headers("s-1", None, 1_700_000_000_123, "EPSG:4326")
    extra = {f"extra-{number}": number for number in range(len(missing))}
    assert validate({**without(*missing), **extra}, headers).attributes == extra


@pytest.mark.parametrize("headers", [Headers(sensor_id="s-2"), Headers(crs_source="EPSG:27700")])
def test_a_header_that_contradicts_the_value_is_a_mismatch(headers: Headers) -> None:
    assert rejected(RECORD, headers).reason is Reason.HEADER_MISMATCH


@pytest.mark.parametrize("crs", ["EPSG:4326", "epsg:4326", " EPSG:4326 "])
def test_spelling_of_a_crs_is_no_contradiction(crs: str) -> None:
    assert validate(RECORD, Headers(sensor_id="s-1", crs_source=crs, payload_version="99")).crs == "EPSG:4326"


def test_a_region_is_required_only_where_something_is_keyed_by_it() -> None:
    assert validate(without("region")).region == ""
    for record in (without("region"), {**RECORD, "region": ""}):
        assert rejected(record, region_required=True).reason is Reason.MISSING_FIELD


def test_an_empty_event_id_counts_as_none() -> None:
    assert validate({**RECORD, "event_id": " "}).event_id is None


def test_integers_become_floats() -> None:
    reading = validate({**RECORD, "value": 3, "x": 1, "y": 2, "z": 4})
    assert [type(v) for v in (reading.value, reading.value_original, reading.x, reading.y, reading.z)] == [float] * 5


def test_a_height_that_is_not_finite_is_a_position_that_is_not() -> None:
    assert rejected({**RECORD, "z": math.inf}).reason is Reason.POSITION_NOT_FINITE


@given(st.dictionaries(st.text().filter(lambda name: name not in {*RECORD, "attributes"}), st.integers() | st.none()))
def test_unknown_fields_pass_through_as_attributes(extra: dict[str, Any]) -> None:
    assert validate({**RECORD, **extra}).attributes == (extra or None)
    assert validate({**without("z", "region"), **extra}).attributes == (extra or None)


def test_an_object_of_attributes_is_merged_with_unknown_fields_which_win() -> None:
    assert validate({**RECORD, "attributes": {"a": 1, "b": 1}, "b": 2}).attributes == {"a": 1, "b": 2}
    assert validate({**RECORD, "attributes": {}}).attributes is None
    assert validate({**RECORD, "attributes": None}).attributes is None
    assert validate({**RECORD, "attributes": 3}).attributes == {"attributes": 3}


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*RECORD, "attributes", "extra"]), json_value))
def test_any_record_becomes_a_reading_or_is_rejected(changes: dict[str, Any]) -> None:
    try:
        validate({**RECORD, **changes})
    except Rejected as refusal:
        assert refusal.message


def test_a_stream_with_an_unknown_unit_is_refused_at_start_up() -> None:
    with pytest.raises(ValueError, match="stream air"):
        Validator((StreamRule("air", ("*",), "furlongs?"),))
