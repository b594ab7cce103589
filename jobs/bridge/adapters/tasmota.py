"""Tasmota telemetry over MQTT: `tele/<device>/SENSOR`, one object for each sensor of the device.

| feed | reading |
|---|---|
| each field of a sensor's object that the table below has | one reading |
| device of the topic (`device` or `sensor_id` of its template, else its last but one level), sensor's name | `sensor_id`, as `tasmota/<device>/<sensor>` |
| field, or `<sensor>.<field>` under `measures` | `metric` |
| `TempUnit`, `PressureUnit`, `SpeedUnit`, else the table below | `unit` |
| null | a missing value |
| `Time` | `event_time`: local time of the device without an offset, so `zone` is needed; or `Epoch` |
| station table, by device | `x`, `y`, `z`, `region` |
| `Id` | attribute `hardware_id` |

An hour that daylight saving repeats cannot be told apart in such a time: it is taken for the first of the two. Give
devices UTC (`Timezone 0`) where that matters. `Distance` has no unit of its own and is passed over until `measures`
has one. The chip's own temperature (`ESP32`) is no air temperature: see `ignore`.

Source: https://tasmota.github.io/docs/MQTT/, https://tasmota.github.io/docs/Commands/ (Timezone, SetOption8, SetOption24)
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from jobs.bridge.feed import Item, Options, Payload, Reading, Refusal, Unfit, load_json, unreadable
from jobs.bridge.fields import as_number, as_object
from jobs.bridge.station_feed import Measures, StationFeed, StationFeedOptions, measure

_UNIT_FIELDS = {"Temperature": "TempUnit", "DewPoint": "TempUnit", "Pressure": "PressureUnit"}
_UNIT_FIELDS["SeaPressure"] = "PressureUnit"


class TasmotaOptions(StationFeedOptions):
    ignore: list[str] = Field(default=["ESP32"], description="sensors that measure the device and not its surroundings")


class Tasmota(StationFeed):
    """Reads `SENSOR` messages, and the `StatusSNS` that answers `Status 10`."""

    name: ClassVar[str] = "tasmota"
    options_type: ClassVar[type[Options]] = TasmotaOptions
    own_measures: ClassVar[Measures] = {
        "Temperature": measure("air_temperature", "degC"),
        "Humidity": measure("relative_humidity", "%"),
        "DewPoint": measure("dew_point", "degC"),
        "Pressure": measure("air_pressure", "hPa"),
        "SeaPressure": measure("air_pressure_at_sea_level", "hPa"),
        "Illuminance": measure("illuminance", "lx"),
        "CarbonDioxide": measure("co2", "ppm"),
        "PM1": measure("pm1", "ug/m3"),
        "PM2.5": measure("pm2_5", "ug/m3"),
        "PM10": measure("pm10", "ug/m3"),
        "TVOC": measure("tvoc", "ppb"),
        "Moisture": measure("soil_moisture", "%"),
        "UvIndex": measure("uv_index", "UVI"),
    }

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._ignored = frozenset(options.ignore if isinstance(options, TasmotaOptions) else ())

    def read(self, payload: Payload) -> Iterator[Item]:
        message = as_object(load_json(payload.body), "the payload")
        if isinstance(message.get("StatusSNS"), dict):
            message = message["StatusSNS"]
        sensors = {name: fields for name, fields in message.items() if isinstance(fields, dict)}
        if not sensors:
            return self.no_measurement()
        device = _device(payload)
        event_time = place = None
        for sensor, fields in sensors.items():
            wanted = [] if sensor in self._ignored else self._wanted(sensor, fields)
            if not wanted:
                self.no_measurement()
                continue
            if event_time is None or place is None:
                event_time, place = self._time(message), self.place(device, payload)
            common = {"sensor_id": f"tasmota/{device}/{sensor}", "event_time": event_time, **place}
            if isinstance(fields.get("Id"), str):
                common["hardware_id"] = fields["Id"]
            for name in wanted:
                try:
                    reading = self._field(sensor, name, fields[name], message)
                except Unfit as unfit:
                    units = {k: v for k, v in message.items() if k == "Time" or k.endswith("Unit")}
                    yield unreadable(unfit, {**units, sensor: {name: fields[name]}}, payload)
                else:
                    if reading is not None:
                        yield {**reading, **common}
        return None

    def _wanted(self, sensor: str, fields: Reading) -> list[str]:
        known = self._measures
        return [name for name in fields if known.get(f"{sensor}.{name}", known.get(name)) is not None]

    def _field(self, sensor: str, name: str, raw: Any, message: Reading) -> Reading | None:
        value = self.value(None if raw is None else as_number(raw, f"{sensor}.{name}"), name)
        if value is None:
            return None
        qualified = f"{sensor}.{name}"
        unit = message.get(_UNIT_FIELDS.get(name, ""))
        metric, unit = self.measure_of(
            qualified if qualified in self._measures else name, unit if isinstance(unit, str) else None
        )
        return {"metric": metric, "value": value, "unit": unit}

    def _time(self, message: Reading) -> int:
        # A time zone in the message beats one in the options.
        return self.event_time(message["Epoch"] if type(message.get("Epoch")) is int else message.get("Time"))


def _device(payload: Payload) -> str:
    context = payload.context
    named = context.get("device") or context.get("sensor_id")
    levels = context.get("topic", "").split("/")
    if named or len(levels) >= 2:
        return named or levels[-2]
    raise Unfit(Refusal.MISSING_FIELD, "neither `device` nor a topic in the context names the device")
