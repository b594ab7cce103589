"""USGS instantaneous values, JSON (WaterML 1.1 as JSON): time series of gauges.

| feed, below `value.timeSeries[]` | reading |
|---|---|
| `values[].value[]` | one reading each |
| `sourceInfo.siteCode[0].value` | `sensor_id`, as `usgs/<site>`; with `/<method>` where the method has a description, since a site then has several sensors of one kind |
| `variable.variableCode[0].value` | `metric`: the table below; another parameter is `usgs_<code>` |
| `variable.unit.unitCode` | `unit`, as sent |
| `value` | `value` (text); equal to `variable.noDataValue` (-999999) or empty: a missing value |
| `dateTime` | `event_time`; the local offset is in it |
| `qualifiers` | `quality`: `P`, `A`, …, joined by a blank |
| `sourceInfo.geoLocation.geogLocation` | `x`, `y` in its `srs` |
| `hucCd` of `sourceInfo.siteProperty` | attribute `huc`, the watershed |
| `sourceInfo.siteName`, `method[0].methodID` | attributes `site_name`, `method_id` |

Source: https://waterservices.usgs.gov/docs/instantaneous-values/, https://help.waterdata.usgs.gov/codes-and-parameters
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from jobs.bridge.feed import Item, Payload, Reading, Unfit, load_json, unreadable
from jobs.bridge.fields import as_decimal, as_id, as_list, as_object, as_text
from jobs.bridge.station_feed import Measures, StationFeed, measure, wgs84


class Usgs(StationFeed):
    """Reads responses of `https://waterservices.usgs.gov/nwis/iv/?format=json`."""

    name: ClassVar[str] = "usgs"
    own_measures: ClassVar[Measures] = {
        "00010": measure("water_temperature"),
        "00020": measure("air_temperature"),
        "00025": measure("air_pressure"),
        "00035": measure("wind_speed"),
        "00036": measure("wind_direction"),
        "00045": measure("precipitation"),
        "00052": measure("relative_humidity"),
        "00060": measure("discharge"),
        "00065": measure("water_level"),
        "00095": measure("specific_conductance"),
        "00300": measure("dissolved_oxygen"),
        "00400": measure("ph"),
        "63680": measure("turbidity"),
        "72019": measure("groundwater_depth"),
        "99133": measure("nitrate"),
    }

    def read(self, payload: Payload) -> Iterator[Item]:
        document = as_object(load_json(payload.body), "the payload")
        series = as_list(as_object(document.get("value"), "value").get("timeSeries"), "value.timeSeries")
        yield from self.each(series, payload, lambda one: self._series(one, payload))

    def _series(self, series: Any, payload: Payload) -> Iterator[Item]:
        series = as_object(series, "a time series")
        source = as_object(series.get("sourceInfo"), "sourceInfo")
        variable = as_object(series.get("variable"), "variable")
        site = as_id(_first(source, "siteCode").get("value"), "siteCode.value")
        code = as_id(_first(variable, "variableCode").get("value"), "variableCode.value")
        if self.passes_over(code):
            return
        sent_unit = as_text(as_object(variable.get("unit"), "unit").get("unitCode"), "unitCode")
        metric, unit = self.measure_of(code, sent_unit)
        common = {
            "sensor_id": f"usgs/{site}",
            "metric": f"usgs_{code}" if metric == code else metric,
            "unit": unit,
            **self.place(site, payload, _position(source)),
            **_attributes(source),
        }
        missing = None if variable.get("noDataValue") is None else as_decimal(variable["noDataValue"], "noDataValue")
        for block in as_list(series.get("values"), "values"):
            block = as_object(block, "an entry of values")
            of_method = {**common, **_method(block, common["sensor_id"])}
            for point in as_list(block.get("value"), "values.value"):
                try:
                    reading = self._point(point, of_method, missing)
                except Unfit as unfit:
                    # With all that names it: a point alone could not be replayed.
                    yield unreadable(unfit, {**series, "values": [{**block, "value": [point]}]}, payload)
                else:
                    if reading is not None:
                        yield reading

    def _point(self, point: Any, common: Reading, missing: float | None) -> Reading | None:
        point = as_object(point, "a value")
        value = self.value(point.get("value"), "value", missing)
        if value is None:
            return None
        reading = {**common, "value": value, "event_time": self.event_time(point.get("dateTime"))}
        qualifiers = point.get("qualifiers")
        if isinstance(qualifiers, list) and qualifiers:
            reading["quality"] = " ".join(str(q) for q in qualifiers)[:256]
        return reading


def _first(parent: Reading, name: str) -> Reading:
    entries = as_list(parent.get(name), name)
    return as_object(entries[0] if entries else None, name)


def _position(source: Reading) -> Reading | None:
    place = source.get("geoLocation")
    if not isinstance(place, dict) or not isinstance(place.get("geogLocation"), dict):
        return None
    found = place["geogLocation"]
    position = wgs84(found.get("longitude"), found.get("latitude"))
    return {**position, "crs": as_text(found["srs"], "srs")} if found.get("srs") else position


def _attributes(source: Reading) -> Reading:
    attributes: Reading = {}
    properties = source.get("siteProperty")
    for entry in properties if isinstance(properties, list) else ():
        if isinstance(entry, dict) and entry.get("name") == "hucCd" and isinstance(entry.get("value"), str):
            attributes["huc"] = entry["value"]
    if isinstance(source.get("siteName"), str):
        attributes["site_name"] = source["siteName"]
    return attributes


def _method(block: Reading, sensor_id: str) -> Reading:
    methods = block.get("method")
    method = methods[0] if isinstance(methods, list) and methods and isinstance(methods[0], dict) else {}
    method_id, description = method.get("methodID"), method.get("methodDescription")
    if type(method_id) is not int:
        return {}
    if isinstance(description, str) and description.strip():
        return {"sensor_id": f"{sensor_id}/{method_id}", "method_id": method_id, "method": description}
    return {"method_id": method_id}
