"""What the planner takes as given: every figure with the place where it was measured, or the file that sets it."""

from __future__ import annotations

from typing import NamedTuple

from jobs.planning.figures import show
from udfs.pane import MERGE_AT


class Constant(NamedTuple):
    name: str
    value: float
    unit: str
    source: str

    def __str__(self) -> str:
        return f"{self.name}: {show(self.value, self.unit)} ({self.source})"


ID_BYTES = Constant("an id in RocksDB's files", 20, "bytes", "docs/scaling.md, State; `meridian bench state`")
PANE_BYTES = Constant(
    "a key's merged partial in a pane", 180, "bytes", "docs/scaling.md, State; 112 bytes of numbers, two ids, the key"
)
CHUNKS = Constant("partials of frames side by side, at most", MERGE_AT, "", "udfs/pane.py, MERGE_AT")
FRAME_MS = Constant("pause between two frames of a shard", 500, "ms", "flink-conf/config.yaml, auto-watermark-interval")
WRITE_BYTES_PER_S = Constant(
    "rate at which a checkpoint is written",
    322e6 / 1.2,
    "bytes/s",
    "322 MB in 1.2 s (a fleet of 8,000 trucks); 490 MB/s on this project's disk, 113.3 MB in 0.23 s, docs/scaling.md",
)
SUBTASK_READINGS_PER_S = Constant(
    "readings/s of one subtask",
    32_984,
    "readings/s",
    "docs/scaling.md, parallelism 1 on two cores; more: assumed linear",
)
CPU_S_PER_MILLION = Constant(
    "CPU-s per million readings", 46.7, "s", "docs/scaling.md, backlog of 36,000,000 readings in process mode"
)
WORKER_BYTES = Constant(
    "a slot's Python worker under a backlog", 1.4 * 2**30, "bytes", "flink-conf/config.yaml, Memory (highest seen)"
)
TASKMANAGER_BYTES = Constant("a TaskManager", 2 * 2**30, "bytes", "flink-conf/config.yaml, taskmanager.memory")
JOBMANAGER_BYTES = Constant("the JobManager", 2**30, "bytes", "flink-conf/config.yaml, jobmanager.memory")
SLOTS = Constant("slots of a TaskManager", 2, "", "flink-conf/config.yaml, taskmanager.numberOfTaskSlots")
SHARDS_PER_SUBTASK = Constant("shards per subtask", 4, "", "OPERATIONS.md, Choose numbers")
WINDOW_SAMPLES = Constant("samples in a window, at least", 10, "", "rule of thumb: a mean of fewer is noise")
ANOMALY_FROM = Constant("window per anomaly, from", 2, "", "rule of thumb: shorter splits it")
ANOMALY_TO = Constant("window per anomaly, to", 3, "", "rule of thumb: longer hides it")
DISORDER_FACTOR = Constant("out-of-orderness per p99 of disorder", 2, "", "rule of thumb")
BROKER_TRANSACTION_MAX_MS = Constant(
    "transaction.max.timeout.ms", 900_000, "ms", "flink-conf/kafka-broker.properties, Kafka's default"
)
BATCH_BYTES = Constant("batch worth a request", 16_384, "bytes", "Kafka's default batch.size")
LINGER_LEAST_MS = Constant("shortest linger", 5, "ms", "docs/latency.md, the load's producer")
