"""OGC SensorThings: Observations as REST pages, data arrays, with their Datastream expanded or over MQTT.

| feed | reading |
|---|---|
| each Observation of `value[]`, of a Datastream's `Observations[]`, of a `dataArray`, or one alone | one reading |
| `@iot.id` | `event_id` |
| `result` | `value`; null: a missing value; an array or text is no reading |
| `phenomenonTime` | `event_time`: of an interval its start; without one `resultTime` |
| `Datastream.@iot.id`, else the `Datastreams(<id>)` of a link, the topic or the URL | which Datastream it is of |
| `Datastream.Thing.@iot.id`, else the Datastream | `sensor_id`, as `sensorthings/thing/<id>` or `sensorthings/<id>` |
| `Datastream.ObservedProperty.name`, else its `name` | `metric`: by `measures`, or in lower case with `_` |
| `Datastream.unitOfMeasurement` | `unit`: the UCUM code of `definition`, else `symbol`, else `name` |
| `FeatureOfInterest.feature`, `Datastream.Thing.Locations[0].location`, `Datastream.observedArea` | `x`, `y`, `z`: the first that is a point |
| `resultQuality` | `quality`, where it is text or a number |
| `datastreams` of the options | all of the Datastream that the payload leaves out, as over MQTT |

Source: OGC 18-088 "SensorThings API Part 1: Sensing 1.1" §8.2 (entities), §11 (dataArray), §14 (MQTT); https://ucum.org/ucum
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from jobs.bridge.feed import Item, Options, Payload, Reading, Refusal, Unfit, load_json
from jobs.bridge.fields import as_id, as_list, as_object, as_text
from jobs.bridge.station_feed import Measures, StationFeed, StationFeedOptions, geojson_point
from jobs.bridge.ucum import unit_text
from udfs.units import is_unit

_DATASTREAM = re.compile(r"(?:Multi)?Datastreams\('?([^')]{1,200})'?\)")
_NOT_NAME = re.compile(r"[^a-z0-9]+")


class Datastream(BaseModel):
    """What a payload does not say of a Datastream; its place is in `stations`, under the Datastream's id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sensor_id: str | None = None
    metric: str | None = None
    unit: str | None = None


class SensorThingsOptions(StationFeedOptions):
    datastreams: dict[str, Datastream] = Field(default={}, description="by id, for observations that come without it")


class SensorThings(StationFeed):
    """Reads what `…/Observations` and `…/Datastreams?$expand=Observations` answer, and MQTT messages of the former."""

    name: ClassVar[str] = "sensorthings"
    options_type: ClassVar[type[Options]] = SensorThingsOptions
    own_measures: ClassVar[Measures] = {}

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._datastreams = options.datastreams if isinstance(options, SensorThingsOptions) else {}

    def read(self, payload: Payload) -> Iterator[Item]:
        document = load_json(payload.body)
        if isinstance(document, dict):
            entities = as_list(document["value"], "value") if "value" in document else [document]
        else:
            entities = as_list(document, "the payload")
        yield from self.each(entities, payload, lambda entity: self._entity(entity, payload))

    def _entity(self, entity: Any, payload: Payload) -> Iterator[Item]:
        entity = as_object(entity, "an entity")
        if "dataArray" in entity:
            components = [as_text(c, "a component") for c in as_list(entity.get("components"), "components")]
            rows = as_list(entity["dataArray"], "dataArray")
            yield from self.each(rows, payload, lambda row: self._row(row, components, entity, payload))
        elif "Observations" in entity:
            observations = as_list(entity["Observations"], "Observations")
            datastream = {k: v for k, v in entity.items() if k != "Observations"}
            yield from self.each(observations, payload, lambda one: self._observation(one, datastream, payload))
        elif "result" in entity:
            yield from self._observation(entity, entity.get("Datastream"), payload)
        else:
            self.no_measurement()  # a Thing, a Location, a Datastream by itself

    def _row(self, row: Any, components: list[str], array: Reading, payload: Payload) -> Iterator[Item]:
        cells = as_list(row, "a row of dataArray")
        if len(cells) != len(components):
            raise Unfit(Refusal.WRONG_TYPE, f"a row of {len(cells)} under {len(components)} components")
        observation = dict(zip(components, cells, strict=True))
        observation["@iot.id"] = observation.pop("id", None)
        link = {name: array[name] for name in array if name.endswith("@iot.navigationLink")}
        return self._observation({**link, **observation}, array.get("Datastream"), payload)

    def _observation(self, observation: Any, datastream: Any, payload: Payload) -> Iterator[Item]:
        observation = as_object(observation, "an Observation")
        datastream = datastream if isinstance(datastream, dict) else {}
        stream_id = _datastream_id(observation, datastream, payload)
        listed = self._datastreams.get(stream_id, Datastream())
        result = observation.get("result")
        if isinstance(result, str | list | dict | bool):
            # as_decimal would read numbers in text, which a category such as "3" is not
            raise Unfit(Refusal.WRONG_TYPE, f"result is {str(result)[:60]!r}, not a number")
        prop = datastream.get("ObservedProperty")
        names = (listed.metric, prop.get("name") if isinstance(prop, dict) else None, datastream.get("name"))
        field = as_text(next((n for n in names if n), None), "the ObservedProperty, or a `metric` of the options,")
        if self.passes_over(field):
            return
        value = self.value(result, "result")
        if value is None:
            return
        metric, unit = self.measure_of(field, listed.unit or _unit(datastream))
        if metric == field != listed.metric:  # the feed's own name, such as `Air Temperature`
            metric = _NOT_NAME.sub("_", metric.lower()).strip("_") or metric
        sensor_id, place = self._where(observation, datastream, stream_id, payload)
        reading = {
            "sensor_id": listed.sensor_id or sensor_id,
            "metric": metric,
            "value": value,
            "unit": unit,
            "event_time": self._time(observation),
            **place,
            "datastream": stream_id,
        }
        if observation.get("@iot.id") is not None:
            reading["event_id"] = as_id(observation["@iot.id"], "@iot.id")
        quality = observation.get("resultQuality")
        if type(quality) in (str, int, float) and quality != "":
            reading["quality"] = quality
        yield reading

    def _time(self, observation: Reading) -> int:
        raw = observation.get("phenomenonTime") or observation.get("resultTime")
        return self.event_time(raw.partition("/")[0] if isinstance(raw, str) else raw)

    def _where(
        self, observation: Reading, datastream: Reading, stream_id: str, payload: Payload
    ) -> tuple[str, Reading]:
        thing = datastream.get("Thing")
        thing = thing if isinstance(thing, dict) else {}
        thing_id = thing.get("@iot.id")
        feature = observation.get("FeatureOfInterest")
        locations = thing.get("Locations")
        location = locations[0] if isinstance(locations, list) and locations else None
        candidates = (
            feature.get("feature") if isinstance(feature, dict) else None,
            location.get("location") if isinstance(location, dict) else None,
            datastream.get("observedArea"),
        )
        points = (geojson_point(geometry) for geometry in candidates if geometry is not None)
        found = next((point for point in points if point is not None), None)
        sensor_id = f"sensorthings/{stream_id}"
        if thing_id is not None:
            sensor_id = f"sensorthings/thing/{as_id(thing_id, 'Thing.@iot.id')}"
        return sensor_id, self.place(stream_id, payload, found)


def _datastream_id(observation: Reading, datastream: Reading, payload: Payload) -> str:
    if datastream.get("@iot.id") is not None:
        return as_id(datastream["@iot.id"], "Datastream.@iot.id")
    links = (
        observation.get("Datastream@iot.navigationLink"),
        payload.context.get("topic"),
        payload.context.get("url"),
    )
    for link in links:
        match = _DATASTREAM.search(link) if isinstance(link, str) else None
        if match is not None:
            return match[1]
    raise Unfit(Refusal.MISSING_FIELD, "nothing says which Datastream it is of: expand it, or give the topic")


def _unit(datastream: Reading) -> str | None:
    """The first of definition, symbol and name that is a unit; else the symbol, for the job to refuse by name."""
    unit = datastream.get("unitOfMeasurement")
    if not isinstance(unit, dict):
        return None
    sent = [unit.get(name) for name in ("definition", "symbol", "name")]
    texts = [unit_text(text) for text in sent if isinstance(text, str) and text]
    return next((text for text in texts if is_unit(text)), texts[1] if len(texts) > 1 else None)
