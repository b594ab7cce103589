"""Meridian's own reading as JSON: one object, an array of them, or one a line.

| feed | reading |
|---|---|
| each object | one reading, as it is: the job validates it |
| fields of the context (`sensor_id`, `region`, `metric`, `unit`, from a topic's template) | what the object itself leaves out |
| station table, by `sensor_id` | `x`, `y`, `z`, `crs`, `region` of an object without a position |
| a number alone, where the context has `sensor_id` and `metric` | `value`; `event_time` is when it was received |

Source: README, "What you send".
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field

from jobs.bridge.feed import (
    Adapter,
    Item,
    Options,
    Payload,
    Reading,
    Refusal,
    SentReading,
    Unfit,
    Unreadable,
    load_json,
    unreadable,
)
from jobs.bridge.fields import as_number
from jobs.bridge.stations import StationOptions, unknown_station

MAX_DEPTH = 32  # the job refuses more

_CONTAINERS = (dict, list)  # `dict | list` would be made anew for each child
_NUMBERS = (int, float)
_FROM_CONTEXT = ("sensor_id", "region", "metric", "unit")


class MeridianOptions(StationOptions):
    units: dict[str, str] = Field(
        default={}, description="units by metric, of readings and numbers that come without one"
    )


class Meridian(Adapter):
    """Passes readings on, filled up with what the transport and the options know."""

    name: ClassVar[str] = "meridian"
    options_type: ClassVar[type[Options]] = MeridianOptions

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        if not isinstance(options, MeridianOptions):
            raise TypeError(f"{self.name}: options are {type(options).__name__}")
        self._units = options.units
        self._region = options.region
        self._stations = options.table()
        self._context: Mapping[str, str] = {}
        self._known: Mapping[str, str] = {}

    def read(self, payload: Payload) -> Iterable[Item]:
        try:
            document = load_json(payload.body)
        except Unfit:
            lines = payload.body.split(b"\n")
            if sum(1 for line in lines if line.strip()) < 2:
                raise
            return self._lines(lines, payload)
        if isinstance(document, list):
            return self._parts(document, payload)
        return (self._reading(document, payload, payload.body),)

    def _parts(self, parts: list[Any], payload: Payload) -> Iterator[Item]:
        for part in parts:
            try:
                yield self._reading(part, payload)
            except Unfit as unfit:
                yield unreadable(unfit, part, payload)

    def _lines(self, lines: list[bytes], payload: Payload) -> Iterator[Item]:
        for line in lines:
            if line.strip():
                try:
                    yield self._reading(load_json(line), payload, line)
                except Unfit as unfit:
                    yield Unreadable(unfit.reason, unfit.message, line)

    def _reading(self, part: Any, payload: Payload, encoded: bytes | None = None) -> Reading:
        """Fill a part up; with `encoded`, the JSON of it alone, it goes on as it came where nothing was left out."""
        context = payload.context
        if type(part) in _NUMBERS and {"sensor_id", "metric"} <= context.keys():
            part = {"value": as_number(part, "the payload"), "event_time": payload.received_ms}
        if not isinstance(part, dict):
            raise Unfit(Refusal.NOT_AN_OBJECT, f"a reading is an object, not {str(part)[:60]!r}")
        if (encoded is None or not _is_shallow(encoded)) and _is_deeper(part, MAX_DEPTH):
            raise Unfit(Refusal.MALFORMED, f"nested more than {MAX_DEPTH} deep")
        missing = self._missing(part, context)
        if encoded is None or missing:
            return {**part, **missing}
        sent = SentReading(part)
        sent.encoded = encoded
        return sent

    def _missing(self, part: Reading, context: Mapping[str, str]) -> Reading:
        """What transport and options know of a reading that it does not say itself."""
        if context is not self._context:  # a push has one for thousands of readings
            self._context, self._known = context, {n: context[n] for n in _FROM_CONTEXT if n in context}
        get = part.get
        missing: Reading = (
            {name: text for name, text in self._known.items() if get(name) is None} if self._known else {}
        )
        if self._units and get("unit") is None and "unit" not in missing:
            metric = missing.get("metric", get("metric"))
            if isinstance(metric, str) and metric in self._units:
                missing["unit"] = self._units[metric]
        if self._stations and get("x") is None and get("y") is None:
            place = self._place(missing.get("sensor_id", get("sensor_id")))
            missing.update({name: value for name, value in place.items() if get(name) is None and name not in missing})
        if self._region is not None and get("region") is None:
            missing.setdefault("region", self._region)
        return missing

    def _place(self, sensor_id: Any) -> Mapping[str, Any]:
        if not isinstance(sensor_id, str):
            return {}  # the job says what is missing
        place = self._stations.get(sensor_id)
        if place is None:
            raise unknown_station(sensor_id)
        return place


def _is_shallow(encoded: bytes) -> bool:
    """Whether JSON cannot be nested deeply, by its brackets; most readings have just one."""
    if encoded.rfind(b"{", 1) < 0 and b"[" not in encoded:
        return True
    return encoded.count(b"{") + encoded.count(b"[") <= MAX_DEPTH


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, _CONTAINERS)
        ]
        if not level:
            return False
    return True
