"""NGSI-LD and NGSIv2 entities: normalised, concise or key-values, as GeoJSON features, alone or in a notification.

| feed | reading |
|---|---|
| each attribute of the table below that an entity has | one reading; one for each instance of a multi-attribute |
| its `value` (`instValue` of an object), or the attribute itself | `value`; null: a missing value |
| its `unitCode`, `metadata.unitCode.value`, else the table below | `unit` (UN/CEFACT recommendation 20, or as sent) |
| its `observedAt`, else `dateObserved`, `dateObservedFrom`, `observationDateTime` of the entity | `event_time`; of an interval its start |
| `refDevice`, `refPointOfInterest`, else `id`, as `sensor` of the options orders them | `sensor_id`; the id of an observation is often new each time |
| `location`, else the feature's `geometry`; a point | `x`, `y`, `z` in EPSG:4326 |
| `type`, `id` | attributes `entity_type`, `entity_id` |

In an entity whose type begins with `Water`, `temperature` is the water's; only there `height` and `flow` are a gauge's.

Source: ETSI GS CIM 009 "NGSI-LD API" §4.5, §5.2.31 (Notification); FIWARE NGSIv2; https://smartdatamodels.org,
data model Environment; https://unece.org/trade/documents/revision-17-annexes-i-iii (unit codes)
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field

from jobs.bridge.feed import Item, Options, Payload, Reading, Unfit, load_json, unreadable
from jobs.bridge.fields import as_id, as_list, as_number, as_object, as_text
from jobs.bridge.station_feed import Measures, StationFeed, StationFeedOptions, geojson_point, measure

_TIMES = ("dateObserved", "dateObservedFrom", "observationDateTime")
_GASES = ("co", "co2", "no", "no2", "nox", "so2", "o3", "nh3", "h2s", "benzene", "toluene")
_WATER = "Water"
_OF_WATER = ("height", "flow")  # a building has a height too
_PARTICLES = {"pm1": "pm1", "pm25": "pm2_5", "pm4": "pm4", "pm10": "pm10", "tsp": "tsp"}


class NgsiLdOptions(StationFeedOptions):
    sensor: list[str] = Field(
        ["refDevice", "refPointOfInterest", "id"], min_length=1, description="attributes that name the sensor, in order"
    )


class NgsiLd(StationFeed):
    """Reads entities as a context broker sends them, by query or by subscription."""

    name: ClassVar[str] = "ngsi_ld"
    options_type: ClassVar[type[Options]] = NgsiLdOptions
    own_measures: ClassVar[Measures] = {
        "temperature": measure("air_temperature", "degC"),
        "airTemperatureTSA": measure("air_temperature", "degC"),
        "relativeHumidity": measure("relative_humidity", "1"),
        "atmosphericPressure": measure("air_pressure", "hPa"),
        "atmosphericPressureTSA": measure("air_pressure", "hPa"),
        "windSpeed": measure("wind_speed", "m/s"),
        "windDirection": measure("wind_direction", "degree"),
        "precipitation": measure("precipitation", "mm"),
        "solarRadiation": measure("solar_radiation", "W/m2"),
        "LAeq": measure("noise_laeq", "dBA"),
        "LAeq_d": measure("noise_laeq_day", "dBA"),
        "LAmax": measure("noise_la_max", "dBA"),
        "LAS": measure("noise_las", "dBA"),
        "height": measure("water_level", "m"),
        "flow": measure("discharge", "m3/s"),
        **{name: measure(name) for name in _GASES},  # no common unit: theirs must be sent, or be an option
        **{name: measure(metric, "ug/m3") for name, metric in _PARTICLES.items()},
    }

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._sensor = options.sensor if isinstance(options, NgsiLdOptions) else ["id"]

    def read(self, payload: Payload) -> Iterator[Item]:
        document = load_json(payload.body)
        if isinstance(document, dict):
            # A notification has `data`, a GeoJSON collection `features`; an entity may have neither.
            document = next(
                (document[k] for k in ("data", "features") if isinstance(document.get(k), list)), [document]
            )
        entities = as_list(document, "the payload")
        yield from self.each(entities, payload, lambda entity: self._entity(entity, payload))

    def _entity(self, entity: Any, payload: Payload) -> Iterator[Item]:
        entity = as_object(entity, "an entity")
        if entity.get("type") == "Feature":
            inner = as_object(entity.get("properties"), "properties")
            entity = {"location": entity.get("geometry"), **inner, "id": entity.get("id")}
        kind = entity.get("type")
        wanted = [name for name in entity if self._is_measured(name, kind) and not self.passes_over(name)]
        if not wanted:
            return self.no_measurement()
        kind = as_text(kind, "type")
        sensor_id = self._sensor_id(entity)
        location = _value_of(entity.get("location"))
        found = None if location is None else geojson_point(location)
        common = {
            "sensor_id": sensor_id,
            **self.place(sensor_id, payload, found),
            "entity_type": kind,
            "entity_id": as_id(entity.get("id"), "id"),
        }
        for name in wanted:
            sent = entity[name]
            for instance in sent if isinstance(sent, list) else [sent]:
                try:
                    reading = self._attribute(name, instance, kind, entity)
                except Unfit as unfit:
                    yield unreadable(unfit, _only(entity, name, instance), payload)
                else:
                    if reading is not None:
                        yield {**reading, **common}
        return None

    def _is_measured(self, name: str, kind: Any) -> bool:
        if name in _OF_WATER and name not in self.overridden:
            return isinstance(kind, str) and kind.startswith(_WATER)
        return name in self._measures

    def _attribute(self, name: str, attribute: Any, kind: str, entity: Reading) -> Reading | None:
        raw = _value_of(attribute)
        if isinstance(raw, dict) and "instValue" in raw:
            raw = raw["instValue"]
        value = self.value(None if raw is None else as_number(raw, name), name)
        if value is None:
            return None
        metric, unit = self.measure_of(name, _unit_of(attribute))
        if name == "temperature" and kind.startswith(_WATER) and metric == "air_temperature":
            metric = "water_temperature"
        observed_at = attribute.get("observedAt") if isinstance(attribute, dict) else None
        return {"metric": metric, "value": value, "unit": unit, "event_time": self._time(observed_at, entity)}

    def _time(self, observed_at: Any, entity: Reading) -> int:
        candidates = (observed_at, *(entity.get(name) for name in _TIMES))
        raw = next((text for text in map(_time_text, candidates) if text is not None), None)
        return self.event_time(raw)

    def _sensor_id(self, entity: Reading) -> str:
        for name in self._sensor:
            raw = _value_of(entity.get(name))
            if isinstance(raw, list) and len(raw) == 1:
                raw = raw[0]
            if raw not in (None, "") and not isinstance(raw, list | dict):
                return as_id(raw, name)
        return as_id(None, f"what names the sensor ({', '.join(self._sensor)})")


def _value_of(attribute: Any) -> Any:
    """The value of an attribute in any representation; JSON-LD's `@value` too."""
    for _ in range(2):
        if not isinstance(attribute, dict):
            return attribute
        inner = next((k for k in ("value", "@value", "object") if k in attribute), None)
        if inner is None:
            return attribute
        attribute = attribute[inner]
    return attribute


def _time_text(attribute: Any) -> str | None:
    text = _value_of(attribute)
    return text.partition("/")[0] if isinstance(text, str) and text else None


def _unit_of(attribute: Any) -> str | None:
    if not isinstance(attribute, dict):
        return None
    metadata = attribute.get("metadata")
    unit = attribute.get("unitCode") or (metadata.get("unitCode") if isinstance(metadata, dict) else None)
    unit = _value_of(unit)
    return unit if isinstance(unit, str) and unit else None


def _only(entity: Mapping[str, Any], name: str, instance: Any) -> Reading:
    """An entity with one measured attribute: what could be sent again."""
    kept = ("id", "type", "location", *_TIMES, "refDevice", "refPointOfInterest")
    return {**{k: entity[k] for k in kept if k in entity}, name: instance}
