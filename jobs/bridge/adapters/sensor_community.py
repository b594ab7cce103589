"""sensor.community API: an array of what each node measured; all numbers are text.

| feed | reading |
|---|---|
| `sensordatavalues[]` | one reading each |
| `sensordatavalues[].id` | `event_id` |
| `sensordatavalues[].value_type` | `metric` and `unit`: the table below; of another type nobody knows the unit |
| `sensordatavalues[].value` | `value`; `unavailable`, `unknown`, `nan`, empty: a missing value |
| `sensor.id` | `sensor_id`, as `sensor.community/<id>` |
| `timestamp` | `event_time`; UTC without saying so |
| `location.longitude`, `.latitude`, `.altitude` | `x`, `y`, `z` in EPSG:4326 |
| `sensor.sensor_type.name`, `location.id`, `.country`, `.indoor`, `.exact_location` | attributes |

Source: https://github.com/opendata-stuttgart/meta/wiki/EN-APIs, and the samples of the API.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from jobs.bridge.feed import Item, Payload, Reading, Unfit, load_json, unreadable
from jobs.bridge.fields import as_id, as_list, as_object, as_text
from jobs.bridge.station_feed import Measures, StationFeed, measure, wgs84

_NO_VALUE = frozenset(("", "unavailable", "unknown", "nan"))


class SensorCommunity(StationFeed):
    """Reads responses such as `/static/v2/data.json`, `/v1/sensor/<id>/` and `/v1/filter/…`."""

    name: ClassVar[str] = "sensor_community"
    own_zone: ClassVar[str | None] = "UTC"
    own_measures: ClassVar[Measures] = {
        "P0": measure("pm1", "ug/m3"),
        "P1": measure("pm10", "ug/m3"),
        "P2": measure("pm2_5", "ug/m3"),
        "P4": measure("pm4", "ug/m3"),
        "temperature": measure("air_temperature", "degC"),
        "humidity": measure("relative_humidity", "%"),
        "pressure": measure("air_pressure", "Pa"),
        "pressure_at_sealevel": measure("air_pressure_at_sea_level", "Pa"),
        "co2_ppm": measure("co2", "ppm"),
        "noise_LAeq": measure("noise_laeq", "dBA"),
        "noise_LA_min": measure("noise_la_min", "dBA"),
        "noise_LA_max": measure("noise_la_max", "dBA"),
        **dict.fromkeys(("durP1", "ratioP1", "durP2", "ratioP2", "samples", "min_micro", "max_micro"), None),
        **dict.fromkeys(("interval", "signal", "GPS_lat", "GPS_lon", "GPS_height", "GPS_date", "GPS_time"), None),
    }

    def read(self, payload: Payload) -> Iterator[Item]:
        nodes = load_json(payload.body)
        yield from self.each(
            nodes if isinstance(nodes, list) else [nodes], payload, lambda node: self._node(node, payload)
        )

    def _node(self, node: Any, payload: Payload) -> Iterator[Item]:
        node = as_object(node, "a node")
        sensor = as_object(node.get("sensor"), "sensor")
        sensor_id = as_id(sensor.get("id"), "sensor.id")
        location = as_object(node.get("location"), "location")
        found = None
        if location.get("longitude") not in (None, "") and location.get("latitude") not in (None, ""):
            found = wgs84(location["longitude"], location["latitude"], location.get("altitude"))
        common = {
            "sensor_id": f"sensor.community/{sensor_id}",
            "event_time": self.event_time(node.get("timestamp")),
            **self.place(sensor_id, payload, found),
            **_attributes(sensor, location),
        }
        for sent in as_list(node.get("sensordatavalues"), "sensordatavalues"):
            try:
                reading = self._value(sent, common)
            except Unfit as unfit:
                yield unreadable(unfit, {**node, "sensordatavalues": [sent]}, payload)
            else:
                if reading is not None:
                    yield reading

    def _value(self, sent: Any, common: Reading) -> Reading | None:
        sent = as_object(sent, "an entry of sensordatavalues")
        kind = as_text(sent.get("value_type"), "value_type")
        if self.passes_over(kind):
            return None
        metric, unit = self.measure_of(kind)
        raw = sent.get("value")
        if isinstance(raw, str) and raw.strip().lower() in _NO_VALUE:
            raw = None
        value = self.value(raw, kind)
        if value is None:
            return None
        reading = {"metric": metric, "value": value, "unit": unit, **common}
        if sent.get("id") is not None:
            reading["event_id"] = as_id(sent["id"], "sensordatavalues.id")
        return reading


def _attributes(sensor: Reading, location: Reading) -> Reading:
    kind = sensor.get("sensor_type")
    found = {
        "sensor_type": kind.get("name") if isinstance(kind, dict) else None,
        "location": location.get("id"),
        **{name: location.get(name) for name in ("country", "indoor", "exact_location")},
    }
    return {name: value for name, value in found.items() if isinstance(value, str | int)}
