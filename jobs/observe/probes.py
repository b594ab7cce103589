"""Sends probes into the raw topic, meets them again in the accounting topic, and says how long each stage took."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

import orjson
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from jobs.broker.clients import make_consumer
from jobs.observe.ways import TIMEOUT_S, Way, key_of
from jobs.pipeline.config import Deployment
from udfs.probe import Probe

BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)
STAGES: Final = ("bridge", "align", "deduplicate", "commit", "total")
_FORGET_AFTER: Final = 20  # intervals; a probe that comes later than that is counted as lost


def stage_seconds(account: Mapping[str, Any], visible_ms: int) -> dict[str, float]:
    """How long a probe was in each stage, in seconds, and in all of them.

    Parameters
    ----------
    account
        Its accounting record.
    visible_ms
        When a reader of committed records had it, epoch milliseconds by the sender's clock.
    """
    times = [account[f"{name}_at_ms"] for name in ("sent", "aligned", "deduplicated")]
    sent, aligned, deduplicated = times
    appended = account["append_time_ms"]
    steps = (appended - sent, aligned - appended, deduplicated - aligned, visible_ms - deduplicated, visible_ms - sent)
    return dict(zip(STAGES, (ms / 1000 for ms in steps), strict=True))


def busiest(before: Mapping[int, int], now: Mapping[int, int]) -> int:
    """The partition that has got the most records since the last look, by end offsets.

    A probe wakes an idle partition, whose old watermark would then hold back all others until it is idle again. So it
    goes where readings go.
    """
    return max(now, key=lambda partition: (now[partition] - before.get(partition, 0), now[partition]))


class ProbeMetrics:
    """What Prometheus gets of the probes of one deployment.

    Parameters
    ----------
    through : the bridge's name, or `kafka`.
    """

    def __init__(self, registry: CollectorRegistry, deployment: str, through: str, interval_s: float) -> None:
        label, values = ["deployment", "through"], (deployment, through)
        self._stages = Histogram(
            "meridian_probe_stage_seconds", "Time of probes by stage", [*label, "stage"], buckets=BUCKETS_S,
            registry=registry,
        )  # fmt: skip
        self._stages_of = {stage: self._stages.labels(*values, stage) for stage in STAGES}
        self.sent = Counter("meridian_probes_sent", "Probes sent", label, registry=registry).labels(*values)
        self.lost = Counter("meridian_probes_lost", "Probes given up", label, registry=registry).labels(*values)
        arrived = Gauge(
            "meridian_probe_last_arrival_timestamp_seconds", "When the last probe came through", label,
            registry=registry,
        )  # fmt: skip
        self._arrived = arrived.labels(*values)
        self._arrived.set(time.time())  # none is missing yet
        Gauge("meridian_probe_interval_seconds", "How often a probe is sent", label, registry=registry).labels(
            *values
        ).set(interval_s)

    def came(self, seconds: Mapping[str, float]) -> None:
        for stage, value in seconds.items():
            self._stages_of[stage].observe(max(0.0, value))
        self._arrived.set(time.time())


class Prober:
    """One deployment's probes. Belongs to one thread."""

    def __init__(self, deployment: Deployment, way: Way, metrics: ProbeMetrics, interval_s: float) -> None:
        self._raw, self._accounting = deployment.topics.raw.name, deployment.topics.accounting.name
        self._way, self._metrics, self._interval_s = way, metrics, interval_s
        self._consumer: Consumer = make_consumer(deployment)
        self._run = uuid.uuid4().hex[:12]
        self._ends: dict[int, int] = {}
        self._waiting: dict[str, float] = {}  # id -> when it was sent, monotonic seconds
        self._number = 0

    def open(self) -> None:
        """Find the topics.

        Raises
        ------
        KafkaException: no broker answers, or a topic is missing.
        """
        places = [TopicPartition(self._accounting, p, OFFSET_END) for p in self._partitions(self._accounting)]
        self._consumer.assign(places)
        self._ends = self._end_offsets()

    def send(self) -> None:
        """Send a probe into the partition that has got the most since the last one.

        Raises
        ------
        NotSent : it counts as sent, and so as lost in the end.
        KafkaException : no broker answers.
        """
        ends = self._end_offsets()
        partition = busiest(self._ends, ends)
        self._ends = ends
        self._number += 1
        name = f"{self._run}-{self._number}"
        self._waiting[name] = time.monotonic()
        self._metrics.sent.inc()
        key = key_of(partition, len(ends))
        self._way.send(Probe(name, time.time_ns() // 1_000_000, key), partition)

    def receive(self, timeout_s: float) -> None:
        """Look once for probes that have come through, and give up those that are too old."""
        for message in self._consumer.consume(500, timeout_s):
            error = message.error()
            if error is None:
                self._account(message.value() or b"")
            elif error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
        oldest_s = time.monotonic() - _FORGET_AFTER * self._interval_s
        for probe in [probe for probe, sent_s in self._waiting.items() if sent_s < oldest_s]:
            del self._waiting[probe]
            self._metrics.lost.inc()

    def close(self) -> None:
        self._way.close()
        self._consumer.close()

    def _account(self, value: bytes) -> None:
        if b'"probe"' not in value:
            return
        account = orjson.loads(value)
        if account.get("class") == "control" and self._waiting.pop(account.get("probe", ""), None) is not None:
            self._metrics.came(stage_seconds(account, time.time_ns() // 1_000_000))

    def _partitions(self, topic: str) -> list[int]:
        found = self._consumer.list_topics(topic, TIMEOUT_S).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return sorted(found.partitions)

    def _end_offsets(self) -> dict[int, int]:
        return {
            p: self._consumer.get_watermark_offsets(TopicPartition(self._raw, p), TIMEOUT_S)[1]
            for p in self._partitions(self._raw)
        }
