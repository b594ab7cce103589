"""Every bad input of the brief has its reason, through all stages in their order."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from udfs.avro_encoding import encode_confluent, encode_single_object
from udfs.cell import CellAssigner
from udfs.crs import Locator
from udfs.decode import Decoder
from udfs.envelope import read_headers
from udfs.event_time import check_event_time, check_header_time, normalise_event_time
from udfs.reading import Position
from udfs.reasons import Reason, Rejected
from udfs.rules import BoundingBox, CellRule, LimitRule, PositionRule, StreamRule, TimeRule
from udfs.validate import Validator

NOW_MS = 1_700_000_000_000
AIR = StreamRule("air", ("pm*",), "ug/m3", 0.0, 1000.0)
RECORD: dict[str, Any] = {
    "sensor_id": "s-1",
    "region": "thames",
    "metric": "pm25",
    "value": 12.5,
    "unit": "µg/m³",
    "event_time": NOW_MS - 5_000,
    "x": -0.12,
    "y": 51.5,
    "crs": "EPSG:4326",
}
DECODER = Decoder(LimitRule())
VALIDATOR = Validator((AIR,))
LOCATOR = Locator(
    PositionRule(regions=(("thames", BoundingBox(-2.5, 51.0, 1.0, 52.5)),)), CellAssigner(CellRule()).cell
)


def judge(value: bytes | None, **sent: bytes) -> Position | Reason:
    names = ("sensor_id", "ingest_timestamp", "event_timestamp", "crs_source", "payload_version", "content_type")
    try:
        headers = read_headers(*(sent.get(name) for name in names))
        reading = VALIDATOR.validate(DECODER.decode(value, headers.content_type), headers)
        time_ms = normalise_event_time(reading.event_time, None) // 1_000_000
        check_header_time(time_ms, headers.event_timestamp_ms)
        check_event_time(time_ms, NOW_MS, reading.stream.max_age_ms, TimeRule())
        place = LOCATOR.locate_many([(reading.crs, reading.x, reading.y, reading.region)])[0]
        return place.reason if isinstance(place, Rejected) else place
    except Rejected as rejected:
        return rejected.reason


def changed(**changes: Any) -> bytes:
    return orjson.dumps({**RECORD, **changes})


def test_the_good_reading_is_located() -> None:
    place = judge(orjson.dumps(RECORD), sensor_id=b"s-1", event_timestamp=str(NOW_MS - 5_000).encode())
    assert isinstance(place, Position)
    assert place.cell == "g1000:E-14:N6710"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.TOMBSTONE),
        (orjson.dumps(RECORD)[:-1], Reason.MALFORMED_JSON),
        (b'{"value":NaN}', Reason.MALFORMED_JSON),
        (b'{"value":Infinity}', Reason.MALFORMED_JSON),
        (b"[1]", Reason.NOT_AN_OBJECT),
        (b"{" + b" " * 10_000_000 + b"}", Reason.BODY_TOO_LARGE),
        (encode_confluent(12, RECORD), Reason.UNKNOWN_SCHEMA),
        (encode_single_object(RECORD)[:-1], Reason.MALFORMED_AVRO),
        (changed(value="12.5"), Reason.WRONG_TYPE),
        (changed(value=True), Reason.WRONG_TYPE),
        (changed(x="-0.12"), Reason.WRONG_TYPE),
        (changed(unit=None), Reason.MISSING_FIELD),
        (changed(sensor_id=""), Reason.EMPTY_SENSOR_ID),
        (changed(metric="wind"), Reason.UNKNOWN_METRIC),
        (changed(unit="apples"), Reason.UNKNOWN_UNIT),
        (changed(unit="degC"), Reason.INCOMPATIBLE_UNIT),
        (changed(value=-1), Reason.VALUE_OUT_OF_RANGE),
        (changed(event_time="yesterday"), Reason.UNREADABLE_TIME),
        (changed(event_time=[]), Reason.UNREADABLE_TIME),
        (changed(event_time="2023-11-14T22:13:15"), Reason.NAIVE_TIME),
        (changed(event_time="1970-01-01T00:00:00Z"), Reason.BEFORE_FLOOR),
        (changed(event_time=0), Reason.BEFORE_FLOOR),
        (changed(event_time="2100-01-01T00:00:00Z"), Reason.IN_FUTURE),
        (changed(event_time="2023-01-01T00:00:00Z"), Reason.TOO_OLD),
        (changed(crs="EPSG:0"), Reason.UNKNOWN_CRS),
        (changed(x=0, y=0), Reason.NULL_ISLAND),
        (changed(y=95), Reason.POSITION_OUT_OF_RANGE),
        (changed(x=500), Reason.POSITION_OUT_OF_RANGE),
        (changed(crs="EPSG:28992", x=155_000, y=4_000_000), Reason.OUTSIDE_AREA_OF_USE),
        (changed(x=51.5, y=-0.12), Reason.AXIS_ORDER_SWAPPED),
        (changed(x=10), Reason.OUTSIDE_REGION),
        (changed(crs="EPSG:27700", x=1e300, y=1e300), Reason.TRANSFORM_FAILED),
    ],
)
def test_each_bad_value_has_its_reason(value: bytes | None, reason: Reason) -> None:
    assert judge(value) is reason


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"sensor_id": b"\xff"}, Reason.BROKEN_HEADER),
        ({"sensor_id": b""}, Reason.BROKEN_HEADER),
        ({"event_timestamp": b"soon"}, Reason.BROKEN_HEADER),
        ({"ingest_timestamp": b"1.7e12"}, Reason.BROKEN_HEADER),
        ({"content_type": b"text/csv"}, Reason.UNSUPPORTED_CONTENT_TYPE),
        ({"sensor_id": b"s-2"}, Reason.HEADER_MISMATCH),
        ({"crs_source": b"EPSG:27700"}, Reason.HEADER_MISMATCH),
        ({"event_timestamp": str(NOW_MS).encode()}, Reason.HEADER_MISMATCH),
    ],
)
def test_each_bad_header_has_its_reason(headers: dict[str, bytes], reason: Reason) -> None:
    assert judge(orjson.dumps(RECORD), **headers) is reason


def test_a_header_alone_can_give_the_time() -> None:
    time = str(NOW_MS - 5_000).encode()
    assert isinstance(judge(changed(event_time=None), event_timestamp=time), Position)
    assert judge(changed(event_time=None)) is Reason.MISSING_FIELD
