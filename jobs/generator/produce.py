"""Sends a planned run to the raw topic: the only part of the generator that knows Kafka.

Every process makes the whole plan and sends the partitions that are its own, so that nothing has to be passed around
and the order within a partition is that of the plan, whatever the number of processes.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from jobs.broker.clients import make_consumer, make_producer
from jobs.broker.markers import UndeliveredRecords, end_marker
from jobs.generator.knobs import Knobs
from jobs.generator.lateness import LatenessOracle
from jobs.generator.ledger import Ledger
from jobs.generator.network import Network, make_network
from jobs.generator.render import SEQ_HEADER, Renderer
from jobs.generator.schedule import Schedule
from jobs.pipeline.config import Deployment
from udfs.avro_encoding import fingerprint_of
from udfs.rules import Rules
from udfs.schemas import reading_schema
from udfs.writer_schema import SchemaFormat, WriterSchema

_CHUNK = 2_000  # rows between looks at the clock, the producer's events and a stop
_QUEUE_HIGH = 300_000
_MARKER_PAUSE_S = 3.0  # the second round of markers comes after the watermark interval of the source

Progress = Callable[[int, int], None]  # records sent so far, and in all (readings asked for)


@dataclass(frozen=True)
class Run:
    """One run: what to send, how fast, and what is known of the topic before it."""

    deployment: Deployment
    rules: Rules
    knobs: Knobs
    now_ms: int
    partitions: int
    first_seq: int  # as many records as were in the topic before, so that no sequence number occurs twice in it
    rate: float = 0.0  # records per second of all processes together; 0: as fast as possible
    processes: int = 1


@dataclass
class Summary:
    """What was sent; `expected` counts records by what must become of them."""

    records: int
    seconds: float
    start_ms: int
    end_ms: int
    stations: int
    first_seq: int
    expected: dict[str, int]
    reasons: dict[str, int]
    lateness: dict[str, int]
    partitions: list[int]
    interrupted: bool = False

    @property
    def rate(self) -> float:
        return self.records / self.seconds if self.seconds > 0 else 0.0


def prepare(deployment: Deployment, rules: Rules, knobs: Knobs, *, rate: float, processes: int) -> Run:
    """Look at the raw topic and fix the run's clock.

    Raises
    ------
    UndeliveredRecords : the topic does not exist or the broker does not answer.
    """
    topic = deployment.topics.raw.name
    consumer = make_consumer(deployment)
    try:
        partitions, before = _raw_topic(consumer, topic)
    except KafkaException as error:
        raise UndeliveredRecords(f"{topic}: {error.args[0].str()}") from None
    finally:
        consumer.close()
    now_ms = time.time_ns() // 1_000_000
    return Run(deployment, rules, knobs, now_ms, partitions, before, rate, min(processes, partitions))


def run(plan: Run, ledger_file: Path | None, end_markers: bool, progress: Progress) -> Summary:
    """Send everything; an interrupt (Ctrl-C) stops early, and the ledger then holds what was sent."""
    network = make_network(plan.rules, plan.knobs, plan.partitions, plan.now_ms)
    started = time.monotonic()
    sent = _send_here(plan, network, progress) if plan.processes == 1 else _send_apart(plan, progress)
    seconds = time.monotonic() - started
    interrupted = any(bound is not None for bound in sent)
    summary, controls_from, ledger = _account(plan, network, sent, ledger_file)
    summary.seconds, summary.interrupted = seconds, interrupted
    if end_markers and not interrupted:
        now_ms = time.time_ns() // 1_000_000
        _send_markers(plan, controls_from, now_ms)
        ledger.add_controls(controls_from, plan.partitions, now_ms)
        time.sleep(_MARKER_PAUSE_S)
        now_ms = time.time_ns() // 1_000_000
        _send_markers(plan, controls_from + plan.partitions, now_ms)
        ledger.add_controls(controls_from + plan.partitions, plan.partitions, now_ms)
    ledger.close()
    return summary


def _raw_topic(consumer: Consumer, topic: str) -> tuple[int, int]:
    found = consumer.list_topics(topic, timeout=10).topics[topic]
    if found.error is not None:
        raise UndeliveredRecords(f"topic {topic}: {found.error.str()}; `meridian topics create` makes it")
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in found.partitions]
    return len(found.partitions), sum(ends)


def _schedule(plan: Run, network: Network) -> Schedule:
    return Schedule(network, plan.knobs, plan.rules, plan.first_seq)


def _account(
    plan: Run, network: Network, sent: list[int | None], ledger_file: Path | None
) -> tuple[Summary, int, Ledger]:
    """Go through the plan once more, for the ledger and the figures."""
    schedule = _schedule(plan, network)
    exact = plan.partitions == 1 and plan.deployment.time.watermarks == "on-event"
    oracle = LatenessOracle(network, plan.rules, plan.partitions, exact=exact, fresh=plan.first_seq == 0)
    ledger = Ledger(network, schedule.kinds, ledger_file)
    bounds = np.array([np.iinfo(np.int64).max if b is None else b for b in sent])
    by_partition = np.zeros(plan.partitions, np.int64)
    next_seq = plan.first_seq
    for block in schedule:
        codes = oracle.judge(block)
        next_seq = block.first_seq + len(block.rows)
        was_sent = block.first_seq + np.arange(len(block.rows)) < bounds[block.partition % plan.processes]
        ledger.add(block, codes, was_sent)
        by_partition += np.bincount(block.partition[was_sent], minlength=plan.partitions)
    return (
        Summary(
            records=int(by_partition.sum()),
            seconds=0.0,
            start_ms=network.start_ms,
            end_ms=network.end_ms,
            stations=len(network.stations),
            first_seq=plan.first_seq,
            expected=ledger.counts,
            reasons=dict(sorted(ledger.by_reason.items())),
            lateness=ledger.by_lateness,
            partitions=by_partition.tolist(),
        ),
        next_seq,
        ledger,
    )


def _send_here(plan: Run, network: Network, progress: Progress) -> list[int | None]:
    return [_send(plan, network, 0, time.monotonic(), progress)]


def _send_apart(plan: Run, progress: Progress) -> list[int | None]:
    context = multiprocessing.get_context("spawn")
    counters = [context.Value("q", 0) for _ in range(plan.processes)]
    results: Any = context.Queue()
    # Wall time, since monotonic clocks of processes need not agree; a second for the processes to start.
    begin = time.time() + 1.0
    workers = [
        context.Process(target=_worker, args=(plan, i, begin, counters[i], results)) for i in range(plan.processes)
    ]
    for worker in workers:
        worker.start()
    try:
        while any(w.is_alive() for w in workers):
            workers[0].join(0.2) if workers[0].is_alive() else time.sleep(0.2)
            progress(sum(c.value for c in counters), plan.knobs.readings)
    except KeyboardInterrupt:
        pass  # the workers got it too: each finishes its chunk and reports
    for worker in workers:
        worker.join()
    answers = dict(results.get(timeout=10) for _ in workers)
    for answer in answers.values():
        if isinstance(answer, str):
            raise UndeliveredRecords(answer)
    return [answers[i] for i in range(plan.processes)]


def _worker(plan: Run, index: int, begin: float, counter: Any, results: Any) -> None:
    def progress(sent: int, _total: int) -> None:
        counter.value = sent

    try:
        network = make_network(plan.rules, plan.knobs, plan.partitions, plan.now_ms)
        results.put((index, _send(plan, network, index, time.monotonic() + begin - time.time(), progress)))
    except Exception as error:
        results.put((index, f"{type(error).__name__}: {error}"))


def _send(plan: Run, network: Network, index: int, begin: float, progress: Progress) -> int | None:
    """Send the partitions of one process; None when all was sent, else the sequence number where it stopped."""
    schedule = _schedule(plan, network)
    renderer = Renderer(network, schedule.kinds, plan.rules, _avro_schema_id(plan.rules, plan.deployment))
    producer = make_producer(plan.deployment)
    topic, rate, first_seq = plan.deployment.topics.raw.name, plan.rate, plan.first_seq
    stopping: list[int] = []
    failures: list[str] = []

    def failed(error: Any, _message: Any) -> None:
        failures.append(error.str())

    previous = signal.signal(signal.SIGINT, lambda *_: stopping.append(1)) if _in_main_thread() else None
    count, chunk = 0, _CHUNK if not rate else max(1, min(_CHUNK, int(rate / 20)))
    try:
        for block in schedule:
            for begin_row in range(0, len(block.rows), chunk):
                seq = block.first_seq + begin_row
                if rate:
                    _wait_until(begin + (seq - first_seq) / rate, producer, stopping)
                if stopping:
                    return seq
                keep = np.arange(begin_row, min(begin_row + chunk, len(block.rows)))
                keep = keep[block.partition[keep] % plan.processes == index]
                for value, key, partition, headers in renderer.render(block, keep, time.time_ns() // 1_000_000):
                    try:
                        producer.produce(topic, value, key, partition, failed, headers=headers)
                    except BufferError:
                        _drain(producer)
                        producer.produce(topic, value, key, partition, failed, headers=headers)
                count += len(keep)
                producer.poll(0)
                while len(producer) > _QUEUE_HIGH and not failures:
                    producer.poll(0.05)
                if failures:
                    raise UndeliveredRecords(f"{topic}: {failures[0]}")
                progress(count, plan.knobs.readings)
        return None
    finally:
        left = producer.flush(60)
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
        if left or failures:
            raise UndeliveredRecords(f"{topic}: {failures[0] if failures else f'{left} records not acknowledged'}")


def _wait_until(due: float, producer: Producer, stopping: list[int]) -> None:
    while (left := due - time.monotonic()) > 0 and not stopping:
        producer.poll(min(left, 0.2))


def _drain(producer: Producer) -> None:
    while len(producer) > _QUEUE_HIGH // 2:
        producer.poll(0.05)


def _in_main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()


def _avro_schema_id(rules: Rules, deployment: Deployment) -> int | None:
    """The id of the project's own schema, listed or from the registry; None: records carry its fingerprint."""
    own = fingerprint_of(reading_schema())
    avro = [(i, schema.text) for i, schema in rules.schemas.known if schema.format is SchemaFormat.AVRO]
    listed = next((i for i, text in avro if fingerprint_of(orjson.loads(text)) == own), None)
    settings = deployment.schemas.settings()
    if listed is not None or settings is None:
        return listed
    from jobs.schemas.registry import Registry  # its client takes long to import

    schema = WriterSchema(SchemaFormat.AVRO, orjson.dumps(reading_schema()).decode())
    return Registry(settings).register(f"{deployment.topics.raw.name}-value", schema, schema.text)


def _send_markers(plan: Run, first_seq: int, now_ms: int) -> None:
    producer = make_producer(plan.deployment)
    value, headers = end_marker(now_ms)
    for partition in range(plan.partitions):
        numbered = [*headers, (SEQ_HEADER, b"%d" % (first_seq + partition))]
        producer.produce(plan.deployment.topics.raw.name, value, partition=partition, headers=numbered)
    if producer.flush(30):
        raise UndeliveredRecords("end markers were not acknowledged")
