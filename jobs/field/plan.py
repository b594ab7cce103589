"""What the stations of the field measure in one hour, and when each reading is sent: pure and seeded."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

HOUR_MS: Final = 3_600_000
_LATEST_MS: Final = HOUR_MS - 5_000  # by then everything has been sent
_OUTAGE_MS: Final = (20 * 60_000, 26 * 60_000)  # a gateway is cut off, and flushes what its stations measured meanwhile
_OUTAGE_REGION: Final = "oslofjord"
_LATE_INSERT_MS: Final = (3 * 60_000, 8 * 60_000)  # less than the `overlap` of the feeds
_TWICE, _BROKEN, _UNKNOWN_UNIT, _LATE = 0.01, 0.002, 0.002, 0.05


class Transport(StrEnum):
    MQTT = "MQTT"
    PUSH = "push"
    GAUGES = "REST gauges"
    DUST = "REST dust"


class Fate(StrEnum):
    """What must become of a reading."""

    ALIGNED = "aligned"
    BROKEN = "broken"  # cut in half on the wire; invalid
    UNKNOWN_UNIT = "unknown_unit"  # invalid


class Station(NamedTuple):
    number: int
    sensor_id: str
    """As the bridges' adapters name it."""
    region: str
    metric: str
    unit: str
    lon_deg: float
    lat_deg: float


class Reading(NamedTuple):
    """One measurement on its way."""

    due_ms: int
    """When it is sent, milliseconds after the hour's begin."""
    event_ms: int
    """When it was measured, likewise."""
    station: Station
    value: float
    fate: Fate
    is_repeated: bool
    """It is sent twice."""


class _Kind(NamedTuple):
    share: float
    period_ms: int
    sensor_id: str
    metric: str
    unit: str
    mean: float
    boxes: tuple[tuple[str, float, float, float, float], ...]
    """Region, west, south, width, height in degrees."""


_KINDS: Final = {
    Transport.MQTT: _Kind(
        0.6, 10_000, "ws-{}", "air_temperature", "degC", 12.0,
        (("grampian", -3.0, 56.5, 1.5, 1.5), (_OUTAGE_REGION, 10.0, 59.0, 1.5, 1.0)),
    ),
    Transport.PUSH: _Kind(0.3, 10_000, "dust-{}", "pm2_5", "ug/m3", 14.0, (("po", 8.0, 44.5, 4.0, 1.5),)),
    Transport.GAUGES: _Kind(0.05, 60_000, "usgs/{:08}", "water_level", "ft", 7.0, (("rhine", 6.0, 50.5, 2.5, 1.5),)),
    Transport.DUST: _Kind(0.05, 60_000, "sensorthings/thing/{}", "pm10", "ug/m3", 22.0, (("po", 8.0, 44.5, 4.0, 1.5),)),
}  # fmt: skip


def plan(readings: int, seed: int) -> dict[Transport, list[Reading]]:
    """Plan an hour.

    Parameters
    ----------
    readings
        How many to plan, about: stations are as many as make so many at their periods, at least one of each kind.

    Returns
    -------
        By transport, in the order in which they are sent. No sensor measures one metric twice at the same time.
    """
    dice = random.Random(seed)
    planned = {}
    for transport, kind in _KINDS.items():
        count = max(1, round(readings * kind.share * kind.period_ms / HOUR_MS))
        stations = [_station(kind, number, dice) for number in range(count)]
        sent = [reading for station in stations for reading in _readings(transport, kind, station, dice)]
        planned[transport] = sorted(sent, key=lambda reading: reading.due_ms)
    return planned


def _station(kind: _Kind, number: int, dice: random.Random) -> Station:
    region, west, south, width, height = kind.boxes[number % len(kind.boxes)]
    lon_deg, lat_deg = west + width * dice.random(), south + height * dice.random()
    name = kind.sensor_id.format(number)
    return Station(number, name, region, kind.metric, kind.unit, round(lon_deg, 5), round(lat_deg, 5))


def _readings(transport: Transport, kind: _Kind, station: Station, dice: random.Random) -> Iterator[Reading]:
    is_polled = transport in (Transport.GAUGES, Transport.DUST)
    for event_ms in range(dice.randrange(kind.period_ms), _LATEST_MS, kind.period_ms):
        value = round(kind.mean + 3 * math.sin(event_ms / HOUR_MS * math.tau + station.number) + dice.gauss(0, 0.3), 2)
        due_ms = event_ms
        if station.region == _OUTAGE_REGION and _OUTAGE_MS[0] <= event_ms < _OUTAGE_MS[1]:
            due_ms = _OUTAGE_MS[1]
        if is_polled:
            # A source repeats nothing, and what it inserts late is found by the overlap.
            due_ms += dice.randrange(*_LATE_INSERT_MS) if dice.random() < _LATE else 0
            yield Reading(min(due_ms, _LATEST_MS), event_ms, station, value, Fate.ALIGNED, False)
        else:
            fate = _fate(dice.random())
            yield Reading(due_ms, event_ms, station, value, fate, fate is Fate.ALIGNED and dice.random() < _TWICE)


def _fate(die: float) -> Fate:
    if die < _BROKEN:
        return Fate.BROKEN
    return Fate.UNKNOWN_UNIT if die < _BROKEN + _UNKNOWN_UNIT else Fate.ALIGNED
