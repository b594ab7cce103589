"""One small payload of each feed, written by hand in its shape, with the options and the context it needs."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from jobs.bridge.feed import Adapter, Item, Payload, Unreadable, make_adapter

NEW_YEAR_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
RECEIVED_MS = NEW_YEAR_MS
HOUR_MS = 3_600_000


class Sample(NamedTuple):
    adapter: str
    body: bytes
    options: dict[str, Any] = {}  # noqa: RUF012 - never written to
    context: dict[str, str] = {}  # noqa: RUF012

    def make(self, **options: Any) -> Adapter:
        return make_adapter(self.adapter, {**self.options, **options})

    def payload(self, body: bytes | None = None) -> Payload:
        return Payload(self.body if body is None else body, self.context, RECEIVED_MS)


def items_of(sample: Sample, document: Any = None, **options: Any) -> list[Item]:
    """What a sample, or another document under its options and context, becomes."""
    body = document if isinstance(document, bytes | None) else orjson.dumps(document)
    return list(sample.make(**options).readings(sample.payload(body)))


def readings_of(sample: Sample, document: Any = None, **options: Any) -> list[dict[str, Any]]:
    items = items_of(sample, document, **options)
    assert not [item for item in items if isinstance(item, Unreadable)]
    return items  # type: ignore[return-value]


def only_unreadable(sample: Sample, document: Any = None, **options: Any) -> Unreadable:
    [found] = [item for item in items_of(sample, document, **options) if isinstance(item, Unreadable)]
    return found


def document_of(name: str) -> Any:
    return orjson.loads(SAMPLES[name].body)


SENSOR_COMMUNITY = [
    {
        "id": 101,
        "sampling_rate": None,
        "timestamp": "2025-12-31 23:59:30",
        "location": {
            "id": 7, "latitude": "52.500", "longitude": "13.400", "altitude": "34.0",
            "country": "DE", "exact_location": 0, "indoor": 0,
        },
        "sensor": {"id": 11, "pin": "1", "sensor_type": {"id": 14, "name": "SDS011", "manufacturer": "Nova"}},
        "sensordatavalues": [
            {"id": 1001, "value": "12.50", "value_type": "P1"},
            {"id": 1002, "value": "unavailable", "value_type": "P2"},
            {"id": 1003, "value": "77", "value_type": "samples"},
        ],
    }
]  # fmt: skip

USGS = {
    "name": "ns1:timeSeriesResponseType",
    "value": {
        "timeSeries": [
            {
                "sourceInfo": {
                    "siteName": "A CREEK AT B",
                    "siteCode": [{"value": "01234567", "network": "NWIS", "agencyCode": "USGS"}],
                    "geoLocation": {"geogLocation": {"srs": "EPSG:4326", "latitude": 39.5, "longitude": -76.25}},
                    "siteProperty": [{"value": "ST", "name": "siteTypeCd"}, {"value": "02060003", "name": "hucCd"}],
                },
                "variable": {
                    "variableCode": [{"value": "00065", "vocabulary": "NWIS:UnitValues", "variableID": 1}],
                    "unit": {"unitCode": "ft"},
                    "noDataValue": -999999.0,
                },
                "values": [
                    {
                        "value": [
                            {"value": "3.13", "qualifiers": ["P", "e"], "dateTime": "2025-12-31T18:45:00.000-05:00"},
                            {"value": "-999999", "qualifiers": ["Eqp"], "dateTime": "2025-12-31T18:30:00.000-05:00"},
                        ],
                        "method": [{"methodDescription": "", "methodID": 42}],
                    }
                ],
            }
        ]
    },
}

NDBC = b"""\
#YY  MM DD hh mm WDIR WSPD  PRES  WTMP
#yr  mo dy hr mn degT m/s   hPa  degC
2025 12 31 23 50 150   7.0 1023.0    MM
2025 12 31 23 40 999  99.0 1022.5  28.0
"""

OPENAQ = {
    "meta": {"name": "openaq-api", "page": 1, "limit": 1, "found": 1},
    "results": [
        {
            "period": {
                "label": "1hour",
                "datetimeFrom": {"utc": "2025-12-31T22:00:00Z", "local": "2025-12-31T15:00:00-07:00"},
                "datetimeTo": {"utc": "2025-12-31T23:00:00Z", "local": "2025-12-31T16:00:00-07:00"},
            },
            "value": 7.5,
            "parameter": {"id": 2, "name": "pm25", "units": "µg/m³", "displayName": None},
            "coordinates": None,
            "coverage": {"percentCoverage": 100.0},
        }
    ],
}

SENSORTHINGS = {
    "value": [
        {
            "@iot.id": 555,
            "phenomenonTime": "2025-12-31T23:00:00Z/2025-12-31T23:10:00Z",
            "resultTime": "2025-12-31T23:10:05Z",
            "result": 21.5,
            "resultQuality": "good",
            "FeatureOfInterest": {"feature": {"type": "Point", "coordinates": [8.5, 49.0, 110.0]}},
            "Datastream": {
                "@iot.id": 5,
                "name": "air of the roof",
                "unitOfMeasurement": {"name": "degree Celsius", "symbol": "°C", "definition": "ucum:Cel"},
                "ObservedProperty": {"name": "Air Temperature"},
                "Thing": {"@iot.id": 3, "Locations": [{"location": {"type": "Point", "coordinates": [8.4, 49.1]}}]},
            },
        }
    ],
    "@iot.nextLink": "https://example.org/v1.1/Observations?$skip=1",
}

NGSI_LD = {
    "id": "urn:ngsi-ld:AirQualityObserved:a:2025-12-31T23:00:00Z",
    "type": "AirQualityObserved",
    "refDevice": {"type": "Relationship", "object": "urn:ngsi-ld:Device:7"},
    "dateObserved": {"type": "Property", "value": {"@type": "DateTime", "@value": "2025-12-31T23:00:00Z"}},
    "location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [-3.75, 40.5]}},
    "no2": {"type": "Property", "value": 22, "unitCode": "GQ", "observedAt": "2025-12-31T23:05:00Z"},
    "relativeHumidity": {"type": "Property", "value": 0.54},
    "pm10": {"type": "Property", "value": None},
    "airQualityLevel": {"type": "Property", "value": "moderate"},
}

TASMOTA = {
    "Time": "2025-12-31T23:59:00",
    "AHT1X-0x38": {"Temperature": 75.2, "Humidity": 61.9, "DewPoint": None},
    "ESP32": {"Temperature": 41.7},
    "SR04": {"Distance": 42.6},
    "TempUnit": "F",
}

THINGS_STACK = {
    "end_device_ids": {
        "device_id": "dev1",
        "application_ids": {"application_id": "app1"},
        "dev_eui": "0004A30B001C0530",
    },
    "correlation_ids": ["as:up:01"],
    "received_at": "2025-12-31T23:59:31.5Z",
    "uplink_message": {
        "session_key_id": "AXA50x",
        "f_port": 1,
        "f_cnt": 9,
        "frm_payload": "AQIDBA==",
        "decoded_payload": {"temperature_1": 4.5, "relative_humidity_1": 81, "battery": 3.6},
        "rx_metadata": [{"gateway_ids": {"gateway_id": "gw1"}, "rssi": -35}],
        "received_at": "2025-12-31T23:59:31.012345678Z",
        "locations": {"user": {"latitude": 52.25, "longitude": 4.75, "altitude": 10, "source": "SOURCE_REGISTRY"}},
    },
}

CHIRPSTACK = {
    "deduplicationId": "3ac7e3c4-4401-4b8d-9386-a5c902f9202d",
    "time": "2025-12-31T23:59:10.123+00:00",
    "deviceInfo": {
        "applicationName": "fields",
        "deviceName": "probe",
        "devEui": "0101010101010101",
        "tags": {"latitude": "47.5", "longitude": "8.25"},
    },
    "fCnt": 10,
    "fPort": 5,
    "data": "qg==",
    "object": {"temperatureSensor": {"1": 4.25}, "humidity": 80},
    "rxInfo": [{"gatewayId": "0016c001f153a14c", "rssi": -57}],
}

MERIDIAN = {
    "sensor_id": "s-1", "region": "po", "metric": "air_temperature", "value": 4.5, "unit": "degC",
    "event_time": 1_767_225_540_000, "x": 10.5, "y": 45.25, "crs": "EPSG:4326", "quality": "ok", "battery": 3.6,
}  # fmt: skip

SAMPLES = {
    sample.adapter: sample
    for sample in (
        Sample("sensor_community", orjson.dumps(SENSOR_COMMUNITY)),
        Sample("usgs", orjson.dumps(USGS)),
        Sample(
            "ndbc",
            NDBC,
            {"stations": {"41002": {"x": -74.84, "y": 31.76}}},
            {"url": "https://www.ndbc.noaa.gov/data/realtime2/41002.txt"},
        ),
        Sample(
            "openaq",
            orjson.dumps(OPENAQ),
            {"stations": {"3920": {"x": -106.5, "y": 35.25}}},
            {"url": "https://api.openaq.org/v3/sensors/3920/measurements?limit=1"},
        ),
        Sample("sensorthings", orjson.dumps(SENSORTHINGS)),
        Sample("ngsi_ld", orjson.dumps(NGSI_LD)),
        Sample(
            "tasmota",
            orjson.dumps(TASMOTA),
            {"zone": "Europe/Berlin", "stations": {"roof": {"x": 13.5, "y": 52.5, "z": 40, "region": "berlin"}}},
            {"topic": "tele/roof/SENSOR"},
        ),
        Sample("things_stack", orjson.dumps(THINGS_STACK)),
        Sample("chirpstack", orjson.dumps(CHIRPSTACK)),
        Sample("meridian", orjson.dumps(MERIDIAN)),
    )
}
