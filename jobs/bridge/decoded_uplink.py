"""Decoded LoRaWAN payloads, whatever network server sends them: what a device's codec named, as readings.

A codec names its fields as it likes. The table below has what the CayenneLPP format and The Things Stack's normalised
payload call them, and the usual names of others; `measures` adds a device's own. A field of a nested object is
`outer.inner`. A field that ends in a number (`temperature_2`, or `temperatureSensor.2` of ChirpStack's CayenneLPP) is
of that channel of the device, which is a sensor of its own.

Source: https://schema.thethings.network/devicerepository/1/payload/schema (names and units),
https://docs.mydevices.com/docs/lorawan/cayenne-lpp
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from jobs.bridge.feed import Item, Payload, Reading, Unfit, unreadable
from jobs.bridge.fields import as_number
from jobs.bridge.station_feed import Measures, StationFeed, measure, wgs84

_CHANNEL = re.compile(r"(.+)[_.]([0-9]{1,3})")
_POSITIONS = ("gps", "gpsLocation", "location", "position")
_PRESSURE, _HUMIDITY, _LIGHT = (
    measure("air_pressure", "hPa"),
    measure("relative_humidity", "%"),
    measure("illuminance", "lx"),
)
_TEMPERATURE = measure("air_temperature", "degC")

DECODED_MEASURES: Measures = {
    # The Things Stack, normalised
    "air.temperature": _TEMPERATURE,
    "air.relativeHumidity": _HUMIDITY,
    "air.pressure": _PRESSURE,
    "air.co2": measure("co2", "ppm"),
    "air.lightIntensity": _LIGHT,
    "wind.speed": measure("wind_speed", "m/s"),
    "wind.direction": measure("wind_direction", "degree"),
    "soil.moisture": measure("soil_moisture", "%"),
    "soil.temperature": measure("soil_temperature", "degC"),
    "soil.ec": measure("soil_conductivity", "dS/m"),
    "soil.pH": measure("soil_ph", "pH"),
    # CayenneLPP, as The Things Stack and ChirpStack write it
    "temperature": _TEMPERATURE,
    "temperatureSensor": _TEMPERATURE,
    "relative_humidity": _HUMIDITY,
    "humiditySensor": _HUMIDITY,
    "barometric_pressure": _PRESSURE,
    "barometer": _PRESSURE,
    "luminosity": _LIGHT,
    "illuminanceSensor": _LIGHT,
    # codecs
    "humidity": _HUMIDITY,
    "pressure": _PRESSURE,
    "co2": measure("co2", "ppm"),
    "pm1_0": measure("pm1", "ug/m3"),
    "pm2_5": measure("pm2_5", "ug/m3"),
    "pm10": measure("pm10", "ug/m3"),
    "illuminance": _LIGHT,
    "illumination": _LIGHT,
}


class DecodedUplinks(StationFeed):
    """An adapter of a LoRaWAN network server; a subclass unwraps the server's own message."""

    own_measures: ClassVar[Measures] = DECODED_MEASURES

    def decoded(self, fields: Reading, common: Reading, payload: Payload) -> Iterator[Item]:
        """Give a reading for each known field of a decoded payload.

        Parameters
        ----------
        fields
            As the codec gave them.
        common
            `sensor_id`, `event_time`, the place, attributes, and where the message has an id, `event_id`: each
            reading's is that with its field's name.
        """
        measured = False
        for name, raw in _flat(fields):
            field, channel = self._known(name)
            if field is None or self.passes_over(field):
                continue
            measured = True
            try:
                value = self.value(None if raw is None else as_number(raw, name), name)
                metric, unit = self.measure_of(field)
            except Unfit as unfit:
                yield unreadable(unfit, {"sensor_id": common["sensor_id"], name: raw}, payload)
                continue
            if value is None:
                continue
            reading = {"metric": metric, "value": value, "unit": unit, **common}
            if channel is not None:
                reading["sensor_id"] = f"{common['sensor_id']}/{channel}"
            if "event_id" in common:
                reading["event_id"] = f"{common['event_id']}/{name}"
            yield reading
        if not measured:
            self.no_measurement()

    def _known(self, name: str) -> tuple[str | None, str | None]:
        if name in self._measures:
            return name, None
        match = _CHANNEL.fullmatch(name)
        if match is not None and match[1] in self._measures:
            return match[1], match[2]
        return None, None


def position_of(fields: Reading) -> Reading | None:
    """Give the position fields that a codec found in the payload itself: `latitude`, or `gps_1: {latitude: …}`."""
    candidates = [fields, *(v for k, v in fields.items() if k.rstrip("_0123456789") in _POSITIONS)]
    for found in candidates:
        while isinstance(found, dict) and len(found) == 1:  # ChirpStack's CayenneLPP has a channel in between
            found = next(iter(found.values()))
        if isinstance(found, dict) and found.get("latitude") is not None and found.get("longitude") is not None:
            return wgs84(found["longitude"], found["latitude"], found.get("altitude"))
    return None


def _flat(fields: Reading) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            for inner, leaf in value.items():
                yield f"{name}.{inner}", leaf
        else:
            yield name, value
