"""Readings that go through the align job and the summaries job, and what both make of them.

Readings go raw -> align job -> aligned -> summaries job, in phases: within a phase nothing moves the watermark, and at
its end a pacemaker does. So what is late is the same for both jobs, to the reading, however they batch. Some aligned
readings are written a second time, as by a producer that delivers at least once; the summaries job has to drop them.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from jobs.pipeline.deployment_file import load_deployment
from jobs.pipeline.sql_deployment import summary_topics
from tests.integration.support import (
    TOPICS,
    Record,
    Stack,
    committed,
    envelope,
    failures,
    meridian,
    produce,
    running_job,
    wait_for,
    wait_until_running,
    write_deployment,
)

NAME = "sql"
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
PERIOD = 10 * MINUTE
LATENESS = 30 * MINUTE
ZONES = {
    # sensor: its zone and a day before each change of its clocks
    "london": ("Europe/London", (dt.date(2024, 3, 30), dt.date(2024, 10, 26))),
    "new-york": ("America/New_York", (dt.date(2024, 3, 9), dt.date(2024, 11, 2))),
    "lord-howe": ("Australia/Lord_Howe", (dt.date(2024, 4, 6), dt.date(2024, 10, 5))),
    "kathmandu": ("Asia/Kathmandu", (dt.date(2024, 5, 1),)),
    "azores": ("Atlantic/Azores", (dt.date(2024, 3, 30), dt.date(2024, 10, 26))),  # midnight comes twice in October
}
RECALIBRATED = "recalibrated"
RECALIBRATED_FROM = int(dt.datetime(2024, 5, 2, 12, tzinfo=dt.UTC).timestamp() * 1000)
PEERS = ("a", "b", "c")  # of both jobs: late, repeated and in time
START = int(dt.datetime(2024, 12, 1, tzinfo=dt.UTC).timestamp() * 1000)
REPEATS = 5  # after each phase
LATE_FIELDS_OF_EACH_JOB = {"payload_base64", "payload_bytes", "payload_sha256"}


class SqlRun(NamedTuple):
    """What both jobs made of the same readings."""

    windows: list[dict[str, Any]]
    late_events: list[dict[str, Any]]
    summaries: dict[str, list[dict[str, Any]]]
    late_summaries: list[dict[str, Any]]
    deployment: Path


def local_midnight(day: dt.date, zone: str) -> int:
    """The first instant of a local date: where midnight comes twice, the first one."""
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone), fold=0).timestamp() * 1000)


def days_of(sensor: str) -> list[tuple[int, int]]:
    zone, firsts = ZONES[sensor]
    days = [first + dt.timedelta(days=n) for first in firsts for n in range(3)]
    return [(local_midnight(d, zone), local_midnight(d + dt.timedelta(days=1), zone)) for d in days]


def reading(sensor: str, time_ms: int, value: float, metric: str = "air_temperature", unit: str = "degC") -> Record:
    return envelope(sensor, time_ms, value=value, metric=metric, unit=unit, event_id=f"{sensor}-{metric}-{time_ms}")


def days_phase() -> list[Record]:
    """Half-hourly readings of the days around the changes of clocks, in the order of their times."""
    found = []
    for sensor in ZONES:
        for start_ms, end_ms in days_of(sensor):
            found += [(t, sensor) for t in range(start_ms, end_ms, HOUR // 2)]
    records = [(t, reading(s, t, 10 + t // HOUR % 12 / 10)) for t, s in found]
    for t in range(RECALIBRATED_FROM - 2 * HOUR, RECALIBRATED_FROM + 2 * HOUR, PERIOD):
        records.append((t, reading(RECALIBRATED, t, 5.0)))
    for n, direction in enumerate((350.0, 10.0, 350.0, 10.0, 0.0, 0.0)):
        t = RECALIBRATED_FROM + n * PERIOD
        records.append((t, reading("vane", t, direction, "wind_direction", "degree")))
        records.append((t, reading("barometer", t, 101_325.0 + n % 2 * 0.5, "air_pressure", "Pa")))
        records.append((t, reading("roadside", t, 20.0 + n, "pm2_5", "ug/m3")))
    return [record for _, record in sorted(records, key=lambda item: item[0])]


def peer_phases() -> list[list[Record]]:
    """Each phase: readings from before the last step, some of them twice, and then the pacemaker's next step."""
    chance = random.Random(7)
    phases, now_ms = [[reading("pacemaker", START, 0.0)]], START
    for _ in range(7):
        records = []
        for _ in range(40):
            sensor, time_ms = chance.choice(PEERS), now_ms - chance.randrange(150) * MINUTE
            # A repeat has its original's content: the value follows from sensor and time.
            records += [reading(sensor, time_ms, 20 + hash_of(sensor, time_ms) / 7)] * chance.choice((1, 1, 1, 2))
        now_ms += chance.choice((20, 35, 50)) * MINUTE
        phases.append([*records, reading("pacemaker", now_ms, 0.0)])
    return phases


def hash_of(sensor: str, time_ms: int) -> int:
    return (time_ms // MINUTE * 31 + ord(sensor)) % 97 - 48


def written(stack: Stack, topic: str) -> int:
    """How many records a topic has, committed or not."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "group.id": "tests",
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        count = 0
        while True:
            for message in consumer.consume(5_000, timeout=1.0):
                if message.error() is None:
                    count += 1
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    return count
    finally:
        consumer.close()


def newest(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {(r["key_kind"], r["key"], r["metric"], r["window_start_ms"], r["window_end_ms"]): r for r in rows}


@pytest.fixture(scope="session")
def sql_run(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlRun]:
    windows = [{"name": "hourly", "size": "1 h"}, {"name": "sliding", "size": "1 h", "slide": "15 min"}]
    common = {"max_age": "20000 d", "period": "10 min", "allowed_lateness": "30 min", "windows": windows}
    deployment = write_deployment(
        tmp_path_factory.mktemp("sql") / "d.yaml",
        NAME,
        parallelism=1,
        shards=1,  # so that aligned readings are in the order of the raw ones
        topics={topic: {"name": f"{NAME}.{topic}", "partitions": 1} for topic in TOPICS},
        time={"out_of_orderness": "30 s", "watermarks": "on-event", "floor": "2024-01-01", "idle_after": "1 h"},
        summaries={"topic_prefix": f"{NAME}.", "allowed_lateness": "30 min"},
        position={},
        schemas={},
        streams=[
            {"name": "weather", "metrics": ["air_temperature"], "unit": "degC", **common},
            {"name": "wind", "metrics": ["wind_direction"], "unit": "degree", **common},
            {"name": "air-quality", "metrics": ["pm2_5"], "unit": "ug/m3", **common},
            {"name": "pressure", "metrics": ["air_pressure"], "unit": "Pa", **common},
        ],
    )
    own = summary_topics(load_deployment(deployment))
    meridian("summaries", "topics", "--config", deployment)
    produce(stack, own["stations"], stations())
    produce(stack, own["limits"], [limit("grampian", "air_temperature", 10.55), limit("grampian", "pm2_5", 15.0)])
    with running_job(deployment) as job_id:
        submitted = json.loads(meridian("summaries", "submit", "--config", deployment, "--json").stdout)["job_id"]
        try:
            wait_until_running(stack, job_id)
            wait_until_running(stack, submitted)
            unique: set[str] = set()
            repeats = 0

            def send(records: list[Record]) -> None:
                produce(stack, f"{NAME}.raw", records)
                unique.update(json.loads(r.value or b"")["event_id"] for r in records)
                wait_for(lambda: written(stack, f"{NAME}.aligned") >= len(unique) + repeats, 90, "readings are aligned")

            def repeat_newest() -> int:
                newest_ones = committed(stack, f"{NAME}.aligned")[-REPEATS:]
                produce(stack, f"{NAME}.aligned", [Record(json.dumps(r).encode(), b"again") for r in newest_ones])
                return len(newest_ones)

            send(days_phase())
            for phase in peer_phases():
                send(phase[:-1])
                send(phase[-1:])
                repeats += repeat_newest()
            # Both are refused. The time of the first is fine, and moves the watermark: only after older readings.
            in_an_hour_ms = time.time_ns() // 1_000_000 + HOUR
            refused = [envelope("broken", START, unit="furlong"), envelope("fast-clock", in_an_hour_ms)]
            produce(stack, f"{NAME}.raw", refused)
            send([reading("pacemaker", START + 10 * DAY, 0.0)])
            wait_for(lambda: is_complete(stack, own), 150, "all but the last reading are summarised or late")
            assert failures(stack, job_id) == failures(stack, submitted) == []
            yield SqlRun(
                committed(stack, f"{NAME}.windows"),
                committed(stack, f"{NAME}.late_events"),
                {role: committed(stack, topic) for role, topic in own.items() if role.startswith("summaries_")},
                committed(stack, own["late_summaries"]),
                deployment,
            )
        finally:
            meridian("summaries", "cancel", "--config", deployment, check=False)


def is_complete(stack: Stack, own: dict[str, str]) -> bool:
    """Whether each definition accounts for all readings but the last one, which moves the watermark."""
    aligned = len({r["event_id"] for r in committed(stack, f"{NAME}.aligned")})
    late = Counter(letter["definition"] for letter in committed(stack, own["late_summaries"]))

    def counted(role: str, kind: str) -> int:
        rows = newest(committed(stack, own[role])).values()
        return sum(row["count"] for row in rows if row["key_kind"] == kind)

    return (
        counted("summaries_hourly", "sensor") + late["hourly"]
        == counted("summaries_sessions", "sensor") + late["sessions"]
        == counted("summaries_local_days", "sensor") + late["local_day"]
        == counted("summaries_areas", "region") + late["areas"]
        == sum(w["count"] for w in last_revisions(stack) if w["definition"] == "hourly") + late["hourly"]
        == aligned - 1
    )


def last_revisions(stack: Stack) -> list[dict[str, Any]]:
    """The align job's windows; a record of a later revision comes later."""
    by_window = {
        (w["definition"], w["key"], w["metric"], w["window_start_ms"]): w for w in committed(stack, f"{NAME}.windows")
    }
    return list(by_window.values())


def stations() -> list[Record]:
    def station(sensor: str, zone: str, valid_from_ms: int = 0, gain: float | None = None) -> Record:
        value = {
            "sensor_id": sensor, "valid_from_ms": valid_from_ms, "lon_deg": -2.1, "lat_deg": 57.15, "time_zone": zone,
            "watershed": "dee", "period_ms": PERIOD,
            "calibrations": None if gain is None else {"air_temperature": {"gain": gain, "shift": 1.0}},
        }  # fmt: skip
        return Record(json.dumps(value).encode(), json.dumps({"sensor_id": sensor}).encode())

    utc = [
        station(sensor, "UTC")
        for sensor in (*PEERS, "pacemaker", "vane", "barometer", "roadside", "mute", RECALIBRATED)
    ]
    zoned = [station(sensor, zone) for sensor, (zone, _) in ZONES.items()]
    return [*utc, *zoned, station(RECALIBRATED, "UTC", RECALIBRATED_FROM, gain=2.0)]


def limit(region: str, metric: str, value: float) -> Record:
    record = {"region": region, "metric": metric, "valid_from_ms": 0, "limit_value": value, "limit_name": "test"}
    return Record(json.dumps(record).encode(), json.dumps({"region": region, "metric": metric}).encode())
