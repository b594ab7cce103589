"""A day with late, repeated and disordered readings: live, in batch, as a version, validated, exported, corrupted.

Everything goes by the command line, on a real broker and cluster; pandas folds the same readings on its own.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.parquet as pq
import pytest

from jobs.pipeline.deployment_file import load_deployment
from jobs.reprocess.outputs import Version, own_version, register
from tests.integration.support import (
    TOPICS,
    Record,
    Stack,
    audit,
    committed,
    create_topic,
    envelope,
    meridian,
    produce,
    running_job,
    wait_for,
    write_deployment,
)

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
DATE = "2014-07-01"
DAY = int(dt.datetime(2014, 7, 1, tzinfo=dt.UTC).timestamp() * 1_000)
NAME = "reprocess"
KEY = ["stream", "definition", "window_start_ms", "window_end_ms", "key", "metric"]
FOLDED = ["count", "mean", "min", "max", "first", "last", "first_event_time_ms", "last_event_time_ms"]
WINDOWS = {"weather": {"5min": (5, 5), "15min": (15, 5)}, "rivers": {"10min": (10, 10)}}  # size and slide, minutes
STREAMS = [
    {
        "name": "weather", "metrics": ["air_temperature"], "unit": "degC", "max_age": "20000 d",
        "windows": [{"name": "5min", "size": "5 min"}, {"name": "15min", "size": "15 min", "slide": "5 min"}],
    },
    {
        "name": "rivers", "metrics": ["water_level"], "unit": "m", "max_age": "20000 d", "allowed_lateness": "20 min",
        "windows": [{"name": "10min", "size": "10 min"}],
    },
]  # fmt: skip


def at(hour: int, minute: int, second: int = 0) -> int:
    return DAY + hour * HOUR + minute * MINUTE + second * SECOND


class Day(NamedTuple):
    deployment: Path
    sent: pd.DataFrame  # every reading once


class Feed:
    """Readings with values of their own, in disorder of up to 20 s, every eleventh sent twice."""

    def __init__(self) -> None:
        self._random = random.Random(7)
        self.sent: list[dict[str, Any]] = []

    def readings(self, sensor: str, start_ms: int, end_ms: int, river: bool = False) -> list[tuple[int, Record]]:
        unit = {"metric": "water_level", "unit": "m"} if river else {"metric": "air_temperature", "unit": "degC"}
        found = []
        for number, time_ms in enumerate(range(start_ms, end_ms, 10 * SECOND)):
            value = round(self._random.uniform(1.0, 3.0), 3)
            record = envelope(sensor, time_ms, value=value, **unit)
            stream = "rivers" if river else "weather"
            self.sent.append(
                {"stream": stream, "key": sensor, "metric": unit["metric"], "time": time_ms, "value": value}
            )
            for copy in range(2 if number % 11 == 0 else 1):
                found.append((time_ms + copy * 15 * SECOND + self._random.randrange(20) * SECOND, record))
        return found


def in_order(*parts: list[tuple[int, Record]]) -> list[Record]:
    return [record for _, record in sorted((item for part in parts for item in part), key=lambda item: item[0])]


@pytest.fixture(scope="module")
def day(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """A sensor is cut off in [08:46, 10:46) and then flushes; a river's last two minutes come after their window."""
    deployment = write_deployment(
        tmp_path_factory.mktemp("day") / "day.yaml",
        NAME,
        parallelism=1,
        topics={topic: {"name": f"{NAME}.{topic}", "partitions": 1} for topic in TOPICS},
        time={"out_of_orderness": "40 s", "watermarks": "on-event", "floor": "2014-01-01"},
        position={},
        outputs={"topic": f"{NAME}.outputs"},
        streams=STREAMS,
    )
    feed = Feed()
    before = in_order(
        feed.readings("steady", at(8, 0), at(8, 46)), feed.readings("cut-off", at(8, 0), at(8, 46)),
        feed.readings("river", at(8, 0), at(8, 46), river=True),
    )  # fmt: skip
    meanwhile = in_order(
        feed.readings("steady", at(8, 46), at(10, 46)), feed.readings("river", at(10, 30), at(10, 38), river=True)
    )
    flushed = in_order(
        feed.readings("cut-off", at(8, 46), at(10, 46)), feed.readings("river", at(10, 38), at(10, 40), river=True)
    )
    afterwards = in_order(feed.readings("steady", at(10, 46), at(11, 0)))
    last = feed.readings("steady", at(11, 5), at(11, 5, 10))
    with running_job(deployment):
        produce(stack, f"{NAME}.raw", before)
        wait_for(lambda: has_window(stack, "steady", at(8, 40)), 120, "the watermark has passed 08:45")
        produce(stack, f"{NAME}.raw", meanwhile)
        wait_for(lambda: has_window(stack, "steady", at(10, 35)), 60, "the watermark has passed 10:40")
        produce(stack, f"{NAME}.raw", flushed + afterwards + in_order(last))
        audit(deployment)
        yield Day(deployment, pd.DataFrame(feed.sent))


def has_window(stack: Stack, key: str, start_ms: int) -> bool:
    rows = committed(stack, f"{NAME}.windows")
    return any((row["key"], row["window_start_ms"]) == (key, start_ms) for row in rows)


def final(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).sort_values("revision").groupby(KEY).last()


def folded(sent: pd.DataFrame) -> pd.DataFrame:
    """All readings of the day in all of their windows, by pandas alone."""
    parts = []
    for stream, definitions in WINDOWS.items():
        of_stream = sent[sent["stream"] == stream]
        for definition, (size, slide) in definitions.items():
            for back in range(size // slide):
                part = of_stream.assign(definition=definition)
                part["window_start_ms"] = part["time"] // (slide * MINUTE) * slide * MINUTE - back * slide * MINUTE
                part["window_end_ms"] = part["window_start_ms"] + size * MINUTE
                parts.append(part)
    groups = pd.concat(parts).sort_values("time").groupby(KEY)
    names = {"count": "count", "mean": "mean", "min": "min", "max": "max", "first": "first", "last": "last"}
    result = groups["value"].agg(**names)  # type: ignore[call-overload]
    return result.assign(first_event_time_ms=groups["time"].min(), last_event_time_ms=groups["time"].max())


@pytest.fixture(scope="module")
def version_2(day: Day) -> dict[str, Any]:
    return dict(json.loads(meridian("reprocess", "--config", day.deployment, "--json").stdout))


def test_validation_explains_every_difference_and_finds_no_defect(day: Day) -> None:
    report = json.loads(meridian("validate-day", DATE, "--config", day.deployment, "--json").stdout)
    rows = report["rows"]
    assert report["ok"] and (rows["lost"], rows["doubled"], rows["other"], rows["open"]) == (0, 0, 0, 0)
    assert rows["late"] > 0 and rows["revised"] > 0 and rows["same"] > 0
    for definition in report["definitions"]:
        late = definition["late_readings"]
        assert definition["batch_readings"] == definition["live_readings"] + late and definition["unexplained"] == 0
        assert (late > 0) == (definition["stream"] == "weather")
    assert sum(d["batch_readings"] for d in report["definitions"]) == folded(day.sent)["count"].sum()


def test_a_validation_that_takes_too_long_leaves_no_job_behind(stack: Stack, day: Day) -> None:
    given_up = meridian("validate-day", DATE, "--config", day.deployment, "--timeout", "1", check=False)
    assert given_up.returncode != 0 and "unexpected" not in given_up.stderr
    name = f"meridian-{load_deployment(day.deployment).name}-validate-{DATE}"
    wait_for(lambda: stack.rest.running(name) is None, 120, f"no {name}")
    [job] = [job for job in stack.rest.jobs() if job.id in given_up.stderr.partition("runs as job ")[2][:32]]
    # It may end by itself just before it is cancelled.
    assert ("was cancelled" in given_up.stderr) == (job.state == "CANCELED"), job


def test_batch_is_live_plus_what_live_called_late_row_by_row(stack: Stack, day: Day, version_2: dict[str, Any]) -> None:
    topics = version_2["topics"]
    batch = final(committed(stack, topics["windows"]))
    expected = folded(day.sent)
    pd.testing.assert_frame_equal(
        batch[FOLDED].sort_index(), expected[FOLDED].sort_index(), check_dtype=False, rtol=1e-12
    )
    assert committed(stack, topics["late_events"]) == []

    live = final(committed(stack, f"{NAME}.windows"))["count"]
    letters = [
        (letter["stream"], letter["definition"], start, start + WINDOWS["weather"][letter["definition"]][0] * MINUTE,
         letter["sensor_id"], letter["metric"])
        for letter in committed(stack, f"{NAME}.late_events") for start in letter["missed_windows"]
    ]  # fmt: skip
    notes = [n for n in committed(stack, f"{NAME}.accounting") if n["class"] == "partly_late"]
    places = {(r["partition"], r["offset"]): r for r in committed(stack, f"{NAME}.aligned")}
    for note in notes:
        reading = places[note["partition"], note["offset"]]
        letters += [
            (note["stream"], note["definition"], start, start + 15 * MINUTE, reading["sensor_id"], reading["metric"])
            for start in note["missed_windows"]
        ]
    late = pd.Series(1, index=pd.MultiIndex.from_tuples(letters, names=KEY)).groupby(level=KEY).sum()
    assert len(late) and live.add(late, fill_value=0).astype(int).equals(batch["count"].sort_index())


def test_live_and_batch_align_the_same_readings_and_find_the_same_duplicates(
    stack: Stack, day: Day, version_2: dict[str, Any]
) -> None:
    for role, fields in (("aligned", ("offset", "event_id", "value")), ("accounting", ("offset", "class"))):
        live, batch = (
            sorted(tuple(r[f] for f in fields) for r in committed(stack, topic) if r.get("class") != "partly_late")
            for topic in (f"{NAME}.{role}", version_2["topics"][role])
        )
        assert live == batch and live


def test_a_switch_is_one_record_that_readers_follow(
    stack: Stack, day: Day, version_2: dict[str, Any], tmp_path: Path
) -> None:
    meridian("outputs", "switch", "2", "--config", day.deployment)
    try:
        assert json.loads(meridian("outputs", "list", "--config", day.deployment, "--json").stdout)["current"] == 2
        pointers = [r for r in committed(stack, f"{NAME}.outputs") if "switched_at_ms" in r]
        assert [(p["version"], p["topics"]) for p in pointers] == [(2, version_2["topics"])]
        file = tmp_path / "windows.parquet"
        meridian("export", "windows", "-o", file, "--config", day.deployment, "--window", "5min")
        rows = pq.read_table(file).to_pandas()
        assert len(rows) == len(folded(day.sent).query("definition == '5min'"))
        assert meridian("outputs", "drop", "2", "--config", day.deployment, "--yes", check=False).returncode == 2
    finally:
        meridian("outputs", "switch", "1", "--config", day.deployment)


def test_a_removed_and_a_doubled_row_are_found_and_never_switched_to(
    stack: Stack, day: Day, version_2: dict[str, Any]
) -> None:
    rows = committed(stack, f"{NAME}.windows")
    whole = [r for r in rows if r["key"] == "steady" and r["definition"] == "5min"]
    removed, doubled = whole[3], whole[7]
    corrupt = create_topic(stack, f"{NAME}.windows.v3")
    kept = [Record(json.dumps(r).encode()) for r in rows if r != removed]
    produce(stack, corrupt, [*kept, Record(json.dumps(doubled).encode())])
    deployment = load_deployment(day.deployment)
    register(deployment, Version(3, {**own_version(deployment).topics, "windows": corrupt}, "corrupt"))

    refused = meridian("outputs", "switch", "3", "--config", day.deployment, check=False)
    assert refused.returncode == 1 and "does not close" in refused.stderr, refused.stderr
    assert json.loads(meridian("outputs", "list", "--config", day.deployment, "--json").stdout)["current"] == 1

    command = ("validate-day", DATE, "--config", day.deployment, "--of", "3", "--against", "2", "--json")
    found = meridian(*command, check=False)
    assert found.returncode == 1, found.stderr
    report = json.loads(found.stdout)
    defects = {
        (d["reason"], d["key"], d["window_start_ms"])
        for d in report["differences"]
        if d["reason"] in ("lost", "doubled")
    }
    assert defects == {
        ("lost", "steady", removed["window_start_ms"]), ("doubled", "steady", doubled["window_start_ms"]),
    }  # fmt: skip
    assert not report["ok"] and report["rows"]["other"] == 0


def test_a_version_that_ends_before_the_raw_topic_is_switched_to_only_on_request(
    stack: Stack, day: Day, version_2: dict[str, Any]
) -> None:
    produce(stack, f"{NAME}.raw", [envelope("steady", at(11, 6))])
    refused = meridian("outputs", "switch", "2", "--config", day.deployment, check=False)
    assert refused.returncode == 1 and "ends 1 raw records before" in refused.stderr, refused.stderr
    meridian("outputs", "drop", "2", "--config", day.deployment, "--yes")
    listed = json.loads(meridian("outputs", "list", "--config", day.deployment, "--json").stdout)
    assert "2" not in listed["versions"]


def test_a_following_version_catches_up_and_goes_on_with_what_comes(stack: Stack, day: Day) -> None:
    made = json.loads(meridian("reprocess", "--config", day.deployment, "--follow", "--version", "4", "--json").stdout)
    try:
        produce(stack, f"{NAME}.raw", [envelope("steady", at(11, 7))])
        meridian("outputs", "switch", "4", "--config", day.deployment, "--wait", "120")
        live, following = (
            sorted((r["offset"], r["event_id"], r["value"]) for r in committed(stack, topic))
            for topic in (f"{NAME}.aligned", made["topics"]["aligned"])
        )
        assert live == following and len(live) > len(day.sent)
    finally:
        meridian("outputs", "switch", "1", "--config", day.deployment, check=False)
        meridian("cancel", "--config", made["deployment"])
