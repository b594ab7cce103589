"""Check a decoded reading's fields and bring its value to the stream's unit: the stage `validate`."""

from __future__ import annotations

import math
import sys
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from udfs.reading import MAX_TEXT_LENGTH, Headers, Reading
from udfs.reasons import Reason, Rejected
from udfs.rules import StreamRule
from udfs.units import conversion, is_unit

_CACHE_SIZE = 4_096
_LARGEST = sys.float_info.max
_FIELDS = frozenset(
    (
        *("event_id", "sensor_id", "region", "metric", "value", "unit", "event_time"),
        *("x", "y", "z", "crs", "quality", "attributes"),
    )
)


class Plan(NamedTuple):
    """All that a metric and a unit decide: `value * scale + offset` is in the stream's unit."""

    stream: StreamRule
    scale: float
    offset: float
    lowest: float  # finite, so that one comparison on the good path also finds NaN and infinities
    highest: float


class Validator:
    """Validate readings against the streams of a deployment.

    Parameters
    ----------
    streams
        In order: the first one with a pattern (`fnmatch`, case-sensitive) that matches a metric takes it.
    region_required
        True where a window or the cells are keyed by region: a reading without one is then refused.

    Raises
    ------
    ValueError
        A stream's canonical unit is not known to `udfs.units`.
    """

    def __init__(self, streams: tuple[StreamRule, ...], region_required: bool = False) -> None:
        for stream in streams:
            if not is_unit(stream.unit):
                raise ValueError(f"stream {stream.name}: unit {stream.unit!r} is not known")
        self._streams = streams
        self._region_required = region_required
        self._stream_of: dict[str, StreamRule | None] = {}
        self._plans: dict[tuple[str, str], Plan] = {}

    def validate(self, record: dict[str, Any], headers: Headers) -> Reading:
        """Check one decoded record.

        A field that is null counts as absent. `sensor_id`, `crs` and `event_time` are taken from the headers when the
        value lacks them; the event time itself is read by the stage `normalise_time`. Fields that a reading does not
        have, and the entries of an object `attributes`, become the attributes; where both have a name, the field wins.

        Parameters
        ----------
        record
            Fields as decoded: numbers as numbers (text that looks like one is refused, and so is a bool), ids of 1 to
            256 characters; `value` in `unit`, `x` and `y` in the units of `crs`, (x, y) order.
        headers
            The envelope's headers. `payload_version` is carried, never judged.

        Returns
        -------
            The reading, its value in the stream's unit, within `valid_min` … `valid_max` (both included).

        Raises
        ------
        Rejected
            MISSING_FIELD, WRONG_TYPE, EMPTY_SENSOR_ID, UNKNOWN_METRIC, UNKNOWN_UNIT, INCOMPATIBLE_UNIT,
            VALUE_NOT_FINITE, VALUE_OUT_OF_RANGE, HEADER_MISMATCH, UNEXPECTED_SAMPLING.

        Source: DESIGN "Reading"; Python's fnmatch for metric patterns.
        """
        get = record.get
        fields = 8  # of the record that are accounted for; what is left over, nulls apart, is an attribute

        sensor_id = get("sensor_id")
        if sensor_id is None:
            fields -= 1
            sensor_id = headers.sensor_id
            if sensor_id is None:
                raise _missing("sensor_id")
        elif type(sensor_id) is not str or len(sensor_id) > MAX_TEXT_LENGTH:
            raise _wrong_text("sensor_id", sensor_id)
        elif not sensor_id or sensor_id.isspace():
            raise Rejected(Reason.EMPTY_SENSOR_ID, "sensor_id is empty or blank")
        elif headers.sensor_id is not None and headers.sensor_id != sensor_id:
            raise _mismatch("sensor_id", headers.sensor_id, sensor_id)

        metric, unit = get("metric"), get("unit")
        if type(metric) is not str:
            raise _wrong_text("metric", metric)
        if type(unit) is not str:
            raise _wrong_text("unit", unit)
        stream, scale, offset, lowest, highest = self.plan(metric, unit)

        sent = get("value")
        if type(sent) is not float:
            sent = _number("value", sent)
        value = sent * scale + offset
        if not lowest <= value <= highest:
            raise _wrong_value(sent, value, stream)

        x, y, z = get("x"), get("y"), get("z")
        if type(x) is not float:
            x = _number("x", x)
        if type(y) is not float:
            y = _number("y", y)
        if z is not None:
            fields += 1
            z = read_height(z)

        crs = get("crs")
        if crs is None:
            fields -= 1
            crs = headers.crs_source
            if crs is None:
                raise _missing("crs")
        elif type(crs) is not str:
            raise _wrong_text("crs", crs)
        elif headers.crs_source is not None and headers.crs_source != crs:
            _compare_crs(headers.crs_source, crs)

        event_time = get("event_time")
        if event_time is None:
            fields -= 1
            event_time = headers.event_timestamp_ms
            if event_time is None:
                raise _missing("event_time")

        region = get("region")
        if region is not None:
            fields += 1
            if type(region) is not str or len(region) > MAX_TEXT_LENGTH:
                raise _wrong_text("region", region)
        if not region:
            if self._region_required:
                raise _missing("region")
            region = ""

        event_id = get("event_id")
        if event_id is not None:
            fields += 1
            if type(event_id) is not str or len(event_id) > MAX_TEXT_LENGTH:
                raise _wrong_text("event_id", event_id)
            if not event_id or event_id.isspace():
                event_id = None  # an id that all would share identifies nothing

        quality = get("quality")
        if quality is not None:
            fields += 1
            quality = read_quality(quality)

        if headers.sampling_fraction is not None and not stream.sampled:
            message = f"a sampling fraction of {headers.sampling_fraction}; stream {stream.name} is not `sampled`"
            raise Rejected(Reason.UNEXPECTED_SAMPLING, message)
        attributes = None if len(record) == fields else read_attributes(record)
        return Reading(
            sensor_id, region, metric, stream, value, stream.unit, sent, unit,
            event_time, x, y, crs, event_id, z, quality, attributes,
        )  # fmt: skip

    def plan(self, metric: str, unit: str) -> Plan:
        """Find the stream that takes a metric, and the way of a value from a unit to the stream's.

        Parameters
        ----------
        metric, unit
            As sent.

        Returns
        -------
            The plan; the same object every time, as long as it is in use.

        Raises
        ------
        Rejected
            WRONG_TYPE (the name is too long), UNKNOWN_METRIC, UNKNOWN_UNIT, INCOMPATIBLE_UNIT.
        """
        plan = self._plans.get((metric, unit))
        if plan is None:
            if len(metric) > MAX_TEXT_LENGTH:
                raise _wrong_text("metric", metric)
            stream = self._stream(metric)
            if stream is None:
                raise Rejected(Reason.UNKNOWN_METRIC, f"no stream takes metric {metric!r}")
            scale, offset = conversion(unit, stream.unit)
            # Adding 0.0 would turn -0.0 into 0.0; adding -0.0 keeps every bit.
            offset = offset or -0.0
            plan = Plan(stream, scale, offset, max(stream.valid_min, -_LARGEST), min(stream.valid_max, _LARGEST))
            if len(self._plans) >= _CACHE_SIZE:
                self._plans.clear()
            self._plans[(metric, unit)] = plan
        return plan

    def _stream(self, metric: str) -> StreamRule | None:
        try:
            return self._stream_of[metric]
        except KeyError:
            stream = next((s for s in self._streams if any(fnmatchcase(metric, p) for p in s.metrics)), None)
            if len(self._stream_of) >= _CACHE_SIZE:
                self._stream_of.clear()
            self._stream_of[metric] = stream
            return stream


def read_height(raw: object) -> float:
    """Read `z`: a finite number; raises WRONG_TYPE, POSITION_NOT_FINITE."""
    z = raw if type(raw) is float else _number("z", raw)
    if not math.isfinite(z):
        raise Rejected(Reason.POSITION_NOT_FINITE, f"z is {z}")
    return z


def read_quality(raw: object) -> str | int | float:
    """Read `quality`: text of up to 256 characters or a finite number; raises WRONG_TYPE."""
    if type(raw) is str:
        if len(raw) > MAX_TEXT_LENGTH:
            raise _wrong_text("quality", raw)
        return raw
    if type(raw) is int or (type(raw) is float and math.isfinite(raw)):
        return raw
    raise Rejected(Reason.WRONG_TYPE, f"quality is {_kind(raw)}, neither text nor a finite number")


def read_attributes(record: dict[str, Any]) -> dict[str, Any] | None:
    """Gather what a reading does not have: fields of its own, before entries of an object `attributes`."""
    attributes = {name: value for name, value in record.items() if name not in _FIELDS}
    sent = record.get("attributes")
    if type(sent) is dict:
        attributes = {**sent, **attributes}
    elif sent is not None:
        attributes["attributes"] = sent
    return attributes or None


def _number(name: str, raw: object) -> float:
    if type(raw) is int:
        try:
            return float(raw)
        except OverflowError:
            return math.inf if raw > 0 else -math.inf  # refused as not finite, by this stage or the next
    if raw is None:
        raise _missing(name)
    raise Rejected(Reason.WRONG_TYPE, f"{name} is {_kind(raw)}, not a number")


def _missing(name: str) -> Rejected:
    return Rejected(Reason.MISSING_FIELD, f"{name} is missing")


def _wrong_text(name: str, raw: object) -> Rejected:
    if raw is None:
        return _missing(name)
    if isinstance(raw, str):
        return Rejected(Reason.WRONG_TYPE, f"{name} has {len(raw)} characters, more than {MAX_TEXT_LENGTH}")
    return Rejected(Reason.WRONG_TYPE, f"{name} is {_kind(raw)}, not text")


def _wrong_value(sent: float, value: float, stream: StreamRule) -> Rejected:
    if not math.isfinite(sent):
        return Rejected(Reason.VALUE_NOT_FINITE, f"value is {sent}")
    limits = f"{stream.valid_min} … {stream.valid_max} {stream.unit}"
    return Rejected(Reason.VALUE_OUT_OF_RANGE, f"value {value} is outside {limits} of stream {stream.name}")


def _compare_crs(header: str, value: str) -> None:
    # Spelling is no contradiction: `epsg:4326` is EPSG:4326.
    if header.strip().casefold() != value.strip().casefold():
        raise _mismatch("crs_source", header, value)


def _mismatch(name: str, header: str, value: str) -> Rejected:
    return Rejected(Reason.HEADER_MISMATCH, f"header {name} is {header[:100]!r}, the value says {value[:100]!r}")


def _kind(raw: object) -> str:
    names = {bool: "a boolean", str: "text", list: "an array", dict: "an object", int: "a number", float: "a number"}
    return names.get(type(raw), type(raw).__name__)
