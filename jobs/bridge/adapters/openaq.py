"""OpenAQ API v3: measurements of a sensor, sensors of a location, latest values.

| feed, below `results[]` | reading |
|---|---|
| `/sensors/<id>/measurements`, `/hours`: each result | one reading |
| `/locations/<id>/sensors`, `/sensors/<id>`: `latest` of each result | one reading |
| `/locations/<id>/latest`, `/parameters/<id>/latest`: each result | one reading, for sensors listed under `sensors` |
| `<id>` of the URL, `id`, `sensorsId` | `sensor_id`, as `openaq/<id>` |
| `parameter.name` | `metric`: the table below, or its own name |
| `parameter.units` | `unit` |
| `value` | `value`; null, -999, -9999: a missing value |
| `period.datetimeFrom.utc` | `event_time`: the start of the averaging period |
| `latest.datetime.utc`, `datetime.utc` | `event_time`: it names the period's end, so `latest_period` is taken off |
| `coordinates`, else the station table (by sensor id) | `x`, `y` in EPSG:4326 |
| `period.label`, `coverage.percentCoverage`, `locationsId` | attributes `period`, `coverage_percent`, `location` |

Source: https://docs.openaq.org/resources/measurements, https://docs.openaq.org/resources/latest,
https://docs.openaq.org/about/dates-datetimes-and-timezones
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from jobs.bridge.feed import Item, Options, Payload, Reading, load_json
from jobs.bridge.fields import as_id, as_list, as_object, as_text, shifted
from jobs.bridge.station_feed import Measure, Measures, StationFeed, StationFeedOptions, measure, wgs84
from jobs.pipeline.durations import DurationMs

_SENSOR_OF_URL = re.compile(r"/sensors/([0-9]+)(?:[/?]|$)")
_UNITS = {"c": "degC", "f": "degF", "hpa": "hPa", "mb": "mbar"}


class OpenAqOptions(StationFeedOptions):
    latest_period: DurationMs = Field(default=3_600_000, description="length of the interval that a `latest` closes")
    sensors: dict[str, Measure] = Field(
        default={}, description="what the sensors of `latest` results measure, by their id"
    )


class OpenAq(StationFeed):
    """Reads responses of `https://api.openaq.org/v3`."""

    name: ClassVar[str] = "openaq"
    options_type: ClassVar[type[Options]] = OpenAqOptions
    own_missing: ClassVar[tuple[float, ...]] = (-999.0, -9999.0)
    own_measures: ClassVar[Measures] = {
        "pm1": measure("pm1"),
        "pm25": measure("pm2_5"),
        "temperature": measure("air_temperature"),
        "relativehumidity": measure("relative_humidity"),
        "pressure": measure("air_pressure"),
    }

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        if not isinstance(options, OpenAqOptions):
            raise TypeError(f"{self.name}: options are {type(options).__name__}")
        self._latest_period_ms = options.latest_period
        self._sensors = options.sensors

    def read(self, payload: Payload) -> Iterator[Item]:
        document = as_object(load_json(payload.body), "the payload")
        results = as_list(document["results"], "results") if "results" in document else [document]
        yield from self.each(results, payload, lambda result: self._result(result, payload))

    def _result(self, result: Any, payload: Payload) -> Iterator[Item]:
        result = as_object(result, "a result")
        if "period" in result:
            reading = self._measurement(result, payload)
        elif "sensorsId" in result:
            sensor = as_id(result["sensorsId"], "sensorsId")
            reading = self._latest(result, sensor, *self._listed(sensor), payload)
        elif "parameter" in result:
            if not isinstance(result.get("latest"), dict):
                return self.no_measurement()  # a sensor that has not measured yet
            sensor = as_id(result.get("id"), "id")
            if self.passes_over(_parameter_name(result)):
                return None
            reading = self._latest(result["latest"], sensor, *self._parameter(result), payload)
        else:
            return self.no_measurement()  # a location, a parameter, …
        if reading is not None:
            yield reading
        return None

    def _measurement(self, result: Reading, payload: Payload) -> Reading | None:
        if self.passes_over(_parameter_name(result)):
            return None
        value = self.value(result.get("value"), "value")
        if value is None:
            return None
        period = as_object(result["period"], "period")
        sensor = payload.context.get("sensor_id") or _sensor_of(payload.context.get("url", ""))
        sensor = as_text(sensor, "the sensor's id, in the URL or the context,")
        metric, unit = self._parameter(result)
        start = as_object(period.get("datetimeFrom"), "period.datetimeFrom")
        reading = {
            "sensor_id": f"openaq/{sensor}",
            "metric": metric,
            "value": value,
            "unit": unit,
            "event_time": self.event_time(start.get("utc")),
            **self.place(sensor, payload, _position(result)),
        }
        coverage = result.get("coverage")
        percent = coverage.get("percentCoverage") if isinstance(coverage, dict) else None
        if isinstance(period.get("label"), str):
            reading["period"] = period["label"]
        if type(percent) in (int, float):
            reading["coverage_percent"] = percent
        return reading

    def _latest(self, latest: Reading, sensor: str, metric: str, unit: str, payload: Payload) -> Reading | None:
        value = self.value(latest.get("value"), "value")
        if value is None:
            return None
        moment = as_object(latest.get("datetime"), "datetime")
        reading = {
            "sensor_id": f"openaq/{sensor}",
            "metric": metric,
            "value": value,
            "unit": unit,
            "event_time": shifted(self.event_time(moment.get("utc")), self._latest_period_ms),
            **self.place(sensor, payload, _position(latest)),
        }
        if type(latest.get("locationsId")) is int:
            reading["location"] = latest["locationsId"]
        return reading

    def _parameter(self, result: Reading) -> tuple[str, str]:
        units = as_text(as_object(result.get("parameter"), "parameter").get("units"), "parameter.units")
        return self.measure_of(_parameter_name(result), _UNITS.get(units, units))

    def _listed(self, sensor: str) -> tuple[str, str]:
        found = self._sensors.get(sensor)
        return self.measure_of(f"sensor {sensor}") if found is None else (found.metric, found.unit or "")


def _parameter_name(result: Reading) -> str:
    return as_text(as_object(result.get("parameter"), "parameter").get("name"), "parameter.name")


def _position(result: Reading) -> Reading | None:
    found = result.get("coordinates")
    if not isinstance(found, dict) or found.get("latitude") is None or found.get("longitude") is None:
        return None
    return wgs84(found["longitude"], found["latitude"])


def _sensor_of(url: str) -> str | None:
    match = _SENSOR_OF_URL.search(url)
    return None if match is None else match[1]
