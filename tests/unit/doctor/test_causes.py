"""Every finding is provoked by the one fact that it is about, in a deployment that is well otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jobs.broker.topic_records import TopicRecord
from jobs.doctor.diagnose import diagnose
from jobs.doctor.facts import (
    Broker,
    Checkpoints,
    Cluster,
    Folder,
    Job,
    Machine,
    Operator,
    Partition,
    Pythons,
    Settings,
    Snapshot,
    Topic,
    Worker,
)
from jobs.doctor.flink import short_name
from jobs.doctor.kafka import missing_grids, partition_facts
from tests.support.generated import RULES

NOW_MS = 1_700_000_000_000
GIB = 2**30
VERSIONS = {"python": "3.11.2", "apache-flink": "2.2.1", "pyproj": "3.7.2"}


def partition(number: int, **facts: Any) -> Partition:
    known = {"newest_event_ms": NOW_MS - 2_000, "newest_append_ms": NOW_MS - 1_000, "ingest_ahead_ms": -5}
    return Partition(number, 1_000, **{**known, **facts})


OPERATORS = (
    Operator("raw", (5.0, 5.0), (300.0, 310.0), (2**20, 2**20), ("deduplicate",)),
    Operator("deduplicate", (0.0, 0.0), (400.0, 380.0), (2**21, 2**21), ("sink",), is_keyed=True),
    Operator("sink", (0.0, 0.0), (200.0, 210.0), (2**21, 2**21)),
)
JOB = Job("1", "meridian-demo", "RUNNING", operators=OPERATORS, checkpoints=Checkpoints(10_000, 300_000, 9))
WELL = Snapshot(
    now_ms=NOW_MS,
    settings=Settings(
        "demo", 2, 30_000, 30_000, 60_000, 600_000, True, frozenset({"flink-sql-connector-kafka-5.0.jar"})
    ),
    cluster=Cluster(
        "http://jobmanager:8081",
        flink_version="2.2.1",
        jars=frozenset({"flink-sql-connector-kafka-5.0.jar", "flink-dist-2.2.1.jar"}),
        slots=4,
        slots_free=2,
        workers=(Worker("taskmanager-1", 20.0, 100, 400),),
        clock_ahead_ms=3,
    ),
    broker=Broker(
        "kafka:9092",
        transaction_max_ms=900_000,
        topics=(Topic("raw", "telemetry.raw", 3, 2), Topic("aligned", "telemetry.aligned", 3, 2)),
        partitions=tuple(partition(number) for number in range(4)),
    ),
    job=JOB,
    pythons=Pythons(VERSIONS, VERSIONS, "/opt/venv/bin/python"),
    machine=Machine(True, 1.0, 4 * GIB, 8 * GIB, (Folder("/data", 50 * GIB, 100 * GIB),)),
)


def changed(part: str, **facts: Any) -> Snapshot:
    return replace(WELL, **{part: replace(getattr(WELL, part), **facts)})


def with_partition(number: int, **facts: Any) -> Snapshot:
    return changed("broker", partitions=tuple(partition(n, **(facts if n == number else {})) for n in range(4)))


def with_operators(*operators: Operator) -> Snapshot:
    return changed("job", operators=operators)


def with_checkpoints(**facts: Any) -> Snapshot:
    return changed("job", checkpoints=replace(JOB.checkpoints, **facts))  # type: ignore[type-var]


def with_topic(**facts: Any) -> Snapshot:
    return changed("broker", topics=(replace(WELL.broker.topics[0], **facts), WELL.broker.topics[1]))


RAW, DEDUPLICATE, SINK = OPERATORS
SILENT = {"newest_append_ms": NOW_MS - 600_000}
PROVOKED: dict[str, tuple[Snapshot, str]] = {
    "cluster_away": (replace(changed("cluster", problem="no Flink cluster answers"), job=None), "no Flink cluster"),
    "broker_away": (changed("broker", problem="Connection refused", partitions=(), topics=()), "kafka:9092"),
    "unfit_topics": (with_topic(unfit=("topic telemetry.raw does not exist",)), "telemetry.raw"),
    "transaction_timeout_above_broker": (changed("broker", transaction_max_ms=300_000), "transaction.max.timeout.ms"),
    "transaction_timeout_too_short": (with_checkpoints(interval_ms=300_000), "5 min"),
    "no_checkpoints": (with_checkpoints(interval_ms=2**63 - 1), "switched off"),
    "too_few_slots": (replace(changed("cluster", slots_free=1), job=None), "needs 2 slots, and 1 of 4"),
    "job_absent": (replace(WELL, job=None), "meridian-demo"),
    "job_failing": (changed("job", is_failing=True, state="RESTARTING", root_cause="ValueError: x"), "ValueError: x"),
    "failing_checkpoints": (with_checkpoints(failed_in_a_row=3, last_failure="disk full"), "last 3 checkpoints"),
    "long_checkpoints": (with_checkpoints(last_duration_ms=90_000), "takes 90 s"),
    "jar_mismatch": (changed("cluster", jars=frozenset({"flink-sql-connector-kafka-4.0.jar"})), "kafka-4.0.jar"),
    "flink_mismatch": (changed("cluster", flink_version="2.1.0"), "Flink 2.1.0"),
    "python_mismatch": (changed("pythons", worker={**VERSIONS, "pyproj": "3.6.1"}), "pyproj 3.7.2 here, 3.6.1"),
    "worker_python": (changed("pythons", worker={}, problem="No module named pyflink"), "/opt/venv/bin/python"),
    "clock_of_cluster": (changed("cluster", clock_ahead_ms=-4_000), "4 s behind"),
    "clock_of_broker": (with_partition(0, newest_append_ms=NOW_MS + 9_000), "9 s ahead"),
    "clock_of_producer": (with_partition(3, ingest_ahead_ms=25_000), "partition 3 were stamped 25 s later"),
    "clock_not_synchronised": (changed("machine", clock_synchronised=False), "not synchronised"),
    "memory": (changed("machine", memory_available=GIB // 8), "134 MB of 8.59 GB"),
    "disk": (changed("machine", folders=(Folder("/data", GIB, 100 * GIB),)), "/data: 1.07 GB"),
    "spool": (changed("machine", folders=(Folder("/spool", 50 * GIB, 100 * GIB, 7_200),)), "7,200 records"),
    "garbage_collection": (changed("cluster", workers=(Worker("tm-2", 400.0),)), "tm-2 collects garbage for 400 ms"),
    "metaspace": (changed("cluster", workers=(Worker("tm-2", 0.0, 390, 400),)), "98% of its metaspace"),
    "refused_readings": (
        changed("job", accounted=9_000, refused={"outside_region": 6_000, "unknown_crs": 30}),
        "67% of what has come since the job began is refused, most of it as outside_region (6,000)",
    ),
    "skewed_keys": (
        with_operators(RAW, replace(DEDUPLICATE, read_bytes=(2**21, 2**16)), SINK),
        "one of 2 subtasks of deduplicate gets 97%",
    ),
    "holds_watermark": (with_partition(2, newest_event_ms=NOW_MS - 900_000), "partition 2 holds the watermark"),
    "idle_source": (
        changed("broker", partitions=tuple(partition(n, **SILENT) for n in range(4))),
        "nothing has come into the raw topic for 10 min",
    ),
    "idle_partition": (with_partition(1, **SILENT), "more than 30 s: 1;"),
    "back_pressure": (
        with_operators(
            replace(RAW, backpressured_ms_per_s=(700.0, 650.0)),
            replace(DEDUPLICATE, backpressured_ms_per_s=(500.0, 10.0)),
            replace(SINK, busy_ms_per_s=(990.0, 980.0)),
        ),
        "for sink, which is busy for 990 ms",
    ),
    "backlog": (changed("job", pending_records=2_000_000), "2,000,000 records"),
    "missing_grids": (changed("broker", without_grid={"EPSG:27700": ("OSTN15.tif",)}), "EPSG:27700"),
    "replication": (with_topic(replication=1), "telemetry.raw (1)"),
    "min_insync": (with_topic(min_insync=1), "min.insync.replicas is 1"),
}


def test_a_deployment_that_is_well_has_no_findings() -> None:
    assert diagnose(WELL) == []


@pytest.mark.parametrize("cause", PROVOKED)
def test_a_fact_that_is_wrong_is_named_first_and_says_what_to_change(cause: str) -> None:
    facts, words = PROVOKED[cause]
    first = diagnose(facts)[0]
    assert first.cause == cause, diagnose(facts)
    assert words in first.text
    assert first.change


def test_the_cause_comes_before_its_symptoms() -> None:
    starved = changed("cluster", workers=(Worker("tm-1", 600.0),))
    slow = with_operators(replace(RAW, backpressured_ms_per_s=(900.0,)), replace(DEDUPLICATE, busy_ms_per_s=(950.0,)))
    both = replace(slow, cluster=starved.cluster)
    assert [f.cause for f in diagnose(both)] == ["garbage_collection", "back_pressure"]


def test_one_machine_is_not_production() -> None:
    local = replace(with_topic(replication=1, min_insync=1), settings=replace(WELL.settings, is_production=False))
    assert diagnose(local) == []


def test_facts_of_partitions_leave_implausible_times_out() -> None:
    def record(event_ms: int, ingest_ms: int, append_ms: int) -> TopicRecord:
        headers = {"event_timestamp": str(event_ms).encode(), "ingest_timestamp": str(ingest_ms).encode()}
        return TopicRecord("raw", 0, 0, append_ms, b"{}", headers)

    records = [record(NOW_MS, NOW_MS + 3_000, NOW_MS), record(NOW_MS + 10**9, NOW_MS, NOW_MS + 1_000)]
    found, empty = partition_facts(records, {0: (0, 2), 1: (0, 0)}, RULES)
    assert (found.newest_event_ms, found.newest_append_ms, found.ingest_ahead_ms) == (NOW_MS, NOW_MS + 1_000, 3_000)
    assert (empty.newest_append_ms, empty.newest_event_ms, empty.records) == (None, None, 0)


def test_missing_grids_are_those_that_proj_names() -> None:
    assert any("OSTN15" in grid for grid in missing_grids("EPSG:27700", "EPSG:3035"))
    assert missing_grids("EPSG:4326", "EPSG:3857") == ()


@pytest.mark.parametrize(
    ("vertex", "name"),
    [
        ("Source: raw -> deduplicate-5 -> align", "raw"),
        ("deduplicate -> window-by-place-2, window-by-place-1", "deduplicate"),
        ("sink-accounting-4 -> (sink-aligned-3 -> sink-aligned: Writer)", "sink-accounting-4"),
    ],
)
def test_vertices_are_called_by_their_first_operator(vertex: str, name: str) -> None:
    assert short_name(vertex) == name
