"""How the field's readings look on the wire, and what names them there and in the topics: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from itertools import groupby
from typing import Any

import orjson
import xxhash

from jobs.field.plan import Fate, Reading, Transport

_CET = timezone(timedelta(hours=1))


def sensor_reading(reading: Reading, begin_ms: int, *, whole: bool) -> bytes:
    """A reading as Meridian's own JSON; what is broken is cut in half.

    Parameters
    ----------
    whole
        With sensor, region and metric, which over MQTT the topic tells.
    """
    station = reading.station
    event_ms = begin_ms + reading.event_ms
    named = {"sensor_id": station.sensor_id, "region": station.region, "metric": station.metric} if whole else {}
    body = {
        "event_id": f"{station.sensor_id}-{event_ms}",
        "value": reading.value,
        "unit": "bananas" if reading.fate is Fate.UNKNOWN_UNIT else station.unit,
        "event_time": event_ms,
        "x": station.lon_deg,
        "y": station.lat_deg,
        "crs": "EPSG:4326",
        **named,
    }
    encoded = orjson.dumps(body)
    return encoded[: len(encoded) // 2] if reading.fate is Fate.BROKEN else encoded


def mqtt_topic(reading: Reading) -> str:
    station = reading.station
    return f"site/{station.region}/{station.sensor_id}/{station.metric}"


def traceparent(reading: Reading, begin_ms: int) -> str:
    """The W3C trace that a device begins with this reading; the same for a repeat."""
    digest = xxhash.xxh3_128_hexdigest(f"{reading.station.sensor_id} {begin_ms + reading.event_ms}".encode())
    return f"00-{digest}-{digest[:16]}-01"


def usgs_page(readings: Iterable[Reading], begin_ms: int) -> bytes:
    """River gauges as USGS sends instantaneous values."""
    ordered = sorted(readings, key=lambda reading: (reading.station.number, reading.event_ms))
    series = [_usgs_series(list(group), begin_ms) for _, group in groupby(ordered, lambda r: r.station.number)]
    return orjson.dumps({"name": "ns1:timeSeriesResponseType", "value": {"timeSeries": series}})


def _usgs_series(readings: Sequence[Reading], begin_ms: int) -> dict[str, Any]:
    station = readings[0].station
    place = {"srs": "EPSG:4326", "latitude": station.lat_deg, "longitude": station.lon_deg}
    points = [
        {"value": str(reading.value), "qualifiers": ["P"], "dateTime": _iso(begin_ms + reading.event_ms, _CET)}
        for reading in readings
    ]
    return {
        "sourceInfo": {
            "siteName": f"GAUGE {station.number}",
            "siteCode": [{"value": station.sensor_id.removeprefix("usgs/"), "agencyCode": "USGS"}],
            "geoLocation": {"geogLocation": place},
        },
        "variable": {
            "variableCode": [{"value": "00065"}],
            "unit": {"unitCode": station.unit},
            "noDataValue": -999999.0,
        },
        "values": [{"value": points, "method": [{"methodDescription": "", "methodID": station.number}]}],
    }


def sensorthings_page(readings: Iterable[Reading], begin_ms: int, next_link: str | None) -> bytes:
    """Dust sensors as OGC SensorThings Observations, each with its Datastream."""
    page: dict[str, Any] = {"value": [_observation(reading, begin_ms) for reading in readings]}
    if next_link is not None:
        page["@iot.nextLink"] = next_link
    return orjson.dumps(page)


def _observation(reading: Reading, begin_ms: int) -> dict[str, Any]:
    station = reading.station
    event_ms = begin_ms + reading.event_ms
    return {
        "@iot.id": f"{station.number}-{event_ms}",
        "phenomenonTime": _iso(event_ms, UTC),
        "result": reading.value,
        "Datastream": {
            "@iot.id": station.number,
            "name": f"dust {station.number}",
            "unitOfMeasurement": {"name": "microgram per cubic metre", "symbol": station.unit, "definition": ""},
            "ObservedProperty": {"name": station.metric},
            "Thing": {"@iot.id": station.number},
            "observedArea": {"type": "Point", "coordinates": [station.lon_deg, station.lat_deg]},
        },
    }


def _iso(epoch_ms: int, zone: timezone) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, zone).isoformat(timespec="milliseconds")


def identity(sensor_id: str, metric: str, event_ms: int) -> str:
    return f"{sensor_id} {metric} {event_ms}"


def identity_of(body: bytes) -> str:
    """What names a raw record: sensor, metric and time of a reading, else the digest of its bytes."""
    try:
        reading = orjson.loads(body)
        return identity(reading["sensor_id"], reading["metric"], reading["event_time"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return sha256(body).hexdigest()


def ledger(planned: dict[Transport, list[Reading]], begin_ms: int) -> dict[Transport, dict[str, Fate]]:
    """What must become of everything that is sent, by transport and identity."""
    return {
        transport: {_sent_identity(transport, reading, begin_ms): reading.fate for reading in readings}
        for transport, readings in planned.items()
    }


def _sent_identity(transport: Transport, reading: Reading, begin_ms: int) -> str:
    if reading.fate is Fate.BROKEN:
        return sha256(sensor_reading(reading, begin_ms, whole=transport is Transport.PUSH)).hexdigest()
    return identity(reading.station.sensor_id, reading.station.metric, begin_ms + reading.event_ms)
