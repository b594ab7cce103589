"""Generate, publish and audit over a real broker; the align stage runs in this process, Flink is not needed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer, TopicPartition

from jobs.broker.clients import client_settings, make_consumer
from jobs.broker.topics import create_topics, delete_topics, describe_topics
from jobs.cli.audit import audit
from jobs.cli.generate import generate
from jobs.cli.report import report
from jobs.pipeline.config import Deployment
from jobs.pipeline.deployment_file import load_deployment
from tests.support.reference_job import RawMessage, ReferenceJob

ROLES = ("raw", "aligned", "windows", "late_events", "invalid_events", "accounting")
PARTITIONS = 3
CONFIG = """
name: PREFIX
kafka: {bootstrap_servers: "BROKER"}
topics: {TOPICS}
cell: {scheme: grid, grid_m: 10000}
limits: {max_body_bytes: 65536}
streams:
  - name: weather
    metrics: [air_temperature]
    unit: degC
    valid: [-60, 60]
    period: 10 s
    allowed_lateness: 1 min
    windows:
      - {name: 5min, size: 5 min}
      - {name: by-cell, size: 15 min, slide: 5 min, key: cell}
"""


@pytest.fixture
def config(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    # A broker that runs already is enough for these tests; without one they share the session's stack.
    broker = os.environ.get("MERIDIAN_TEST_BROKER") or request.getfixturevalue("stack").bootstrap_servers
    prefix = f"t-{uuid.uuid4().hex[:8]}"
    topics = ", ".join(f"{role}: {{name: {prefix}.{role}, partitions: {PARTITIONS}}}" for role in ROLES)
    path = tmp_path / "deployment.yaml"
    path.write_text(CONFIG.replace("PREFIX", prefix).replace("BROKER", broker).replace("TOPICS", topics))
    deployment = load_deployment(path)
    try:
        create_topics(deployment)
        yield path
    finally:
        delete_topics(deployment)


class Publisher:
    """Runs the reference job over the raw topic and publishes in transactions, as the sinks do."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._producer = Producer({**client_settings(deployment), "transactional.id": deployment.name})
        self._producer.init_transactions()

    def read_raw(self) -> list[RawMessage]:
        topic, consumer = self._deployment.topics.raw.name, make_consumer(self._deployment)
        consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        found: list[RawMessage] = []
        ended: set[int] = set()
        while len(ended) < PARTITIONS:
            for m in consumer.consume(1000, 1.0):
                if m.error():
                    ended.add(m.partition())
                    continue
                append_ms, key = m.timestamp()[1], m.key() or b""
                found.append(RawMessage(m.value(), key, m.partition(), m.offset(), append_ms, m.headers() or []))
        consumer.close()
        return sorted(found, key=lambda m: m.offset)

    def job(self) -> ReferenceJob:
        job = ReferenceJob(self._deployment.rules(), self._deployment.topics.raw.name, PARTITIONS)
        job.run(self.read_raw())
        return job

    def publish(self, job: ReferenceJob, *, commit: bool = True, twice_aborted: bool = True) -> None:
        if twice_aborted:  # what a failed attempt leaves behind must not count
            self._send(job)
            self._producer.flush()
            self._producer.abort_transaction()
        self._send(job)
        self._producer.flush()
        if commit:
            self._producer.commit_transaction()

    def commit(self) -> None:
        self._producer.commit_transaction()

    def _send(self, job: ReferenceJob) -> None:
        self._producer.begin_transaction()
        for sink, records in job.records.items():
            topic = getattr(self._deployment.topics, sink).name
            for key, value in records:
                self._producer.produce(topic, value, key)


def run_audit(config: Path, *arguments: str) -> tuple[Result, dict]:
    result = CliRunner().invoke(audit, ["--config", str(config), "--json", *arguments])
    return result, orjson.loads(result.stdout)


def run_generate(config: Path, *arguments: str) -> None:
    # Nothing more than this may be sent in a test.
    result = CliRunner().invoke(generate, ["--config", str(config), "--readings", "3000", *arguments])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("processes", ("1", "2"))
def test_a_generated_run_is_audited_exactly_whatever_aborted_before(
    config: Path, tmp_path: Path, processes: str
) -> None:
    ledger = str(tmp_path / "ledger.parquet")
    run_generate(config, "--ledger", ledger, "--processes", processes, "--stations", "30")
    publisher = Publisher(load_deployment(config))
    publisher.publish(publisher.job())
    result, report = run_audit(config, "--ledger", ledger)
    assert result.exit_code == 0, report["problems"]
    assert report["raw"] == report["aligned"] + report["duplicates"] + report["invalid"] + report["shed"]
    assert report["aligned"] == report["windowed"] + report["late"]
    assert report["control"] == 2 * PARTITIONS and report["open"] == 0
    assert report["ledger_rows"] == report["raw"] + report["control"]


def test_two_runs_into_one_topic_are_compared_with_both_ledgers(config: Path, tmp_path: Path) -> None:
    ledgers = [str(tmp_path / name) for name in ("one.parquet", "two.parquet")]
    for seed, ledger in enumerate(ledgers):
        run_generate(config, "--ledger", ledger, "--seed", str(seed), "--no-end-markers")
    publisher = Publisher(load_deployment(config))
    publisher.publish(publisher.job(), twice_aborted=False)
    result, report = run_audit(config, "--ledger", ledgers[0], "--ledger", ledgers[1])
    assert result.exit_code == 0, report["problems"]
    assert report["ledger_rows"] == report["raw"] and report["open"]


def test_what_is_not_committed_is_lost_for_the_audit_until_it_is(config: Path) -> None:
    run_generate(config)
    publisher = Publisher(load_deployment(config))
    publisher.publish(publisher.job(), commit=False)
    result, report = run_audit(config)
    assert result.exit_code == 1
    assert report["lost"] == report["raw"] and report["open_transactions"]
    publisher.commit()
    result, report = run_audit(config, "--wait", "20")
    assert result.exit_code == 0, report["problems"]


def test_closing_sends_markers_that_are_control_and_no_readings(config: Path) -> None:
    result, report = run_audit(config, "--close")
    assert result.exit_code == 0
    assert (report["raw"], report["control"]) == (0, 2 * PARTITIONS)


def test_creating_topics_again_changes_nothing_and_tells_differences(config: Path) -> None:
    deployment = load_deployment(config)
    assert not any(state.created or state.differences for state in create_topics(deployment))
    raw = deployment.topics.raw.model_copy(update={"retention": 3_600_000})
    other = deployment.model_copy(update={"topics": deployment.topics.model_copy(update={"raw": raw})})
    assert any("retention.ms" in line for _, _, lines in describe_topics(other) for line in lines)


def test_a_report_tells_what_the_audit_found(config: Path, tmp_path: Path) -> None:
    run_generate(config)
    publisher = Publisher(load_deployment(config))
    publisher.publish(publisher.job())
    _, judged = run_audit(config)
    page = tmp_path / "report.html"
    result = CliRunner().invoke(report, ["--config", str(config), "-o", str(page)])
    assert result.exit_code == 0, result.output
    identity = f"<b>{judged['raw']:,}</b> raw</span> = <span><b>{judged['aligned']:,}</b> aligned"
    assert identity in page.read_text()
    assert f"<b>{judged['aligned']:,}</b> aligned readings" in page.read_text()
