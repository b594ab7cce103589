"""What adapters of feeds of stations share: a table of measures, a zone, hour-ending stamps, missing values, places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from jobs.bridge.feed import Adapter, Item, Options, PassedOver, Payload, Reading, Refusal, Unfit, unreadable
from jobs.bridge.fields import as_decimal, as_event_time, shifted
from jobs.bridge.stations import StationOptions, unknown_station
from jobs.pipeline.durations import DurationMs
from jobs.pipeline.zone import ZoneName
from udfs.units import is_unit


class Measure(BaseModel):
    """What a field of a feed measures."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = Field(min_length=1, max_length=256)
    unit: str | None = Field(default=None, description="none: the payload names it")

    @field_validator("unit")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and not is_unit(value):
            raise ValueError("a unit such as degC, ug/m3, m, m3/s, hPa, % or 1")
        return value


def measure(metric: str, unit: str | None = None) -> Measure:
    """Write a row of an adapter's own table, whose units tests check."""
    return Measure.model_construct(metric=metric, unit=unit)


Measures = Mapping[str, Measure | None]
"""By the feed's name of a field; None for what measures nothing that a stream could hold."""


class StationFeedOptions(StationOptions):
    """Options that every feed of stations takes."""

    zone: ZoneName | None = Field(
        default=None, description="tz database name, for times without an offset; none: the feed's own"
    )
    interval_label: Literal["starting", "ending"] = Field(
        default="starting", description="which end of an interval its times name"
    )
    period: DurationMs | None = Field(default=None, description="length of the interval that an ending time closes")
    measures: dict[str, Measure | None] = Field(
        default={}, description="field: {metric, unit}; null passes the field over"
    )
    missing: list[float] | None = Field(
        default=None, description="numbers that stand for no value; none: the feed's own"
    )

    @model_validator(mode="after")
    def _consistent(self) -> StationFeedOptions:
        if (self.interval_label == "ending") != (self.period is not None):
            raise ValueError("period: exactly with `interval_label: ending`; times are moved to the interval's start")
        self.table()  # a station file that cannot be read is a wrong option, not a surprise at the first payload
        return self


class StationFeed(Adapter):
    """An adapter with the shared options. A subclass has a table of measures and the feed's own conventions."""

    options_type: ClassVar[type[Options]] = StationFeedOptions
    own_measures: ClassVar[Measures]
    own_zone: ClassVar[str | None] = None
    own_missing: ClassVar[tuple[float, ...]] = ()

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        if not isinstance(options, StationFeedOptions):
            raise TypeError(f"{self.name}: options are {type(options).__name__}")
        zone = options.zone or self.own_zone
        self._zone = ZoneInfo(zone) if zone else None
        self._shift_ms = options.period or 0
        self._measures: dict[str, Measure | None] = {**self.own_measures, **options.measures}
        self.overridden = options.measures.keys()
        self._missing = frozenset(self.own_missing if options.missing is None else options.missing)
        self._stations = options.table()
        self._region = options.region

    def event_time(self, raw: Any) -> int:
        """Read a time of the feed: its zone, its label; raises `Unfit`."""
        event_time = as_event_time(raw, self._zone)
        return shifted(event_time, self._shift_ms) if self._shift_ms else event_time

    def passes_over(self, field: str) -> bool:
        """Tell, and count, whether the options say that a field is not wanted."""
        if field in self._measures and self._measures[field] is None:
            self.no_measurement()
            return True
        return False

    def measure_of(self, field: str, unit: str | None = None) -> tuple[str, str]:
        """Give the metric and the unit of a field.

        Parameters
        ----------
        field
            The feed's name. One that no table knows is a metric of its own name, as long as its unit is known.
        unit
            As the payload names it; it goes before the adapter's table, and the options go before both.

        Raises
        ------
        Unfit
            MISSING_FIELD: nobody knows the unit.
        """
        found = self._measures.get(field)
        metric, listed = (field, None) if found is None else (found.metric, found.unit)
        wanted = listed if field in self.overridden else None
        chosen = wanted or unit or listed
        if not chosen:
            raise Unfit(Refusal.MISSING_FIELD, f"no unit for {field[:100]!r}: give one under `measures`")
        return metric, chosen

    def value(self, raw: Any, name: str, missing: float | None = None) -> float | None:
        """Read a value, number or text; None, counted, where it stands for none; raises `Unfit`."""
        if raw is not None and raw != "":
            value = as_decimal(raw, name)
            if value != missing and value not in self._missing:
                return value
        self.passed_over[PassedOver.MISSING_VALUE] += 1
        return None

    def no_measurement(self) -> None:
        """Count a message or a field that measures nothing."""
        self.passed_over[PassedOver.NO_MEASUREMENT] += 1

    def place(self, station: str, payload: Payload, found: Reading | None = None) -> Reading:
        """Give the fields `x`, `y`, `z`, `crs`, `region` of a station: the payload's own position, else the table's.

        Raises
        ------
        Unfit
            UNKNOWN_STATION.
        """
        listed = self._stations.get(station)
        if found is None and listed is None:
            raise unknown_station(station)
        place = dict(found if found is not None else listed or {})
        region = (listed or {}).get("region") or payload.context.get("region") or self._region
        if region is not None:
            place.setdefault("region", region)
        return place

    def each(self, parts: list[Any], payload: Payload, read: Callable[[Any], Iterator[Item]]) -> Iterator[Item]:
        """Read the parts of a payload one by one: what is wrong with one does not touch the others."""
        for part in parts:
            try:
                yield from read(part)
            except Unfit as unfit:
                yield unreadable(unfit, part, payload)


def wgs84(lon: Any, lat: Any, height: Any = None) -> Reading:
    """Give the position fields of WGS 84 degrees and an optional height in metres, as numbers or text.

    Raises
    ------
    Unfit
        MISSING_FIELD, WRONG_TYPE, VALUE_NOT_FINITE.
    """
    place: Reading = {"x": as_decimal(lon, "longitude"), "y": as_decimal(lat, "latitude"), "crs": "EPSG:4326"}
    if height is not None and height != "":
        place["z"] = as_decimal(height, "height")
    return place


def geojson_point(geometry: Any) -> Reading | None:
    """Give the position fields of a GeoJSON point, or of a feature that has one; None for other geometries.

    Source: RFC 7946 §3.1.1 (longitude first), §4 (WGS 84).
    """
    if isinstance(geometry, dict) and geometry.get("type") == "Feature":
        geometry = geometry.get("geometry")
    if not (isinstance(geometry, dict) and geometry.get("type") == "Point"):
        return None
    coordinates = geometry.get("coordinates")
    if not (isinstance(coordinates, list) and 2 <= len(coordinates) <= 4):
        raise Unfit(Refusal.WRONG_TYPE, f"the point's coordinates are {str(coordinates)[:60]}")
    return wgs84(*coordinates[:3])
