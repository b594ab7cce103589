"""Readings in a unit that nobody knows, and readings behind the watermark: mended, replayed, recomputed, accounted for.

Everything goes by the command line, on a real broker and cluster; pandas folds the aligned readings on its own.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from jobs.broker.topic_records import topic_records
from jobs.pipeline.deployment_file import load_deployment
from tests.integration.support import (
    TOPICS,
    Stack,
    audit,
    committed,
    envelope,
    meridian,
    produce,
    running_job,
    wait_for,
    write_deployment,
)

pytestmark = pytest.mark.extended

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
DATE = "2014-07-01"
DAY = int(dt.datetime(2014, 7, 1, tzinfo=dt.UTC).timestamp() * 1_000)
NAME = "replay-dlq"
ROW = ["definition", "window_start_ms", "key"]
FOLDED = ["count", "mean", "min", "max", "first", "last", "std"]
SIZES = {"5min": (5, 5), "by-cell": (15, 5)}  # size and slide, minutes
STREAM = {
    "name": "weather", "metrics": ["air_temperature"], "unit": "degC", "max_age": "20000 d",
    "windows": [
        {"name": "5min", "size": "5 min"}, {"name": "by-cell", "key": "cell", "size": "15 min", "slide": "5 min"},
    ],
}  # fmt: skip
REFUSED = 30
LATE = 714  # of the sensor that was cut off, as in the worked example
# 5min: 24 windows of the sensor that was cut off, and one of the readings that were mended. by-cell: 24 and 3, and
# readings of the last ten minutes are late for one or two of their three windows only.
RECOMPUTED = 25 + 27
INTO_THEM = LATE + REFUSED + 3 * (LATE + REFUSED) - 90


def at(hour: int, minute: int, second: int = 0) -> int:
    return DAY + hour * HOUR + minute * MINUTE + second * SECOND


@pytest.fixture(scope="module")
def deployment(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sensor is cut off in [08:46, 10:46) and then flushes; another one writes its unit as nobody does."""
    file = write_deployment(
        tmp_path_factory.mktemp("replay") / "d.yaml",
        NAME,
        parallelism=1,
        topics={t: {"name": f"{NAME}.{t}", "partitions": 3 if t == "windows" else 1} for t in TOPICS},
        time={"out_of_orderness": "30 s", "watermarks": "on-event", "floor": "2014-01-01"},
        position={},
        streams=[STREAM],
    )
    before = []
    for ms in range(at(8, 0), at(8, 46), 10 * SECOND):  # what is refused moves the watermark too: all in order
        before += [envelope(sensor, ms, value=ms % 7_000 / 100) for sensor in ("steady", "cut-off")]
        if 0 <= (number := (ms - at(8, 10)) // (10 * SECOND)) < REFUSED:
            before.append(envelope("odd", ms, value=50.0 + number, unit="Fahr"))
    meanwhile = [envelope("steady", ms, value=ms % 7_000 / 100) for ms in range(at(8, 46), at(10, 46) + 1, 10 * SECOND)]
    flushed = [envelope("cut-off", ms, value=ms % 900 / 10) for ms in range(at(8, 46), at(10, 46), 10 * SECOND)]
    afterwards = [envelope("steady", ms) for ms in range(at(10, 46, 10), at(11, 0), 10 * SECOND)]
    with running_job(file):
        produce(stack, f"{NAME}.raw", before + meanwhile)
        wait_for(lambda: has_row(stack, "steady", at(10, 40)), 120, "the watermark has passed 10:45")
        produce(stack, f"{NAME}.raw", flushed + afterwards)
        wait_for(lambda: has_row(stack, "cut-off", at(10, 45)), 60, "the window that was open at the flush has closed")
        yield file


def has_row(stack: Stack, key: str, start_ms: int) -> bool:
    return any((row["key"], row["window_start_ms"]) == (key, start_ms) for row in committed(stack, f"{NAME}.windows"))


def run(*arguments: str | Path, check: bool = True) -> Any:
    return json.loads(meridian("replay-dlq", *arguments, "--json", check=check).stdout)


def folded(aligned: list[dict[str, Any]]) -> pd.DataFrame:
    """All aligned readings in all of their windows, by pandas alone."""
    readings, parts = pd.DataFrame(aligned), []
    for definition, (size, slide) in SIZES.items():
        for back in range(size // slide):
            part = readings.assign(definition=definition, key=readings["sensor_id" if size == slide else "cell"])
            last_ms = part["event_time_ms"] // (slide * MINUTE) * slide * MINUTE
            parts.append(part.assign(window_start_ms=last_ms - back * slide * MINUTE))
    groups = pd.concat(parts).sort_values(["event_time_ms", "event_id"]).groupby(ROW)["value"]
    names = {name: name for name in FOLDED if name != "std"}
    return groups.agg(**names).assign(std=groups.std(ddof=0))[FOLDED]  # type: ignore[call-overload]


def final(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).sort_values("revision").groupby(ROW).last()


def test_refused_and_late_readings_end_in_their_windows_and_the_audit_closes(
    stack: Stack, deployment: Path, tmp_path: Path
) -> None:
    config = ("--config", deployment)
    wrong, mend = tmp_path / "wrong.yaml", tmp_path / "mend.yaml"
    wrong.write_text(yaml.safe_dump({"rules": [{"set": {"unit": "Kelwin"}}]}))
    rule = {"when": {"reason": "unknown_unit", "sensor": "odd"}, "set": {"unit": "degF"}}
    mend.write_text(yaml.safe_dump({"rules": [rule]}))
    letters = wait_for(lambda: committed(stack, f"{NAME}.invalid_events"), 60, "the refused readings")
    assert {letter["reason"] for letter in letters} == {"unknown_unit"} and len(letters) == REFUSED
    raw_before = len(committed_raw(deployment))

    # A first attempt mends one letter wrongly; it is refused again and keeps its history.
    place = f"{letters[0]['partition']}/{letters[0]['offset']}"
    assert run("send", *config, "--at", place, "--edit", wrong)["sent"] == 1
    wait_for(lambda: len(committed(stack, f"{NAME}.invalid_events")) == REFUSED + 1, 60, "refused again")

    planned = run("send", *config, "--reason", "unknown_unit", "--edit", mend, "--dry-run")
    assert planned["fates"] == {"unknown_unit": {"accepted": REFUSED}}
    assert (planned["sent"], planned["edited"], planned["sent_before"]) == (REFUSED, REFUSED, 1)
    assert '"unit":"degF"' in planned["examples"][0]["after"]
    assert len(committed_raw(deployment)) == raw_before + 1

    # A run that is broken off goes on, and a last one finds nothing to do.
    select = ("send", *config, "--sensor", "odd", "--edit", mend, "--accepted-only")
    assert run(*select, "--limit", "7")["sent"] == 7
    rest = run(*select)
    assert (rest["sent"], rest["sent_before"]) == (REFUSED - 7, 8)
    assert run(*select)["sent"] == 0
    wait_for(lambda: len(of_sensor(stack, "odd")) == REFUSED, 60, "the mended readings are aligned")
    assert sorted(r["value"] for r in of_sensor(stack, "odd")) == pytest.approx(
        [(50.0 + i - 32) / 1.8 for i in range(REFUSED)]
    )
    history = run("history", place, *config)
    assert [step["outcomes"][0]["stage"] for step in history] == ["invalid", "invalid", "aligned"]

    # What was late, the replayed readings among it, is recomputed while the job runs.
    before = audit(deployment)
    assert before["late"] == LATE + REFUSED
    rows_before = len(committed(stack, f"{NAME}.windows"))
    planned = run("late", *config, "--dry-run")
    assert (planned["published"], planned["late_readings"]) == (RECOMPUTED, INTO_THEM)
    assert len(committed(stack, f"{NAME}.windows")) == rows_before
    only = run("late", *config, "--definition", "weather/5min")
    whole = run("late", *config)
    assert only["published"] + whole["published"] == planned["published"] and whole["up_to_date"] == only["published"]
    assert whole["incomplete"] == whole["not_closed"] == whole["not_aligned"] == 0
    assert run("late", *config)["published"] == 0

    rows = committed(stack, f"{NAME}.windows")
    assert len(rows) == rows_before + planned["published"]
    expected = folded(committed(stack, f"{NAME}.aligned"))
    found = final(rows)[FOLDED]
    assert set(found.index) <= set(expected.index)
    closed = expected.loc[found.index]
    pd.testing.assert_frame_equal(found, closed, check_dtype=False, rtol=1e-9)
    open_ms = {start for _, start, _ in set(expected.index) - set(found.index)}
    assert all(start_ms >= at(10, 45) for start_ms in open_ms)

    after = audit(deployment)
    assert (after["late"], after["windowed"]) == (before["late"], before["windowed"])
    assert sum(d["recomputed"] for d in after["definitions"]) == planned["published"]
    report = json.loads(meridian("validate-day", DATE, *config, "--json").stdout)
    assert report["ok"] and report["rows"]["recomputed"] == planned["published"] and report["rows"]["late"] == 0


def test_a_recomputed_row_lies_where_the_job_put_its_first_word(deployment: Path) -> None:
    loaded = load_deployment(deployment)
    partitions: dict[tuple[Any, ...], set[int]] = {}
    recomputed = set()
    for record in topic_records(loaded, loaded.topics.windows.name):
        row = json.loads(record.value)
        key = tuple(row[name] for name in ROW)
        partitions.setdefault(key, set()).add(record.partition)
        if row["timing"] == "recomputed" and row["revision"] > 1:
            recomputed.add(key)
    assert recomputed and all(len(found) == 1 for found in partitions.values())


def committed_raw(deployment: Path) -> list[Any]:
    loaded = load_deployment(deployment)
    return list(topic_records(loaded, loaded.topics.raw.name))


def of_sensor(stack: Stack, sensor: str) -> list[dict[str, Any]]:
    return [reading for reading in committed(stack, f"{NAME}.aligned") if reading["sensor_id"] == sensor]
