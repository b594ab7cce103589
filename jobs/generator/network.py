"""The stations: who measures what, where, how often, with which clock and in which format."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.generator.knobs import Knobs
from jobs.generator.metrics import Series, make_series, metric_names
from jobs.generator.places import Site, Surveyor
from udfs.rules import Rules

_DEFAULT_PERIOD_MS = 10_000
_MOVES_EVERY_MS = 60_000


class TimeFormat(StrEnum):
    MS = "ms"
    S = "s"
    US = "us"
    NS = "ns"
    FLOAT_S = "float-s"
    ISO_Z = "iso-z"
    ISO_OFFSET = "iso-offset"


class Clock(StrEnum):
    RIGHT = "right"
    SLOW = "slow"
    FAST = "fast"
    YEAR_1970 = "1970"
    YEAR_2100 = "2100"


_TIME_FORMATS = (*(TimeFormat.MS,) * 8, *(TimeFormat.S,) * 3, *TimeFormat)
_WRONG_CLOCKS = (Clock.SLOW, Clock.FAST, Clock.YEAR_1970, Clock.YEAR_2100)


@dataclass(frozen=True)
class Station:
    sensor_id: str
    sites: tuple[Site, ...]
    time_format: TimeFormat
    clock: Clock
    skew_ms: int  # of slow and fast clocks: added to the true time
    foreign: bool  # no headers
    with_id: bool
    avro: bool
    outage_ms: tuple[int, int]  # event time [from, to) of readings that arrive at its end; empty: (0, 0)
    extras: tuple[tuple[str, str], ...]  # further fields: (name, JSON text)


@dataclass(frozen=True)
class Network:
    """Stations and series flattened to arrays; a template is a (series, site) pair."""

    start_ms: int
    end_ms: int
    stations: tuple[Station, ...]
    series: tuple[Series, ...]
    station_of: NDArray[Any]  # series -> station
    period_ms: NDArray[Any]  # float64, by series
    phase_ms: NDArray[Any]  # float64, by series
    first_template: NDArray[Any]  # by series
    sites_of: NDArray[Any]  # by series: number of sites
    template_series: NDArray[Any]
    template_site: tuple[Site, ...]
    template_partition: NDArray[Any]
    template_key: tuple[bytes, ...]
    run: str  # in every event id, so that two runs never share one

    def template_at(self, series: NDArray[Any], event_ms: NDArray[Any]) -> NDArray[Any]:
        """The template of each reading: mobile stations are somewhere else every minute."""
        template: NDArray[Any] = self.first_template[series] + (event_ms // _MOVES_EVERY_MS) % self.sites_of[series]
        return template


def partition_of(key: bytes, partitions: int) -> int:
    """A place is always in the same partition, so that neighbours are together and a repeat follows its original."""
    return zlib.crc32(key) % partitions


def default_start_ms(rules: Rules, span_ms: int, now_ms: int) -> int:
    """Let the span end so long ago that a marker stamped now closes all windows, revisions included."""
    longest = max((w.size_ms for s in rules.streams for w in s.windows), default=0)
    lateness = max((s.allowed_lateness_ms for s in rules.streams), default=0)
    end_ms = now_ms - longest - lateness - rules.time.out_of_orderness_ms - 120_000
    return (end_ms - span_ms) // 60_000 * 60_000


def make_network(rules: Rules, knobs: Knobs, partitions: int, now_ms: int) -> Network:
    """Build the network of a deployment; the same arguments give the same network."""
    rng = np.random.default_rng([knobs.seed, 1])
    start_ms = default_start_ms(rules, knobs.span_ms, now_ms) if knobs.start_ms is None else knobs.start_ms
    end_ms = start_ms + knobs.span_ms
    names = metric_names(rules.streams)
    streams = [s for s in rules.streams if s.name in names]
    periods = {s.name: float(s.period_ms or _DEFAULT_PERIOD_MS) for s in streams}
    per_cycle = sum(len(names[s.name]) * knobs.span_ms / periods[s.name] for s in streams)
    count = knobs.stations or max(len(streams), round(len(streams) * knobs.readings / per_cycle))

    surveyor = Surveyor(rules, rng)
    shares = _Shares(knobs, count, rng)
    stations: list[Station] = []
    series: list[Series] = []
    station_of: list[int] = []
    period: list[float] = []
    for number in range(count):
        stream = streams[number % len(streams)]
        for metric in names[stream.name]:
            series.append(make_series(metric, stream, rng))
            station_of.append(number)
            period.append(periods[stream.name])
    # Exactly as many readings as asked for, whatever the number of stations: all periods are scaled alike.
    scale = sum(knobs.span_ms / p for p in period) / knobs.readings
    period_ms = np.array(period) * max(scale, 1e-6)
    shortest = float(period_ms.min())
    for number in range(count):
        stations.append(shares.station(number, surveyor, start_ms, knobs, end_ms, shortest, now_ms))
    return _flatten(rules, stations, series, station_of, period_ms, start_ms, end_ms, partitions, knobs, rng)


class _Shares:
    """Which stations have which peculiarity: exact numbers, drawn once."""

    def __init__(self, knobs: Knobs, count: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._mobile = self._draw(knobs.mobile, count)
        self._foreign = self._draw(knobs.foreign, count)
        self._without_id = self._draw(knobs.without_id, count)
        self._avro = self._draw(knobs.avro, count) - self._foreign
        self._outages = self._draw(knobs.outages, count)
        wrong = sorted(self._draw(knobs.wrong_clocks, count))
        self._clocks = {number: _WRONG_CLOCKS[i % len(_WRONG_CLOCKS)] for i, number in enumerate(wrong)}

    def _draw(self, share: float, count: int) -> set[int]:
        size = min(count, max(1, round(share * count)) if share else 0)
        return set(self._rng.choice(count, size, replace=False).tolist())

    def station(
        self, number: int, surveyor: Surveyor, start_ms: int, knobs: Knobs, end_ms: int, shortest_ms: float, now_ms: int
    ) -> Station:
        rng = self._rng
        clock = self._clocks.get(number, Clock.RIGHT)
        skew_ms = 0
        if clock is Clock.SLOW:
            skew_ms = -1000 * int(rng.integers(60, 300))  # whole seconds: some stations send no finer times
        elif clock is Clock.FAST:
            # Ahead of Kafka's clock even at the start of the span and hours after this run began.
            skew_ms = max(0, now_ms - start_ms) // 1000 * 1000 + 1000 * int(rng.integers(86_400, 3 * 86_400))
        outage = (0, 0)
        if number in self._outages:
            length = int(rng.integers(knobs.outage_ms // 3, knobs.outage_ms + 1))
            length = min(length, knobs.span_ms // 3)
            begin = int(rng.integers(start_ms, end_ms - length + 1))
            outage = (begin, begin + length)
        formats = [f for f in _TIME_FORMATS if f is not TimeFormat.S or shortest_ms >= 2_000]
        extras: list[tuple[str, str]] = []
        if rng.random() < 0.2:
            extras.append(("quality", '"good"'))
        if rng.random() < 0.2:
            extras.append(("z", f"{rng.uniform(0, 900):.1f}"))
        if rng.random() < 0.2:
            extras.append(("firmware", f'"2.{rng.integers(10)}"'))
            extras.append(("battery", f'{{"volt":{rng.uniform(3.1, 4.2):.2f}}}'))
        return Station(
            sensor_id=f"{'van' if number in self._mobile else 'st'}-{number:05d}",
            sites=tuple(surveyor.track(number, number in self._mobile)),
            time_format=formats[rng.integers(len(formats))],
            clock=clock,
            skew_ms=skew_ms,
            foreign=number in self._foreign,
            with_id=number not in self._without_id,
            avro=number in self._avro,
            outage_ms=outage,
            extras=tuple(extras),
        )


def _flatten(
    rules: Rules,
    stations: list[Station],
    series: list[Series],
    station_of: list[int],
    period_ms: NDArray[Any],
    start_ms: int,
    end_ms: int,
    partitions: int,
    knobs: Knobs,
    rng: np.random.Generator,
) -> Network:
    first_template, sites_of, template_series = [], [], []
    sites: list[Site] = []
    for index, number in enumerate(station_of):
        own = stations[number].sites
        first_template.append(len(sites))
        sites_of.append(len(own))
        template_series.extend([index] * len(own))
        sites.extend(own)
    keys = tuple((s.region if rules.cell.scheme == "region" else s.cell).encode() for s in sites)
    return Network(
        start_ms=start_ms,
        end_ms=end_ms,
        stations=tuple(stations),
        series=tuple(series),
        station_of=np.array(station_of, np.int32),
        period_ms=period_ms,
        phase_ms=rng.uniform(0.0, 1.0, len(series)) * period_ms,
        first_template=np.array(first_template, np.int64),
        sites_of=np.array(sites_of, np.int64),
        template_series=np.array(template_series, np.int32),
        template_site=tuple(sites),
        template_partition=np.array([partition_of(k, partitions) for k in keys], np.int32),
        template_key=keys,
        run=f"{knobs.seed:x}-{start_ms // 1000:x}",
    )
