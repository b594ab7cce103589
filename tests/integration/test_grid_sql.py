"""The SQL form of a grid gives what pandas does, in a table environment without cluster or broker."""

from __future__ import annotations

import random

import pandas as pd
import pytest
from pyflink.table import DataTypes, EnvironmentSettings, TableEnvironment

from jobs.cli.project import PROJECT_ROOT
from jobs.pipeline.sql_script import read_script

pytestmark = pytest.mark.extended

PERIOD, TOLERANCE = 300_000, 600_000
START = 1_700_000_000_000


def test_as_of_and_means_on_a_grid_are_those_of_pandas() -> None:
    chance = random.Random(3)
    times = {s: sorted(chance.sample(range(START, START + 7_200_000), 40)) for s in ("a", "b")}
    rows = [(s, "water_level", float(chance.randrange(100)), "m", t) for s, of in times.items() for t in of]
    tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    names = ["sensor_id", "metric", "value", "unit", "event_time_ms"]
    types = [DataTypes.STRING(), DataTypes.STRING(), DataTypes.DOUBLE(), DataTypes.STRING(), DataTypes.BIGINT()]
    schema = DataTypes.ROW([DataTypes.FIELD(n, t) for n, t in zip(names, types, strict=True)])
    chance.shuffle(rows)
    tables.create_temporary_view("aligned", tables.from_elements(rows, schema))
    (query,) = read_script(PROJECT_ROOT / "sql" / "grid" / "one_grid.sql")
    found = tables.sql_query(query.text).to_pandas()
    assert len(found) > 40

    readings = pd.DataFrame(rows, columns=names).sort_values("event_time_ms")
    for sensor, of_sensor in found.groupby("sensor_id"):
        own = readings[readings["sensor_id"] == sensor]
        as_of = pd.merge_asof(
            of_sensor[["instant_ms"]], own, left_on="instant_ms", right_on="event_time_ms", tolerance=TOLERANCE
        )
        assert of_sensor["value"].tolist() == as_of["value"].tolist()
        assert of_sensor["age_ms"].tolist() == (as_of["instant_ms"] - as_of["event_time_ms"]).tolist()
        means = own.groupby(own["event_time_ms"] // PERIOD * PERIOD + PERIOD)["value"].agg(["mean", "count"])
        means = means.reindex(of_sensor["instant_ms"])
        assert of_sensor["mean_value"].fillna(-1.0).round(9).tolist() == means["mean"].fillna(-1.0).round(9).tolist()
        assert of_sensor["readings"].tolist() == means["count"].fillna(0).astype(int).tolist()
