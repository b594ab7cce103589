"""What hostile records are made of: values that have been misread before, by field, by header and as bytes."""

from __future__ import annotations

from typing import Any

from tests.support.generated import NOW_MS
from udfs.align import CONTROL_CONTENT_TYPE

NUMBERS: list[Any] = [
    *(0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 10**11, 10**14, 10**17, 10**19),
    *(0.0, -0.0, 5e-324, 1e-7, 0.1, 1e15, 1.7976931348623157e308, -1e300, 180.0, -180.0, 90.0, 360.0, 1e30),
]
TEXTS = [
    *("", " ", "\0", "a", "é", "😀", "x" * 256, "x" * 257, "\u202e", "NaN", "null", "1", "-1", "1e999", "²", "٣" * 13),
    *("a\nb", "'; DROP TABLE aligned; --", "../../etc/passwd", "${jndi:ldap://127.0.0.1/a}", "%s%n", "\ufeff", "\x7f"),
]
_TIMES: list[Any] = [
    *(NOW_MS, NOW_MS + 60_000, NOW_MS + 60_001, NOW_MS // 1000, NOW_MS * 1000, NOW_MS * 10**6, NOW_MS / 1000),
    *("2026-09-21T14:13:14Z", "2026-09-21T14:13:14.123456789Z", "2026-09-21t14:13:14z", "20260921T141314Z"),
    *("2026-09-21T14:13:60Z", "2016-12-31T23:59:60Z", "2026-09-21T24:00:00Z", "2026-09-21", "2026-W39-1T10:00:00Z"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-09-21T14:13:14+24:00", "2026-09-21T14,5Z"),
    *("2026-03-29T01:30:00", "2026-10-25T01:30:00", "2026-09-21T14:13", "T14:13:14Z", "1790000000000", "²" * 13),
    *("0001-01-01T00:00:00", "9999-12-31T23:59:59.999999", "2026-09-21T14:13:14.", ".", "2026-09-21 14:13:14,1+0530"),
]
_CRS = [
    *("EPSG:4326", "epsg:4326 ", "EPSG:27700", "EPSG:25832", "EPSG:32661", "EPSG:4978", "EPSG:5703", "EPSG:4326+5773"),
    *("EPSG:0", "EPSG:", "EPSG:99999999999999999999", "ESRI:102100", "OGC:CRS84", "IGNF:LAMB93", "EPSG:4326+", "NAD27"),
    *("urn:ogc:def:crs:EPSG::4326", "urn:ogc:def:crs:", "http://www.opengis.net/def/crs/EPSG/0/4326", "WGS84"),
    *("+proj=utm +zone=33 +datum=WGS84", "+proj=utm +zone=99", "+proj=longlat +datum=WGS84 +type=crs", "+proj="),
    *("+proj=ob_tran +o_proj=longlat +o_lat_p=90 +o_lon_p=0 +lon_0=0", "+proj=lcc +lat_1=0 +lat_2=0", "+proj=aea"),
    *("+proj=tmerc +k=0", "+proj=tmerc +k=1e308 +a=1 +b=1", "+proj=merc +a=nan +b=nan", "+proj=pipeline +step"),
    *("+proj=longlat +nadgrids=@null", "+proj=isea", "+proj=healpix", "+proj=geos +h=1", "+proj=sinu +lon_0=1e300"),
    *('GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0]]', "PROJCS["),
    *('{"type":"GeographicCRS"}', "{", "GEOGCRS[]", "COMPOUNDCRS[" * 50, "PROJCS[" + "[" * 4_000, "x" * 4_097),
]
JSON: list[Any] = [None, True, False, [], {}, [[]], {"a": {"b": [None, 1.5]}}, {"": ""}, [0] * 40]
OF_FIELD: dict[str, list[Any]] = {
    "event_time": _TIMES,
    "crs": _CRS,
    "metric": ["air_temperature", "pm2_5", "water_level", "pm" + "*" * 200, "pm[", *TEXTS],
    "unit": ["degC", "degF", "K", "ug/m3", "m", "m**9999", "degC**2", "m/(s", "1/0", "kg**1e9", "µg/m³", *TEXTS],
    "quality": [*TEXTS, *NUMBERS],
    "attributes": [
        *JSON,
        {"attributes": {"attributes": {}}},
        {"sensor_id": "other"},
        {f"k{n}": n for n in range(300)},
    ],
}
FIELDS = (
    *("event_id", "sensor_id", "region", "metric", "value", "unit", "event_time", "x", "y", "crs"),
    *("z", "quality", "attributes", "more", "", "Sensor_ID"),
)
_CONTENT_TYPES = [
    *(b"application/json", b"application/json; charset=utf-8", b"APPLICATION/JSON;charset=latin-1", b"text/plain"),
    *(b"application/avro", b"application/x-protobuf", b"application/vnd.confluent.avro", b"application/ld+json", b";"),
    *(b"application/vnd.confluent.protobuf", b"application/x-protobuf; proto=nobody.Reading", b"application/+json"),
    CONTROL_CONTENT_TYPE.encode(),
]
OF_HEADER: dict[str, list[bytes]] = {
    "content-type": _CONTENT_TYPES,
    "crs_source": [text.encode() for text in _CRS],
    "event_timestamp": [b"0", b"-1", b"-", b"%d" % NOW_MS, b"9" * 18, b"9" * 19, b"1_0", b" 7", b"0x10", b"1e3"],
    "ingest_timestamp": [b"0", b"-1", b"%d" % (NOW_MS + 10**9), b"-" + b"9" * 18, "٣".encode() * 13],
    "sampling_fraction": [b"0.5", b"1", b"0", b"1e-9", b"1e-400", b"nan", b"inf", b"0x1p-1", b"0.5\0", b"1" * 400],
}
TOKENS = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b",",
        b":",
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"\\udc00\\ud800",
        b"NaN",
        b"-0",
        b"1e999",
    ),
    *(
        b"null",
        b"\xff",
        b"\xc3\x01",
        b"\0",
        b"\0\0\0\0\x01",
        b"\0\0\0\0\x02\0",
        b"\xef\xbb\xbf",
        b"\x80" * 11,
        b"[" * 99,
    ),
    *(b'"attributes":', b'"event_time":', b'"x":1e308,', b"//", b"9" * 400, b"0." + b"0" * 400 + b"1", b" " * 20_001),
]
