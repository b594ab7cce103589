"""Runs the plain loop and the SQL job alternately over one aligned topic, and judges each run by an oracle.

The aligned topic is a real one: the plain loop of the work *whole* makes it out of a raw topic, with 0.5 % of the
readings two hours late. The oracle is a fold by pandas that shares no code with either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import orjson
import pandas as pd
from pyproj import Transformer

from benchmarks.broker_io import create_topics, delete_topics, end_offsets, make_consumer, read_to_end
from benchmarks.runner import BASELINE, Run, Variant, run_variant
from benchmarks.settings import Topics
from benchmarks.sql_statements import HOUR_MS, TARGET_CRS, SqlWork, output_of
from benchmarks.workload import Workload, ending_at, send_all

VARIANTS = (Variant(BASELINE, "benchmarks.sql_plain"), Variant("sql", "benchmarks.sql_job"))
_SPAN_MS = 20_000_000  # of event time: some hours, so that windows close while others fill
_KEY = ["sensor_id", "metric", "unit", "window_start_ms"]
# Sums are made in another order by everyone; a spread is the root of a difference of large sums.
_TOLERANCES = {"count": 0.0, "min": 0.0, "max": 0.0, "mean": 1e-9, "std": 1e-5, "x": 1e-9, "y": 1e-9}


def prepare(records: int, sensors: int, bootstrap: str, say: Callable[[str], None]) -> str:
    """Fill a fresh aligned topic; its name."""
    raw, topics = "bench.sql.raw", Topics("bench.sql")
    delete_topics(bootstrap, [raw, *topics.all])
    workload = Workload("whole", records, 0, sensors=sensors, step_ms=max(1, _SPAN_MS * sensors // records))
    say(f"{records:,} readings of {sensors:,} sensors into {raw}, and what is accepted of them into {topics.aligned}")
    send_all(ending_at(workload, time.time_ns() // 1_000_000), bootstrap, raw, processes=2)
    run_variant(Variant(BASELINE, "benchmarks.plain_loop"), "whole", bootstrap, raw, topics.prefix)
    delete_topics(bootstrap, [raw, *(name for name in topics.all if name != topics.aligned)])
    return topics.aligned


def alternate(
    works: Sequence[SqlWork], rounds: int, bootstrap: str, topic: str, say: Callable[[str], None]
) -> Iterator[Run]:
    """Run both variants once a round for each work, in an order that turns."""
    say(f"the oracle reads {topic}")
    truth = read_truth(bootstrap, topic)
    for work in works:
        for number in range(rounds):
            for variant in VARIANTS[number % 2 :] + VARIANTS[: number % 2]:
                prefix = f"bench.{work}.{variant.name}"
                output = output_of(prefix)
                delete_topics(bootstrap, [output])
                create_topics(bootstrap, [output], 4, {"message.timestamp.type": "LogAppendTime"})
                say(f"{work}: {variant.name}, round {number + 1} of {rounds}")
                answer = run_variant(variant, work, bootstrap, topic, prefix)
                problems = judge(truth, read_summaries(bootstrap, output), located=work == "sql-crs")
                delete_topics(bootstrap, [output])
                measured = (answer[name] for name in ("readings_per_s", "cpu_s_per_million", "max_rss_mb"))
                yield Run(variant.name, work, *measured, not problems, problems)


def read_truth(bootstrap: str, topic: str) -> pd.DataFrame:
    """Fold an aligned topic into what its hourly summaries must be."""
    fields = ["sensor_id", "metric", "unit", "value", "event_time_ms", "lon_deg", "lat_deg"]
    parts = [
        pd.DataFrame([[record[name] for name in fields] for record in batch], columns=fields).astype(
            dict.fromkeys(fields[:3], "string[pyarrow]")
        )
        for batch in _records(bootstrap, topic)
    ]
    return fold(pd.concat(parts, ignore_index=True))


def fold(readings: pd.DataFrame) -> pd.DataFrame:
    """Summarise readings, one row for each sensor, metric, unit and hour."""
    places = readings[["lon_deg", "lat_deg"]].drop_duplicates()
    transformer = Transformer.from_crs("EPSG:4326", TARGET_CRS, always_xy=True)
    places["x"], places["y"] = transformer.transform(places["lon_deg"].to_numpy(), places["lat_deg"].to_numpy())
    located = readings.merge(places, on=["lon_deg", "lat_deg"])
    located["window_start_ms"] = located["event_time_ms"] // HOUR_MS * HOUR_MS
    groups = located.groupby(_KEY)
    summaries = groups["value"].agg(["count", "mean", "min", "max"])
    summaries["std"] = groups["value"].std(ddof=0)
    return summaries.join(groups[["x", "y"]].mean())


def read_summaries(bootstrap: str, topic: str) -> pd.DataFrame:
    return pd.DataFrame([record for batch in _records(bootstrap, topic) for record in batch])


def judge(truth: pd.DataFrame, found: pd.DataFrame, *, located: bool) -> dict[str, int]:
    """Compare summaries with the truth; how many are missing, doubled, or wrong in which column."""
    if found.empty:
        return {"missing": len(truth)}
    counted = found.groupby(_KEY).size()
    first = found.drop_duplicates(_KEY).set_index(_KEY)
    both = truth.join(first, rsuffix="_found", how="inner")
    problems = {
        "missing": len(truth) - len(both),
        "unexpected": len(first) - len(both),
        "doubled": int((counted > 1).sum()),
    }
    for column, tolerance in _TOLERANCES.items():
        if located or column not in ("x", "y"):
            wanted, given = both[column].to_numpy(float), both[f"{column}_found"].to_numpy(float)
            wrong = ~(np.abs(wanted - given) <= tolerance * np.maximum(1.0, np.abs(wanted)))
            problems[f"wrong {column}"] = int(wrong.sum())
    return {what: number for what, number in problems.items() if number}


def _records(bootstrap: str, topic: str) -> Iterator[list[dict[str, Any]]]:
    consumer = make_consumer(bootstrap, "bench.sql.oracle")
    try:
        for batch in read_to_end(consumer, topic, end_offsets(consumer, topic)):
            yield [orjson.loads(message.value()) for message in batch]  # type: ignore[arg-type]
    finally:
        consumer.close()
