"""Runs the plain loop and the grid job alternately over one aligned topic, and judges each run by an oracle.

The topic is that of `benchmarks.sql_summaries`, with 0.5 % of the readings two hours late. The oracle is pandas and
NumPy and shares no code with either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import orjson
import pandas as pd

from benchmarks.broker_io import delete_topics, end_offsets, make_consumer, read_to_end
from benchmarks.runner import BASELINE, Run, Variant, run_variant

WORKS = ("align",)
PERIOD_MS = 300_000
MAX_GAP_MS = 120_000
MAX_LATENESS_MS = 125 * 60_000  # more than the workload delays any reading
METHODS = {"air_temperature": ("linear", "degC"), "pm2_5": ("mean", "ug/m3"), "water_level": ("as_of", "m")}
VARIANTS = (Variant(BASELINE, "benchmarks.align_plain"), Variant("meridian", "benchmarks.align_job"))
_TOLERANCE = 1e-9  # sums are made in another order
_KEY = ["place", "metric", "instant_ms"]


def output_of(prefix: str) -> str:
    return f"{prefix}.grid"


def alternate(rounds: int, bootstrap: str, topic: str, say: Callable[[str], None]) -> Iterator[Run]:
    """Run both variants once a round, in an order that turns."""
    say(f"the oracle reads {topic}")
    truth = read_truth(bootstrap, topic)
    for number in range(rounds):
        for variant in VARIANTS[number % 2 :] + VARIANTS[: number % 2]:
            prefix = f"bench.align.{variant.name}"
            topics = [f"{prefix}.{kind}" for kind in ("grid", "late_grid", "grid_accounting", "clocks")]
            delete_topics(bootstrap, topics)
            say(f"align: {variant.name}, round {number + 1} of {rounds}")
            answer = run_variant(variant, "align", bootstrap, topic, prefix)  # type: ignore[arg-type]
            problems = judge(truth, read_rows(bootstrap, output_of(prefix)))
            delete_topics(bootstrap, topics)
            measured = (answer[name] for name in ("readings_per_s", "cpu_s_per_million", "max_rss_mb"))
            yield Run(variant.name, "align", *measured, not problems, problems)  # type: ignore[arg-type]


def read_truth(bootstrap: str, topic: str) -> pd.DataFrame:
    """Work out of an aligned topic what its rows must be."""
    columns = ["sensor_id", "metric", "event_time_ms", "value"]
    parts = [
        pd.DataFrame([[record[name] for name in columns] for record in batch], columns=columns)
        for batch in _records(bootstrap, topic)
    ]
    return grid_of(pd.concat(parts, ignore_index=True))


def grid_of(readings: pd.DataFrame) -> pd.DataFrame:
    """The value of each sensor and metric at each instant that has a reading in the five minutes before it.

    The last two instants of all are left out: their rows wait for readings that do not come.
    """
    readings = readings.rename(columns={"sensor_id": "place"}).sort_values(["place", "metric", "event_time_ms"])
    end_ms = readings["event_time_ms"].max() - 2 * PERIOD_MS
    found = []
    for (place, metric), own in readings.groupby(["place", "metric"], sort=False):
        times, values = own["event_time_ms"].to_numpy(), own["value"].to_numpy()
        instants = np.unique(times // PERIOD_MS) * PERIOD_MS + PERIOD_MS
        instants = instants[instants <= end_ms]
        frame = pd.DataFrame({"place": place, "metric": metric, "instant_ms": instants})
        frame["value"] = {"mean": _means, "linear": _linear, "as_of": _as_of}[METHODS[metric][0]](
            times, values, instants
        )
        found.append(frame)
    return pd.concat(found, ignore_index=True)


def _means(times: np.ndarray, values: np.ndarray, instants: np.ndarray) -> np.ndarray:
    means = pd.Series(values).groupby(times // PERIOD_MS * PERIOD_MS + PERIOD_MS).mean()
    return means.reindex(instants).to_numpy()


def _linear(times: np.ndarray, values: np.ndarray, instants: np.ndarray) -> np.ndarray:
    after = np.searchsorted(times, instants, side="left")
    inside = np.clip(after, 1, len(times) - 1)
    is_exact = times[np.minimum(after, len(times) - 1)] == instants
    is_near = (after > 0) & (after < len(times)) & (times[inside] - times[inside - 1] <= MAX_GAP_MS)
    return np.where(is_near | is_exact, np.interp(instants, times, values), np.nan)


def _as_of(times: np.ndarray, values: np.ndarray, instants: np.ndarray) -> np.ndarray:
    last = np.searchsorted(times, instants, side="right") - 1
    return np.where(instants - times[last] <= MAX_GAP_MS, values[last], np.nan)


def read_rows(bootstrap: str, topic: str) -> pd.DataFrame:
    """The values of each row's last revision."""
    newest: dict[tuple[str, int], tuple[int, dict[str, float | None]]] = {}
    for batch in _records(bootstrap, topic):
        for row in batch:
            key = row["place"], row["instant_ms"]
            if key not in newest or row["revision"] > newest[key][0]:
                newest[key] = row["revision"], {name: v["value"] for name, v in row["values"].items()}
    rows = [(p, metric, t, v) for (p, t), (_, values) in newest.items() for metric, v in values.items()]
    return pd.DataFrame(rows, columns=[*_KEY, "value"]).astype({"value": float})


def judge(truth: pd.DataFrame, found: pd.DataFrame) -> dict[str, int]:
    """Compare rows with the truth; how many values are missing, or wrong."""
    both = truth.merge(found, on=_KEY, how="left", suffixes=("", "_found"), indicator=True)
    wanted, given = both["value"].to_numpy(), both["value_found"].to_numpy(float)
    same = (np.isnan(wanted) & np.isnan(given)) | (np.abs(wanted - given) <= _TOLERANCE * np.maximum(1, np.abs(wanted)))
    is_missing = (both["_merge"] != "both").to_numpy()
    problems = {"missing": int(is_missing.sum()), "wrong": int((~same & ~is_missing).sum())}
    return {what: number for what, number in problems.items() if number}


def _records(bootstrap: str, topic: str) -> Iterator[list[dict[str, object]]]:
    consumer = make_consumer(bootstrap, "bench.align.oracle")
    try:
        for batch in read_to_end(consumer, topic, end_offsets(consumer, topic)):
            yield [orjson.loads(message.value()) for message in batch]  # type: ignore[arg-type]
    finally:
        consumer.close()
