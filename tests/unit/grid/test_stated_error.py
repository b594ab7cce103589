"""Interpolated values are as near to the truth as docs/grid.md says: of a tide that is known, of a buoy's readings."""

from __future__ import annotations

import math
import random

import numpy as np
import pandas as pd
import pytest

from tests.support.grids import Arrival, arrival, metric
from tests.unit.grid.test_real_data import DATA, MINUTE, epoch_ms, played, rule_of

TIDE_M, TIDE_MS = 2.0, 44_714_000  # amplitude, and the period of M2
MAX_GAP = 20 * MINUTE
LEVEL = metric("water_level", "linear", MAX_GAP)


def tide_m(time_ms: float) -> float:
    return TIDE_M * math.sin(2 * math.pi * time_ms / TIDE_MS)


def test_a_tides_level_is_within_an_eighth_of_gap_squared_times_curvature_and_gaps_are_explicit() -> None:
    """A day of three gauges, about every 8 min, out of order, with outages; the bound is that of any smooth curve."""
    chance = random.Random(3)
    arrivals: list[Arrival] = []
    for gauge in ("a", "b", "c"):
        time_ms = 0
        while time_ms < 24 * 60 * MINUTE:
            arrivals.append(arrival(time_ms, tide_m(time_ms), "water_level", place=gauge, sensor=gauge))
            time_ms += chance.randrange(4 * MINUTE, 12 * MINUTE) + (chance.random() < 0.02) * 60 * MINUTE
    curvature = TIDE_M * (2 * math.pi / TIDE_MS) ** 2
    times = {g: np.array([a.time_ms for a in arrivals if a.place == g]) for g in "abc"}
    worst_m, values, gaps = 0.0, 0, 0
    for (gauge, t), row in played(rule_of(LEVEL), arrivals).final.items():
        level = row["water_level"]
        ahead = np.searchsorted(times[gauge], t)
        gap_ms = times[gauge][ahead] - times[gauge][ahead - 1] if 0 < ahead < len(times[gauge]) else None
        if level["value"] is None:
            gaps += 1
            assert level["reason"] in ("gap_too_wide", "too_old") and (gap_ms is None or gap_ms > MAX_GAP)
            continue
        values += 1
        error_m = abs(level["value"] - tide_m(t))
        assert error_m <= curvature * (level["age_ms"] + (level["until_next_ms"] or 0)) ** 2 / 8 + 1e-12
        worst_m = max(worst_m, error_m)
    assert values > 500 and gaps > 50
    assert worst_m < 0.007  # 2 m, gaps of up to 20 min


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not here")
def test_a_buoys_withheld_readings_of_pressure_are_found_again() -> None:
    """Every second reading is withheld; the grid's value at its time is compared with it."""
    columns = ["year", "month", "day", "hour", "minute", "wdir", *["spd", "gst", "wvht", "dpd", "apd", "mwd", "pres"]]
    frame = pd.read_csv(DATA / "ndbc_buoys" / "41002.txt.gz", sep=r"\s+", comment="#", header=None, na_values="MM")
    frame = frame.iloc[:, : len(columns)].set_axis(columns, axis=1)
    frame = frame.assign(time_ms=epoch_ms(pd.to_datetime(frame[columns[:5]]))).dropna(subset=["pres"]).head(2_000)
    given, withheld = frame[frame["minute"] % 20 == 0], frame[frame["minute"] % 20 == 10]
    arrivals = [arrival(t, v, "air_pressure") for t, v in zip(given["time_ms"].tolist(), given["pres"], strict=True)]
    found = played(rule_of(metric("air_pressure", "linear", MAX_GAP)), arrivals).values("air_pressure")
    pairs = [(found.get(t), v) for t, v in zip(withheld["time_ms"].tolist(), withheld["pres"], strict=True)]
    errors = np.array([abs(value - truth) for value, truth in pairs if value is not None])
    assert len(errors) > 900
    # Readings have steps of 0.1 hPa.
    assert np.percentile(errors, 50) < 0.06 and np.percentile(errors, 95) < 0.16 and np.percentile(errors, 99) < 0.3
