"""The oracle of `meridian bench align` finds the plain loop right, and a spoilt row wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.align_plain import Grid
from benchmarks.align_runs import METHODS, PERIOD_MS, grid_of, judge


def readings() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    frames = []
    for number, metric in enumerate(METHODS):
        times = np.unique(rng.integers(0, 12 * PERIOD_MS, 300))
        times = times[(times < 4 * PERIOD_MS) | (times > 5 * PERIOD_MS - 30_000)]
        values = rng.normal(size=len(times))
        frames.append(
            pd.DataFrame({"sensor_id": f"s{number}", "metric": metric, "event_time_ms": times, "value": values})
        )
    return pd.concat(frames).sample(frac=1, random_state=1)


def rows_of_the_loop(found: pd.DataFrame) -> pd.DataFrame:
    grid = Grid()
    for sensor, metric, time_ms, value in found.itertuples(index=False):
        grid.add(sensor, metric, time_ms, value)
    rows = [
        (row["place"], metric, row["instant_ms"], of["value"])
        for row in grid.close(20 * PERIOD_MS)
        for metric, of in row["values"].items()
    ]
    return pd.DataFrame(rows, columns=["place", "metric", "instant_ms", "value"]).astype({"value": float})


def test_loop_and_oracle_agree_and_a_spoilt_or_lost_row_shows() -> None:
    given = readings()
    truth, rows = grid_of(given), rows_of_the_loop(given)
    assert len(truth) > 20 and truth["value"].isna().any() and truth["value"].notna().any()
    assert judge(truth, rows) == {}
    valued = rows["value"].notna() & (rows["instant_ms"] == 2 * PERIOD_MS)
    assert judge(truth, rows.assign(value=rows["value"].where(~valued, 99.0))) == {"wrong": 3}
    assert judge(truth, rows[~valued]) == {"missing": 3}
