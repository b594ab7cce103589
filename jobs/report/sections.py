"""What the page shows: tables with bars, and charts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from jobs.report.chart import Chart, Curve, bucket, draw
from jobs.report.gather import Gathered, Series, SeriesName, WindowRows
from jobs.report.timeline import Moment

_BINS: Final = (
    (1_000, "up to 1 s"), (10_000, "1 to 10 s"), (30_000, "10 to 30 s"), (60_000, "30 to 60 s"),
    (120_000, "1 to 2 min"), (300_000, "2 to 5 min"), (600_000, "5 to 10 min"), (1_800_000, "10 to 30 min"),
    (3_600_000, "30 to 60 min"), (7_200_000, "1 to 2 h"), (21_600_000, "2 to 6 h"), (86_400_000, "6 to 24 h"),
    (2**62, "over 24 h"),
)  # fmt: skip


class Bar(NamedTuple):
    """A row of a table; `share` is of the largest, 0 to 1, for the length of its bar."""

    label: str
    number: int
    share: float


class WindowSummary(NamedTuple):
    name: str
    windows: int
    rows: int
    early: int
    late: int
    revised: int
    most_revisions: int


def bars(counts: Iterable[tuple[str, int]]) -> list[Bar]:
    rows = list(counts)
    most = max((number for _, number in rows), default=0) or 1
    return [Bar(label, number, number / most) for label, number in rows]


def spread(durations_ms: Any) -> list[Bar]:
    """Durations by bins of growing width, from the first to the last that holds any."""
    edges = [edge for edge, _ in _BINS]
    counts = np.bincount(np.searchsorted(edges, np.array(durations_ms)), minlength=len(_BINS))
    filled = np.flatnonzero(counts)
    if not len(filled):
        return []
    kept = range(filled[0], filled[-1] + 1)
    return bars((_BINS[n][1], int(counts[n])) for n in kept)


def percentiles(durations_ms: Any) -> dict[str, float]:
    values = np.array(durations_ms)
    if not len(values):
        return {}
    found = np.percentile(values, (50, 99))
    return {"p50": float(found[0]), "p99": float(found[1]), "max": float(values.max())}


def series_charts(series: Mapping[SeriesName, Series], each: int, most: int) -> list[Chart]:
    """A chart per metric, with the sensors that report most; the metrics with most readings first."""
    by_metric: defaultdict[tuple[str, str, str], list[tuple[str, Series]]] = defaultdict(list)
    for name, found in series.items():
        by_metric[name.stream, name.metric, name.unit].append((name.sensor, found))
    charts = []
    ranked = sorted(by_metric.items(), key=lambda item: -sum(len(s.values) for _, s in item[1]))
    for (stream, metric, unit), sensors in ranked[:most]:
        chosen = sorted(sensors, key=lambda item: (-len(item[1].values), item[0]))[:each]
        curves = [Curve(sensor, bucket(s.times_ms, s.values)) for sensor, s in chosen]
        charts.append(draw(f"{metric} ({stream})", unit, curves))
    return charts


def timeline_charts(moments: Sequence[Moment]) -> list[Chart]:
    """Lag of the watermark, the watermark itself as minutes since its first, and the rate."""
    known = [m for m in moments if m.watermark_ms is not None]
    times = [float(m.time_ms) for m in known]
    lag = [(m.lag_ms or 0) / 60_000 for m in known]
    first = next((m.watermark_ms for m in known if m.watermark_ms is not None), 0)
    progress = [((m.watermark_ms or 0) - first) / 60_000 for m in known]
    rate = bucket([float(m.time_ms) for m in moments], [float(m.records) for m in moments])
    return [
        draw("Watermark behind the clock", "min", [Curve("lag", bucket(times, lag))], from_zero=True),
        draw("Watermark since its first value", "min", [Curve("watermark", bucket(times, progress))], from_zero=True),
        draw("Raw records", "records/s", [Curve("raw records", rate)], from_zero=True),
    ]


def window_summaries(windows: Mapping[tuple[str, str], WindowRows]) -> list[WindowSummary]:
    return [
        WindowSummary(
            f"{stream}/{definition}",
            len(found.revisions),
            found.by_timing.total(),
            found.by_timing["early"],
            found.by_timing["late"],
            sum(revision > 1 for revision in found.revisions.values()),
            max(found.revisions.values(), default=0),
        )
        for (stream, definition), found in sorted(windows.items())
    ]


def revision_bars(windows: Mapping[tuple[str, str], WindowRows]) -> list[Bar]:
    """Windows by the highest revision that they reached."""
    counts: defaultdict[int, int] = defaultdict(int)
    for found in windows.values():
        for revision in found.revisions.values():
            counts[revision] += 1
    return bars((f"revision {revision}", counts[revision]) for revision in sorted(counts))


def overview(gathered: Gathered) -> dict[str, int]:
    return {
        "readings": sum(station.readings for station in gathered.stations.values()),
        "stations": len(gathered.stations),
        "cells": len(gathered.cells),
        "windows": sum(len(found.revisions) for found in gathered.windows.values()),
        "late": len(gathered.lateness_ms),
        "refused": gathered.refused.total(),
    }
