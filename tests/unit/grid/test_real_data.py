"""Rows of real stations, in the disorder of their files, agree to the last bit with pandas and NumPy."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.grids import END, Arrival, Shard, arrival, metric
from udfs.grid.pairing import Station, pair_stations
from udfs.grid.rules import GridRule

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
MINUTE = 60_000
PERIOD = 5 * MINUTE

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not here")


def epoch_ms(times: pd.Series) -> pd.Series:
    return pd.to_datetime(times, utc=True).dt.as_unit("ms").astype("int64")


def played(rule: GridRule, arrivals: list[Arrival], seed: int = 1) -> Shard:
    """Frames of readings that are up to half an hour out of order, with a watermark that allows for it."""
    chance = random.Random(seed)
    arrivals = sorted(arrivals, key=lambda a: a.time_ms + chance.randrange(30 * MINUTE))
    shard = Shard(rule)
    newest_ms = 0
    for start in range(0, len(arrivals), 500):
        frame = arrivals[start : start + 500]
        shard.add(*frame)
        newest_ms = max(newest_ms, *(a.time_ms for a in frame))
        shard.advance(newest_ms - 30 * MINUTE - 1)
    shard.advance(END)
    assert shard.late == []
    return shard


def rule_of(*metrics: object, **changes: object) -> GridRule:
    fields = {"max_wait_ms": 60 * MINUTE, "allowed_lateness_ms": 0, "keep_ms": 60 * MINUTE, **changes}
    return GridRule("real", "station", PERIOD, 0, metrics, **fields)  # type: ignore[arg-type]


def last_of_each_instant(times_ms: Iterable[int], values: Iterable[float]) -> pd.DataFrame:
    frame = pd.DataFrame({"time_ms": list(times_ms), "value": list(values)})
    return frame.sort_values("time_ms").drop_duplicates("time_ms", keep="last")


def linear(readings: pd.DataFrame, instants: np.ndarray, max_gap_ms: int) -> list[float | None]:
    """numpy.interp, where the neighbours are near enough."""
    times, values = readings["time_ms"].to_numpy(), readings["value"].to_numpy()
    after = np.searchsorted(times, instants, side="left")
    found: list[float | None] = []
    for t, i in zip(instants, after, strict=True):
        if i < len(times) and times[i] == t:
            found.append(values[i])
        elif 0 < i < len(times) and times[i] - times[i - 1] <= max_gap_ms:
            found.append(float(np.interp(t, times[i - 1 : i + 1], values[i - 1 : i + 1])))
        else:
            found.append(None)
    return found


def as_of(readings: pd.DataFrame, instants: np.ndarray, tolerance_ms: int) -> list[float | None]:
    wanted = pd.DataFrame({"time_ms": instants})
    merged = pd.merge_asof(wanted, readings, on="time_ms", direction="backward", tolerance=tolerance_ms)
    return [None if math.isnan(v) else v for v in merged["value"]]


def means(readings: pd.DataFrame, instants: np.ndarray) -> list[float | None]:
    """The mean of [t - period, t), labelled by its end; the sum is exact before it is rounded."""
    ends = (readings["time_ms"] // PERIOD + 1) * PERIOD
    found = readings.groupby(ends)["value"].agg(lambda v: math.fsum(v) / len(v))
    return [None if math.isnan(v) else v for v in found.reindex(instants)]


def aberdeen(kind: str) -> pd.DataFrame:
    file = DATA / "sensor_community_aberdeen" / f"week_2019-03-28_04-03_{kind}.csv.gz"
    frame = pd.read_csv(file, sep=";")
    frame["time_ms"] = epoch_ms(frame["timestamp"])
    return frame[frame["time_ms"] < frame["time_ms"].min() + 36 * 60 * MINUTE]


def test_boxes_of_sensor_community_are_paired_and_their_two_ids_make_one_row() -> None:
    dust, climate = aberdeen("sds011"), aberdeen("dht22")
    stations = [
        Station(str(sensor), lon, lat, frozenset({kind}), sorted(own["time_ms"]))
        for kind, frame in (("pm10", dust), ("air_temperature", climate))
        for (sensor, lon, lat), own in frame.groupby(["sensor_id", "lon", "lat"])
    ]
    boxes = pair_stations(stations, 5.0, 5_000)
    assert len(boxes) >= 10
    place_of = {sensor: place for place, sensors in boxes.items() for sensor in sensors}
    rule = rule_of(metric("pm10", "mean", PERIOD), metric("air_temperature", "linear", 15 * MINUTE),
                   metric("humidity", "as_of", 10 * MINUTE))  # fmt: skip
    of_box: dict[str, dict[str, pd.DataFrame]] = {place: {} for place in boxes}
    arrivals = []
    for frame, column, name in (
        (dust, "P1", "pm10"), (climate, "temperature", "air_temperature"), (climate, "humidity", "humidity"),
    ):  # fmt: skip
        for sensor, own in frame.dropna(subset=[column]).groupby("sensor_id"):
            if place := place_of.get(str(sensor)):
                own = own.drop_duplicates("time_ms")
                of_box[place][name] = last_of_each_instant(own["time_ms"], own[column])
                arrivals += [
                    arrival(t, v, name, place=place, sensor=str(sensor), tie=i)
                    for i, (t, v) in enumerate(zip(own["time_ms"].tolist(), own[column].tolist(), strict=True))
                ]
    shard = played(rule, arrivals)
    whole, final = 0, shard.final
    for place, readings in of_box.items():
        instants = np.array(sorted(t for p, t in final if p == place))
        assert set(np.diff(instants)) == {PERIOD}
        if len(readings) < 3:
            continue
        expected = {
            "pm10": means(readings["pm10"], instants),
            "air_temperature": linear(readings["air_temperature"], instants, 15 * MINUTE),
            "humidity": as_of(readings["humidity"], instants, 10 * MINUTE),
        }
        for name, values in expected.items():
            assert [final[place, t][name]["value"] for t in instants.tolist()] == values, (place, name)
        whole += sum(all(v is not None for v in row) for row in zip(*expected.values(), strict=True))
    assert whole > 3_000, "a lifeless input"
    assert shard.counts == {"gridded": len(arrivals)}


def test_a_buoys_pressure_and_wind_direction_agree_with_numpy() -> None:
    columns = ["year", "month", "day", "hour", "minute", "wdir", *["spd", "gst", "wvht", "dpd", "apd", "mwd", "pres"]]
    frame = pd.read_csv(DATA / "ndbc_buoys" / "41002.txt.gz", sep=r"\s+", comment="#", header=None, na_values="MM")
    frame = frame.iloc[:, : len(columns)].set_axis(columns, axis=1).head(1_500)
    frame["time_ms"] = epoch_ms(pd.to_datetime(frame[columns[:5]]))
    arrivals = []
    for column, name in (("pres", "air_pressure"), ("wdir", "wind_direction")):
        own = frame.dropna(subset=[column])
        pairs = zip(own["time_ms"].tolist(), own[column].astype(float).tolist(), strict=True)
        arrivals += [arrival(t, v, name) for t, v in pairs]
    rule = rule_of(metric("air_pressure", "linear", 20 * MINUTE),
                   metric("wind_direction", "circular_linear", 20 * MINUTE))  # fmt: skip
    shard = played(rule, arrivals)
    instants = np.array(sorted(t for _, t in shard.final))
    pressure = frame.dropna(subset=["pres"])
    expected = linear(last_of_each_instant(pressure["time_ms"], pressure["pres"]), instants, 20 * MINUTE)
    assert list(shard.values("air_pressure").values()) == expected
    assert sum(v is not None for v in expected) > 2_000
    directions = sorted((a.time_ms, a.value) for a in arrivals if "wind_direction" in a.metrics)
    found = shard.values("wind_direction")
    for (t1, first), (t2, second) in pairwise(directions):
        middle = (t1 + t2) // 2
        if t2 - t1 == 10 * MINUTE and middle in found and abs(second - first) % 360 != 180:
            vector = np.exp(1j * np.radians(first)) + np.exp(1j * np.radians(second))
            wanted = np.degrees(np.angle(vector)) % 360
            assert abs((found[middle] - wanted + 180) % 360 - 180) < 1e-9


def test_gauges_of_one_moment_are_as_of_their_last_reading() -> None:
    frame = pd.read_csv(DATA / "usgs_nwis" / "usgs_iv_tidy.csv.gz", dtype={"site_no": str, "param_cd": str})
    frame = frame[frame["param_cd"] == "00065"]
    frame["time_ms"] = [pd.Timestamp(t).value // 1_000_000 for t in frame["datetime_iso_local_offset"]]
    rule = rule_of(metric("water_level", "as_of", 30 * MINUTE))
    rows = zip(frame["site_no"], frame["time_ms"].tolist(), frame["value_text"].astype(float).tolist(), strict=True)
    arrivals = [arrival(t, v, "water_level", place=site, sensor=site) for site, t, v in rows]
    shard = played(rule, arrivals)
    final = shard.final
    for site, own in frame.groupby("site_no"):
        instants = np.array(sorted(t for p, t in final if p == site))
        readings = last_of_each_instant(own["time_ms"], own["value_text"].astype(float))
        assert list(shard.values("water_level", str(site)).values()) == as_of(readings, instants, 30 * MINUTE)
    assert len(final) > 20 * 12
