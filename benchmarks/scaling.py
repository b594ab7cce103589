"""Scaling: what a reading costs when one thing grows and all else stays, as ratios to the first point of a series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from benchmarks.point import Measured, Point, Say, measure
from benchmarks.settings import MINUTE_MS, WINDOWS, WindowDefinition
from benchmarks.workload import Workload

PREFIX = "bench.scaling"
_HOUR_MS = 3_600_000
_PERIOD_MS = 10_000  # of a sensor: so a window's results are shared by as many readings at every number of sensors
_READINGS_OF_A_SENSOR = 60  # at least: ten minutes, or the windows that the end of input cuts off weigh the most
_TTL_SENSORS = 100
_TTL_SPAN_MS = 50 * _HOUR_MS  # of event time: more than the longest TTL

_BY_SENSOR = [{"name": "5min", "size": "5 min"}, {"name": "15min", "size": "15 min", "slide": "5 min"}]
_BY_CELL = WindowDefinition("cell", 5 * MINUTE_MS, 5 * MINUTE_MS, WINDOWS["whole"][0].allowed_lateness_ms)


@dataclass(frozen=True)
class Series:
    """Points that differ in one thing.

    Parameters
    ----------
    quantity
        What is compared with the first point: a cost (may grow to `goal` times) or a rate (may fall to it).
    """

    name: str
    points: tuple[Point, ...]
    quantity: str
    goal: float | None

    def meets(self, ratio: float) -> bool | None:
        if self.goal is None:
            return None
        return ratio <= self.goal if self.quantity == "cpu_s_per_million" else ratio >= self.goal


class Line(NamedTuple):
    """A measured point of a series."""

    series: Series
    point: Point
    measured: Measured


def series(records: int) -> tuple[Series, ...]:
    """All series, each point with so many records."""
    base = Workload("whole", records, 0, sensors=1_000, step_ms=_PERIOD_MS)
    sensors = [
        Point(f"{n:,} sensors", replace(base, sensors=n, count=max(records, n * _READINGS_OF_A_SENSOR)))
        for n in (1_000, 10_000, 100_000)
    ]
    # Late readings reach back over two days, so that ids of every age are looked up.
    aged = replace(
        base,
        sensors=_TTL_SENSORS,
        step_ms=max(1, _TTL_SPAN_MS * _TTL_SENSORS // records),
        late_span_ms=40 * _HOUR_MS,
    )
    ttls = [Point(f"TTL {hours} h", aged, {"dedup.ttl": f"{hours} h"}) for hours in (1, 48)]
    by_cell = {"streams.*.windows": [*_BY_SENSOR, {"name": _BY_CELL.name, "size": "5 min", "key": "cell"}]}
    cells = [
        Point(name, replace(base, hot_share=share), by_cell, by_place=(_BY_CELL,))
        for name, share in (("even", 0.0), ("half in one cell", 0.5))
    ]
    subtasks = [Point(f"parallelism {n}", base, {"parallelism": n}) for n in (1, 2)]
    return (
        Series("sensors", tuple(sensors), "cpu_s_per_million", 1.3),
        Series("dedup TTL", tuple(ttls), "cpu_s_per_million", 1.3),
        Series("hot cell", tuple(cells), "readings_per_s", 0.7),
        Series("parallelism", tuple(subtasks), "readings_per_s", None),
    )


def run_series(chosen: Sequence[Series], bootstrap: str, say: Say) -> Iterator[Line]:
    """Measure every point, after a run of the first one that is not counted: the JVMs compile what jobs share."""
    measure(replace(chosen[0].points[0], name="warm-up"), bootstrap, PREFIX, say)
    for one in chosen:
        for point in one.points:
            yield Line(one, point, measure(point, bootstrap, PREFIX, say))


def summarise(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """One object per point, with its ratios to the first point of its series."""
    rows: list[dict[str, Any]] = []
    first: dict[str, Measured] = {}
    for one, point, measured in lines:
        base = first.setdefault(one.name, measured)
        rate_ratio = measured.readings_per_s / base.readings_per_s
        cost_ratio = measured.cpu_s_per_million / base.cpu_s_per_million
        judged = cost_ratio if one.quantity == "cpu_s_per_million" else rate_ratio
        rows.append(
            {"work": "scaling", "series": one.name, "variant": point.name, "readings": point.workload.count}
            | measured.row
            | {
                "rate_ratio": round(rate_ratio, 3),
                "cost_ratio": round(cost_ratio, 3),
                "goal": one.goal,
                "meets_goal": one.meets(judged),
                "problems": measured.verdict.problems,
            }
        )
    return rows
