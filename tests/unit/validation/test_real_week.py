"""A week of real sensors, live and in batch, in one process: pandas agrees, every difference is explained."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pandas as pd
import pytest

from jobs.export.select import Selection
from jobs.export.tables import aligned_table, windows_table
from jobs.export.write import write_file
from jobs.replay.convert import Converter
from jobs.replay.envelope import Wrapper
from jobs.replay.mapping import load_mapping
from jobs.replay.source import read_rows
from jobs.validation.day import DAY_MS, validate
from tests.support.reference_job import RawMessage, ReferenceJob
from udfs.rules import Rules, StreamRule, TimeRule, WindowDefinition

ROOT = Path(__file__).parents[3]
FILE = ROOT.parent / "shared" / "data" / "sensor_community_aberdeen" / "week_2019-03-28_04-03_sds011.csv.gz"
READINGS = 8_000
MINUTE = 60_000
FROM = 1_553_731_200_000  # 2019-03-28
WINDOWS = (
    WindowDefinition("5min", "sensor", 5 * MINUTE, 5 * MINUTE),
    WindowDefinition("hour", "sensor", 60 * MINUTE, 20 * MINUTE),
    WindowDefinition("cell", "cell", 30 * MINUTE, 30 * MINUTE),
)
LIVE = Rules(
    (StreamRule("air", ("*",), "ug/m3", max_age_ms=20_000 * DAY_MS, allowed_lateness_ms=3 * MINUTE, windows=WINDOWS),),
    time=TimeRule(floor_ms=FROM - DAY_MS, out_of_orderness_ms=2 * MINUTE),
)
BATCH = replace(
    LIVE,
    streams=(replace(LIVE.streams[0], allowed_lateness_ms=0),),
    time=replace(LIVE.time, out_of_orderness_ms=20_000 * DAY_MS),
)
KEY = ["definition", "window_start_ms", "key", "metric"]


class Runs(NamedTuple):
    readings: list[dict[str, Any]]
    live: dict[str, list[dict[str, Any]]]
    batch: dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def runs() -> Runs:
    if not FILE.exists():
        pytest.skip(f"{FILE} is not there")
    mapping_file = ROOT / "docs" / "mappings" / "sensor_community_sds011.yaml"
    mapping = load_mapping(mapping_file)
    readings = list(Converter(mapping).readings(read_rows(FILE, mapping, mapping_file.parent)))[:READINGS]
    return Runs(readings, run(readings, LIVE), run(readings, BATCH))


def run(readings: list[dict[str, Any]], rules: Rules) -> dict[str, list[dict[str, Any]]]:
    """Every reading 0 to 60 s late, one of twenty 3 to 10 minutes, one of twenty twice; then the end of the input."""
    order, wrapper = random.Random(3), Wrapper(rules, 1)
    arrivals: list[tuple[float, dict[str, Any]]] = []
    for reading in readings:
        delay_ms = order.uniform(3, 10) * MINUTE if order.random() < 0.05 else order.uniform(0, 1) * MINUTE
        copies = 2 if order.random() < 0.05 else 1
        arrivals += [(reading["event_time"] + delay_ms + copy * MINUTE, reading) for copy in range(copies)]
    arrivals.sort(key=lambda arrival: arrival[0])
    arrivals.append((0.0, {**arrivals[-1][1], "event_time": 4_000_000_000_000, "sensor_id": "end"}))
    messages = []
    for offset, (_, reading) in enumerate(arrivals):
        value, key, partition, headers = wrapper.wrap(reading, reading["event_time"])
        stamped = [(name, text if isinstance(text, bytes) else b"") for name, text in headers]
        messages.append(RawMessage(value, key, partition, offset, reading["event_time"] + 5 * MINUTE, stamped))
    job = ReferenceJob(rules, "raw", 1)
    job.run(messages, batch=200)
    job._advance(2**62)  # as Flink does at the end of a bounded input
    return {sink: [orjson.loads(value) for _, value in records] for sink, records in job.records.items()}


def reader(records: dict[str, list[dict[str, Any]]]) -> Any:
    return lambda role: iter(records.get(role, []))


def test_every_difference_of_a_real_day_is_late_or_revised(runs: Runs) -> None:
    report = validate(reader(runs.live), reader(runs.batch), LIVE.streams, "2019-03-28", FROM)
    rows = report.to_dict()["rows"]
    assert report.ok and (rows["lost"], rows["doubled"], rows["other"], rows["open"]) == (0, 0, 0, 0)
    assert rows["late"] > 5 and rows["revised"] > 5 and rows["same"] > 500
    assert all(d.batch_readings == d.live_readings + d.late_readings and d.late_readings for d in report.definitions)


def test_batch_is_what_pandas_makes_of_the_file(runs: Runs) -> None:
    frame = pd.DataFrame(runs.readings).drop_duplicates(["sensor_id", "metric", "event_time", "value"])
    batch = pd.DataFrame(runs.batch["windows"]).query("definition == '5min' and key != 'end'")
    assert (batch["revision"] == 1).all()
    start = frame["event_time"] // (5 * MINUTE) * (5 * MINUTE)
    expected = frame.groupby([start.rename("window_start_ms"), "sensor_id", "metric"])["value"].agg(["count", "mean"])
    expected = expected.rename_axis(["window_start_ms", "key", "metric"])
    actual = batch.set_index(["window_start_ms", "key", "metric"])[["count", "mean"]].sort_index()
    pd.testing.assert_frame_equal(actual, expected.sort_index(), check_dtype=False, rtol=1e-12)


@pytest.mark.parametrize("fault", ["lost", "doubled", "other"])
def test_a_seeded_fault_is_the_only_defect_found(runs: Runs, fault: str) -> None:
    windows = list(runs.live["windows"])
    at = next(i for i, w in enumerate(windows) if w["revision"] == 1 and w["definition"] == "5min" and w["count"] > 1)
    broken = windows[at]
    if any(w for w in windows[at + 1 :] if [w[k] for k in KEY] == [broken[k] for k in KEY]):
        windows = [w for w in windows if w is broken or [w[k] for k in KEY] != [broken[k] for k in KEY]]
    if fault == "lost":
        windows.remove(broken)
    elif fault == "doubled":
        windows.append(broken)
    else:
        windows[windows.index(broken)] = {**broken, "mean": broken["mean"] + 1}
    report = validate(reader({**runs.live, "windows": windows}), reader(runs.batch), LIVE.streams, "2019-03-28", FROM)
    rows = report.to_dict()["rows"]
    assert not report.ok and {name: rows[name] for name in ("lost", "doubled", "other")} == {
        name: int(name == fault) for name in ("lost", "doubled", "other")
    }
    assert [report.differences[0][k] for k in KEY] == [broken[k] for k in KEY]


def test_a_real_week_comes_back_from_parquet(runs: Runs, tmp_path: Path) -> None:
    values = [orjson.dumps(r) for r in runs.batch["aligned"]]
    write_file(tmp_path / "a.parquet", values, aligned_table("t"), Selection(), "parquet", rows_per_batch=7_000)
    frame = pd.read_parquet(tmp_path / "a.parquet", columns=["sensor_id", "metric", "value", "event_time"])
    assert frame["value"].tolist() == [r["value"] for r in runs.batch["aligned"]]
    windows = [orjson.dumps(r) for r in runs.live["windows"]]
    written = write_file(tmp_path / "w.parquet", windows, windows_table("t"), Selection(), "parquet")
    assert written.read == len(windows) and written.rows == len(
        {tuple(r[k] for k in KEY) for r in runs.live["windows"]}
    )
