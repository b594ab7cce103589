"""The grid job on the real broker and cluster: rows are those of the definition, and no reading is lost."""

from __future__ import annotations

import json
import random
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka.admin import AdminClient

from tests.integration.support import (
    Record,
    Stack,
    committed,
    create_topic,
    failures,
    members,
    meridian,
    produce,
    wait_for,
    wait_until_running,
)
from tests.support.grids import Arrival, arrival, brute_force, grid, metric

MINUTE, HOUR = 60_000, 3_600_000
START = 1_700_000_000_000 - 1_700_000_000_000 % HOUR
KINDS = ("grid", "late_grid", "grid_accounting", "clocks")
STATIONS = [f"station-{n}" for n in range(6)]
METRICS = [
    {"metric": "water_level", "unit": "m", "method": "linear", "max_gap": "10 min"},
    {"metric": "rain", "unit": "mm", "method": "mean", "sources": ["rain"]},
]
RULE = grid(
    metric("water_level", "linear", 10 * MINUTE), metric("rain", "mean", 5 * MINUTE),
    period_ms=5 * MINUTE, keep_ms=30 * MINUTE, max_wait_ms=HOUR, allowed_lateness_ms=HOUR,
)  # fmt: skip


def write_grid_file(path: Path, name: str, metrics: list[dict[str, Any]] = METRICS, **changes: Any) -> Path:
    document = {
        "name": name,
        "parallelism": 2,
        "kafka": {"bootstrap_servers": "${MERIDIAN_KAFKA}"},
        "topics": {kind: {"name": f"{name}.{kind}", "partitions": 2} for kind in KINDS},
        "sources": [
            {"name": s, "topic": f"{name}.{s}", "out_of_orderness": "30 s", "idle_after": "1 h"}
            for s in ("rivers", "rain")
        ],
        "grids": [{
            "name": "five", "period": "5 min", "max_wait": "1 h", "allowed_lateness": "1 h", "keep": "30 min",
            "metrics": metrics,
        }],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(document | changes))
    return path


def aligned(sensor: str, time_ms: int, value: float, metric: str = "water_level", partition: int = 0) -> Record:
    reading = {
        "event_id": f"{sensor}-{metric}-{time_ms}", "sensor_id": sensor, "region": "grampian", "stream": "all",
        "metric": metric, "value": value, "unit": "m" if metric == "water_level" else "mm", "event_time_ms": time_ms,
        "ingest_time_ms": time_ms + 100, "append_time_ms": time_ms + 200, "lon_deg": -2.1, "lat_deg": 57.1, "cell": "c",
    }  # fmt: skip
    return Record(json.dumps(reading, separators=(",", ":")).encode(), sensor.encode(), partition)


@contextmanager
def running_grid_job(stack: Stack, grid_file: Path, partitions: int = 2) -> Iterator[str]:
    for source in yaml.safe_load(grid_file.read_text())["sources"]:
        create_topic(stack, source["topic"], partitions)
    submitted = json.loads(meridian("join", "submit", "--config", grid_file, "--json").stdout)
    try:
        wait_until_running(stack, submitted["job_id"])
        yield submitted["job_id"]
    finally:
        meridian("join", "cancel", "--config", grid_file, check=False)


def three_hours(seed: int) -> tuple[dict[str, list[Record]], list[Arrival]]:
    """Readings of six stations, some missing, out of order by up to 30 s; by source, and as the test knows them."""
    chance = random.Random(seed)
    records: dict[str, list[tuple[int, Record]]] = {"rivers": [], "rain": []}
    arrivals = []
    for number, station in enumerate(STATIONS):
        for source, name, every_ms in (("rivers", "water_level", 3 * MINUTE), ("rain", "rain", MINUTE)):
            for time_ms in range(START + chance.randrange(MINUTE), START + 3 * HOUR, every_ms):
                if chance.random() < 0.9 and not (number == 0 and HOUR < time_ms - START < 2 * HOUR):
                    value = float(chance.randrange(1_000))
                    order_ms = time_ms + chance.randrange(29_000)
                    records[source].append((order_ms, aligned(station, time_ms, value, name, number % 2)))
                    arrivals.append(arrival(time_ms, value, name, place=station, sensor=station))
    by_source = {source: [record for _, record in sorted(of, key=lambda o: o[0])] for source, of in records.items()}
    return by_source, arrivals


def pacemakers(time_ms: int) -> list[Record]:
    """Readings of no metric of the grid: they move the watermark of both partitions and are counted as outside."""
    return [aligned("pacemaker", time_ms, 0.0, "battery", partition) for partition in (0, 1)]


def final_rows(rows: list[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    newest: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        key = row["place"], row["instant_ms"]
        if key not in newest or newest[key]["revision"] < row["revision"]:
            newest[key] = row
    return newest


def assert_rows_are_the_definitions(stack: Stack, name: str, arrivals: list[Arrival]) -> None:
    expected = brute_force(RULE, arrivals, START - HOUR, START + 5 * HOUR)
    topic = f"{name}.grid"
    wait_for(lambda: final_rows(committed(stack, topic)).keys() >= expected.keys(), 120, f"all rows in {topic}")
    rows = committed(stack, topic)
    found = final_rows(rows)
    assert found.keys() == expected.keys()
    for key, row in found.items():
        for column, (value, reason) in expected[key].items():
            assert row["values"][column]["value"] == pytest.approx(value), (key, column)
            assert row["values"][column]["reason"] == reason, (key, column)
        assert row["settled"] and row["complete"] == all(v["value"] is not None for v in row["values"].values())
    revisions = [(row["place"], row["instant_ms"], row["revision"]) for row in rows]
    assert len(set(revisions)) == len(revisions), "a row was published twice"


def assert_accounts_close(grid_file: Path) -> dict[str, dict[str, int]]:
    result = meridian("join", "audit", "--config", grid_file, "--wait", "60", "--json", check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return {a["source"]: a["counts"] for a in json.loads(result.stdout)}


@pytest.mark.extended
def test_two_streams_make_the_rows_of_the_definition_and_every_reading_is_accounted_for(
    stack: Stack, tmp_path: Path
) -> None:
    grid_file = write_grid_file(tmp_path / "g.yaml", "grid-two")
    records, arrivals = three_hours(seed=1)
    with running_grid_job(stack, grid_file) as job_id:
        for source, of in records.items():
            produce(stack, f"grid-two.{source}", [*of, *pacemakers(START + 8 * HOUR)])
        assert_rows_are_the_definitions(stack, "grid-two", arrivals)
        counts = assert_accounts_close(grid_file)
        assert {s: c["gridded"] for s, c in counts.items()} == {s: len(of) for s, of in records.items()}
        assert all(c["no_metric"] == 2 for c in counts.values())
        assert failures(stack, job_id) == []
        clocks = committed(stack, "grid-two.clocks")
        assert {c["sensor_id"] for c in clocks} == set(STATIONS)
        assert {c["ahead_ms"] for c in clocks} == {-200.0}
        refused = meridian("join", "submit", "--config", grid_file, check=False)
        assert refused.returncode == 2 and "runs already" in refused.stderr
    again = meridian("join", "submit", "--config", grid_file, check=False)
    assert again.returncode == 2 and "holds what an earlier job has published" in again.stderr


def test_kill_9_of_a_taskmanager_and_a_savepoint_change_no_row(stack: Stack, tmp_path: Path) -> None:
    grid_file = write_grid_file(tmp_path / "g.yaml", "grid-kill")
    records, arrivals = three_hours(seed=2)
    with running_grid_job(stack, grid_file) as job_id:
        halves = {source: len(of) // 2 for source, of in records.items()}
        for source, of in records.items():
            produce(stack, f"grid-kill.{source}", of[: halves[source]])
        wait_for(lambda: committed(stack, "grid-kill.grid"), 90, "a first row is committed")
        max(members(stack, "TaskManagerRunner"), key=lambda p: p.create_time()).send_signal(signal.SIGKILL)
        wait_for(lambda: failures(stack, job_id), 90, "the job notices")
        wait_until_running(stack, job_id)
        for source, of in records.items():
            produce(stack, f"grid-kill.{source}", of[halves[source] :])
        savepoint = meridian("join", "cancel", "--config", grid_file, "--savepoint").stdout.strip()
        other_shards = write_grid_file(tmp_path / "other.yaml", "grid-kill", shards=16)
        unfit = meridian("join", "submit", "--config", other_shards, "--from-savepoint", savepoint, check=False)
        assert unfit.returncode == 2 and "shards: 32 -> 16" in unfit.stderr, unfit.stderr
        meridian("join", "submit", "--config", grid_file, "--from-savepoint", f"{savepoint}/_metadata")
        for source in records:
            produce(stack, f"grid-kill.{source}", pacemakers(START + 8 * HOUR))
        assert_rows_are_the_definitions(stack, "grid-kill", arrivals)
        counts = assert_accounts_close(grid_file)
        assert sum(c["gridded"] for c in counts.values()) == len(arrivals)
    older = meridian("join", "submit", "--config", grid_file, "--from-savepoint", savepoint, check=False)
    assert older.returncode == 2 and "would be published twice" in older.stderr, older.stderr


def test_the_worked_example_a_straggler_is_a_revision_and_a_later_one_a_dead_letter(
    stack: Stack, tmp_path: Path
) -> None:
    """docs/grid.md: level every 10 min, 30 s out-of-orderness, an hour of allowed lateness."""
    name = "grid-late"
    source = {"name": "rivers", "topic": f"{name}.rivers", "out_of_orderness": "30 s", "idle_after": "1 h"}
    level = {"metric": "water_level", "unit": "m", "method": "linear", "max_gap": "30 min"}
    grid_file = write_grid_file(tmp_path / "g.yaml", name, [level], sources=[source], parallelism=1)

    def rows_at(minute: int) -> list[dict[str, Any]]:
        rows = [r for r in committed(stack, f"{name}.grid") if r["instant_ms"] == START + minute * MINUTE]
        return sorted(rows, key=lambda r: r["revision"])

    def level_at(minute: int, value: float) -> Record:
        return aligned("gauge", START + minute * MINUTE, value)

    with running_grid_job(stack, grid_file, partitions=1):
        produce(stack, f"{name}.rivers", [level_at(0, 1.0), level_at(20, 3.0), level_at(31, 3.0)])
        (row,) = wait_for(lambda: rows_at(10), 90, "the row of 00:10")
        assert (row["values"]["water_level"]["value"], row["revision"], row["timing"]) == (2.0, 1, "on_time")
        assert (row["values"]["water_level"]["age_ms"], row["values"]["water_level"]["until_next_ms"]) == (600_000,) * 2
        produce(stack, f"{name}.rivers", [level_at(9, 1.4)])  # the reading of 00:09, 21 minutes late
        _, row = wait_for(lambda: len(rows_at(10)) > 1 and rows_at(10), 60, "its revision")
        assert row["values"]["water_level"]["value"] == pytest.approx(1.4 + 1.6 / 11)
        assert (row["revision"], row["timing"]) == (2, "late")
        produce(stack, f"{name}.rivers", [level_at(131, 3.0)])
        wait_for(lambda: rows_at(60), 60, "the watermark has passed 02:10")
        produce(stack, f"{name}.rivers", [level_at(8, 9.0)])
        (letter,) = wait_for(lambda: committed(stack, f"{name}.late_grid"), 60, "its dead letter")
        assert (letter["reason"], letter["definition"], letter["offset"]) == ("late", "five", 5)
        assert letter["lateness_ms"] == letter["watermark_ms"] - (START + 8 * MINUTE)
        assert letter["watermark_ms"] == START + 131 * MINUTE - 30_001
        assert len(rows_at(10)) == 2
        assert assert_accounts_close(grid_file)["rivers"] == {"gridded": 5, "late": 1}
        # In batch the reading of 00:08 is a neighbour of 00:05; what came in time is the same.
        report = json.loads(meridian("join", "validate-day", "2023-11-14", "--config", grid_file, "--json").stdout)
        assert report["ok"] and report["late_readings"] == {"five": 1}
        late = [d for d in report["differences"] if d["reason"] == "late"]
        assert [(d["instant_ms"], d["detail"]) for d in late] == [(START + 5 * MINUTE, "1 of 5 readings were late")]
        assert report["rows"]["same"] + report["rows"]["revised"] == 12 and report["rows"]["revised"] > 0
        wait_for(lambda: not topics_of(stack, f"{name}.grid.validate"), 30, "the batch run's topics are gone")


@pytest.mark.extended
def test_rows_come_unsettled_by_the_wall_clock_when_the_watermark_stands_still(stack: Stack, tmp_path: Path) -> None:
    """The rivers say nothing and are not idle; their first reading would come late without `stalled_after`."""
    name = "grid-stalled"
    stalled = {"name": "five", "period": "5 min", "max_wait": "10 min", "allowed_lateness": "1 h", "keep": "30 min",
               "stalled_after": "2 s", "metrics": METRICS}  # fmt: skip
    grid_file = write_grid_file(tmp_path / "g.yaml", name, grids=[stalled], parallelism=1)

    def rows_at_30() -> list[dict[str, Any]]:
        rows = [r for r in committed(stack, f"{name}.grid") if r["instant_ms"] == START + 30 * MINUTE]
        return sorted(rows, key=lambda r: (r["place"], r["revision"]))

    with running_grid_job(stack, grid_file, partitions=1):
        produce(stack, f"{name}.rain", [aligned("15463", START + n * MINUTE, 1.0, "rain") for n in range(61)])
        (row,) = wait_for(rows_at_30, 90, "rows by the wall clock")
        assert (row["timing"], row["settled"], row["watermark_ms"]) == ("unsettled", False, -(2**63))
        assert (row["values"]["rain"]["value"], row["values"]["water_level"]["reason"]) == (1.0, "no_reading")
        levels = [aligned("15464", START + n * MINUTE + 1_000, float(n)) for n in range(61)]
        produce(stack, f"{name}.rivers", levels)
        *_, box, level = wait_for(lambda: len(rows_at_30()) == 3 and rows_at_30(), 60, "the rivers' rows")
        assert (box["place"], box["revision"], box["timing"], box["settled"]) == ("15463", 2, "on_time", True)
        assert level["values"]["water_level"]["value"] == pytest.approx(30.0 - 1 / 60)
        found = yaml.safe_load(meridian("join", "pairs", "--config", grid_file).stdout)
        assert found == {"pairs": {"15463+15464": ["15463", "15464"]}}
        clocks = yaml.safe_load(meridian("join", "clocks", "--config", grid_file, "--at-least", "100").stdout)
        assert [(c["sensor"], c["ahead_ms"]) for c in clocks["clock"]["corrections"]] == [
            ("15463", -200.0), ("15464", -200.0),
        ]  # fmt: skip
        document = yaml.safe_load(grid_file.read_text()) | clocks
        document["grids"][0] |= found
        (tmp_path / "advised.yaml").write_text(yaml.safe_dump(document))
        meridian("join", "check", tmp_path / "advised.yaml")


@contextmanager
def rain_without_rivers(stack: Stack, path: Path, name: str, idle_after: str) -> Iterator[str]:
    """A job that has a day of rain to read, and an hour of river levels."""
    sources = [
        {"name": s, "topic": f"{name}.{s}", "out_of_orderness": "30 s", "idle_after": idle_after}
        for s in ("rivers", "rain")
    ]
    alignment = {"max_drift": "10 min", "interval": "200 ms"}
    grid_file = write_grid_file(path, name, sources=sources, parallelism=1, alignment=alignment)
    with running_grid_job(stack, grid_file, partitions=1) as job_id:
        produce(stack, f"{name}.rivers", [aligned("gauge", START + n * MINUTE, 1.0) for n in range(61)])
        wait_for(lambda: _read_by(stack, job_id, "rivers") >= 61, 60, "the rivers are read")
        produce(stack, f"{name}.rain", [aligned("gauge", START + n * 1_000, 1.0, "rain") for n in range(_DAY_S)])
        yield job_id


_DAY_S = 24 * 3_600


@pytest.mark.extended
def test_rows_go_on_with_gaps_when_a_source_stops_and_is_idle(stack: Stack, tmp_path: Path) -> None:
    with rain_without_rivers(stack, tmp_path / "g.yaml", "grid-idle", "5 s"):

        def at_20_h() -> list[dict[str, Any]]:
            return [r for r in committed(stack, "grid-idle.grid") if r["instant_ms"] == START + 20 * HOUR]

        row = wait_for(at_20_h, 120, "rows go on")[-1]
        assert (row["values"]["water_level"]["reason"], row["values"]["rain"]["value"]) == ("no_reading", 1.0)


@pytest.mark.extended
def test_a_source_that_is_ahead_of_a_stopped_one_stops_reading(stack: Stack, tmp_path: Path) -> None:
    """Watermark alignment: rain is at most 10 min ahead of the rivers, and a few batches."""
    with rain_without_rivers(stack, tmp_path / "g.yaml", "grid-held", "10 h") as job_id:
        seen: list[int] = []

        def stands_still() -> bool:
            seen.append(_read_by(stack, job_id, "rain"))
            return len(seen) > 40 and seen[-1] == seen[-40] > 0

        wait_for(stands_still, 120, "rain stops reading")
        assert seen[-1] < _DAY_S / 2


def topics_of(stack: Stack, prefix: str) -> list[str]:
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    return [name for name in admin.list_topics(timeout=10).topics if name.startswith(prefix)]


def _read_by(stack: Stack, job_id: str, source: str) -> int:
    """How many records a source has read."""
    is_read = re.compile(rf"read-{source}\.numRecordsIn$").search
    vertices = stack.rest.get(f"/jobs/{job_id}")["vertices"]
    return sum(sum(stack.rest.summed_metrics(job_id, vertex["id"], is_read).values()) for vertex in vertices)
