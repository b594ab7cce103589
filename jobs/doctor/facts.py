"""A snapshot of a deployment, for the checks to judge; nothing is said of what is None or empty, not asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Operator:
    """A job vertex, over the sampled time; tuples are by subtask. `feeds` are the names of what comes after it."""

    name: str
    backpressured_ms_per_s: tuple[float, ...] = ()
    busy_ms_per_s: tuple[float, ...] = ()
    read_bytes: tuple[int, ...] = ()
    feeds: tuple[str, ...] = ()
    is_keyed: bool = False

    @property
    def backpressured(self) -> float:
        return max(self.backpressured_ms_per_s, default=0.0)

    @property
    def busy(self) -> float:
        return max(self.busy_ms_per_s, default=0.0)


@dataclass(frozen=True)
class Checkpoints:
    interval_ms: int
    timeout_ms: int
    completed: int = 0
    failed: int = 0
    failed_in_a_row: int = 0
    last_duration_ms: int | None = None
    running_for_ms: int | None = None
    last_failure: str = ""


@dataclass(frozen=True)
class Worker:
    """A TaskManager."""

    name: str
    gc_ms_per_s: float = 0.0
    metaspace_used: int = 0
    metaspace_max: int = 0
    managed_used: int = 0
    managed_max: int = 0


@dataclass(frozen=True)
class Job:
    id: str
    name: str
    state: str
    is_failing: bool = False
    root_cause: str = ""
    operators: tuple[Operator, ...] = ()
    checkpoints: Checkpoints | None = None
    pending_records: int | None = None
    accounted: int = 0  # readings since the job's attempt began …
    refused: Mapping[str, int] = field(default_factory=dict)  # … and of them the refused ones, by reason


@dataclass(frozen=True)
class Cluster:
    url: str
    problem: str = ""
    flink_version: str = ""
    jars: frozenset[str] = frozenset()
    slots: int = 0
    slots_free: int = 0
    workers: tuple[Worker, ...] = ()
    clock_ahead_ms: int | None = None  # of this machine's
    restart_ms: int = 420_000


@dataclass(frozen=True)
class Partition:
    """The newest records of one raw partition. Event times are those that may move a watermark."""

    number: int
    records: int
    newest_event_ms: int | None = None
    newest_append_ms: int | None = None
    ingest_ahead_ms: int | None = None  # how far the header is ahead of the broker's stamp, at the most


@dataclass(frozen=True)
class Topic:
    """`unfit` are lines of what the job cannot work with."""

    role: str
    name: str
    replication: int | None = None
    min_insync: int | None = None
    unfit: tuple[str, ...] = ()


@dataclass(frozen=True)
class Broker:
    servers: str
    problem: str = ""
    transaction_max_ms: int | None = None
    topics: tuple[Topic, ...] = ()
    partitions: tuple[Partition, ...] = ()
    without_grid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # CRS of readings: missing grids


@dataclass(frozen=True)
class Pythons:
    """What the client runs, and what the workers' interpreter says of itself; by name of a package, or `python`."""

    client: Mapping[str, str] = field(default_factory=dict)
    worker: Mapping[str, str] = field(default_factory=dict)
    worker_path: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Folder:
    """Something that grows on a disk."""

    path: str
    free_bytes: int
    total_bytes: int
    waiting: int = 0  # records that a spool holds


@dataclass(frozen=True)
class Machine:
    clock_synchronised: bool | None = None
    clock_error_ms: float | None = None
    memory_available: int = 0
    memory_total: int = 0
    folders: tuple[Folder, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What a deployment asks for."""

    name: str
    parallelism: int
    out_of_orderness_ms: int
    idle_after_ms: int
    max_future_ms: int
    transaction_timeout_ms: int
    is_production: bool = False
    wanted_jars: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Snapshot:
    now_ms: int
    settings: Settings
    cluster: Cluster
    broker: Broker
    job: Job | None = None
    pythons: Pythons = Pythons()
    machine: Machine = Machine()
