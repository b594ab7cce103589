"""`meridian doctor` on broken set-ups of a real broker and cluster: the right cause has to come first.

One job runs through those that need one. What the doctor looks at are the newest records, so each set-up first sends
enough that are well.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from jobs.bridge.envelope import Message
from jobs.bridge.spool import Spool
from tests.integration.support import (
    Record,
    Stack,
    envelope,
    meridian,
    produce,
    running_job,
    wait_for,
    wait_until_running,
    write_deployment,
)
from tests.support.faults.processes import no_checkpoints

ENOUGH: Final = 250  # more than the doctor looks at in a partition
RIGHT: Final = 0.9  # of the set-ups


class Scene(NamedTuple):
    stack: Stack
    folder: Path
    config: Path
    job_id: str

    def deployment(self, name: str, **changes: Any) -> Path:
        """Another deployment, or the running one's as it should not be."""
        return write_deployment(self.folder / f"other-{name}.yaml", name, **changes)


def ask(config: Path, *options: str | Path) -> list[str]:
    """The causes that the doctor names, in its order."""
    result = meridian("doctor", "--config", config, "--sample", "2", "--json", *options, check=False)
    assert result.returncode in (0, 1), result.stderr
    findings = json.loads(result.stdout)["findings"]
    assert result.returncode == bool(findings)
    return [finding["cause"] for finding in findings]


def send(scene: Scene, partitions: Sequence[int] = range(4), behind_ms: int = 0, **fields: Any) -> None:
    """Readings of the last seconds, or of as long before."""
    first_ms = time.time_ns() // 1_000_000 - 2_000 - behind_ms
    records = [
        envelope(f"s-{p}-{i}", first_ms + i, p, **{"x": -4.5 + 0.06 * (i % 50), "y": 56.2 + 0.5 * p} | fields)
        for p in partitions
        for i in range(ENOUGH)
    ]
    crs = fields.get("crs", "EPSG:4326")
    produce(scene.stack, "doctor.raw", [stamped(record, "crs_source", crs) for record in records])


def stamped(record: Record, header: str, value: object) -> Record:
    """The record with another value of a header."""
    headers = tuple((name, str(value) if name == header else known) for name, known in record.headers)
    return record._replace(headers=headers)


def unfit_topics(scene: Scene) -> list[str]:
    return ask(scene.deployment("doctor-new"))


def broker_away(scene: Scene) -> list[str]:
    return ask(scene.deployment("doctor-away", kafka={"bootstrap_servers": "127.0.0.1:1"}))


def cluster_away(scene: Scene) -> list[str]:
    send(scene)
    return ask(scene.config, "--rest-url", "http://127.0.0.1:1")


def job_absent(scene: Scene) -> list[str]:
    config = scene.deployment("doctor-idle")
    meridian("topics", "create", "--config", config)
    return ask(config)


def too_few_slots(scene: Scene) -> list[str]:
    config = scene.deployment("doctor-large", parallelism=8)
    meridian("topics", "create", "--config", config)
    return ask(config)


def transaction_timeout_too_short(scene: Scene) -> list[str]:
    send(scene)
    return ask(scene.deployment("doctor", kafka=dict(broker(scene), transaction_timeout="1 min")))


def holds_watermark(scene: Scene) -> list[str]:
    send(scene, [0, 1, 3])
    send(scene, [2], behind_ms=900_000)
    return ask(scene.config)


def clock_of_producer(scene: Scene) -> list[str]:
    send(scene)
    now_ms = time.time_ns() // 1_000_000
    produce(scene.stack, "doctor.raw", [stamped(envelope("s-ahead", now_ms, 1), "ingest_timestamp", now_ms + 30_000)])
    return ask(scene.config)


def spool(scene: Scene) -> list[str]:
    send(scene)
    Spool(scene.folder / "spool", 1_000_000).append([("doctor.raw", Message(b"key", b"{}", {}))])
    return ask(scene.config, "--spool", scene.folder / "spool")


def replication(scene: Scene) -> list[str]:
    send(scene)
    return [cause for cause in ask(scene.config, "--production") if cause != "clock_not_synchronised"]


def failing_checkpoints(scene: Scene) -> list[str]:
    with no_checkpoints(scene.stack, scene.job_id):
        send(scene)
        return ask(scene.config)


def missing_grids(scene: Scene) -> list[str]:
    """OSTN15 is in no pyproj wheel; the readings show in the aligned topic after the next checkpoint."""
    return until(scene, "missing_grids", crs="EPSG:27700", x=393_700.0, y=806_500.0)


def idle_partition(scene: Scene) -> list[str]:
    send(scene)
    time.sleep(31)  # as long as a partition has to be silent: `time.idle_after`
    send(scene, [0, 1, 3])
    return ask(scene.config)


def refused_readings(scene: Scene) -> list[str]:
    return until(scene, "refused_readings", y=10.0)


def skewed_keys(scene: Scene) -> list[str]:
    """One sensor sends nearly everything, into one shard, so one subtask."""
    now_ms = time.time_ns() // 1_000_000
    for part in range(4):
        times_ms = (now_ms - 25_000 + part * 6_000 + i // 5 for i in range(30_000))
        produce(scene.stack, "doctor.raw", [envelope("s-hot", time_ms, part) for time_ms in times_ms])
    return until(scene, "skewed_keys")


def until(scene: Scene, cause: str, **fields: Any) -> list[str]:
    """What the doctor names once the job has come so far that the cause shows, or after two minutes."""
    deadline = time.monotonic() + 120
    while True:
        send(scene, **fields)
        causes = ask(scene.config)
        if cause in causes or time.monotonic() > deadline:
            return causes


SETUPS: Final[tuple[Callable[[Scene], list[str]], ...]] = (
    unfit_topics,
    broker_away,
    cluster_away,
    job_absent,
    too_few_slots,
    transaction_timeout_too_short,
    holds_watermark,
    clock_of_producer,
    spool,
    replication,
    failing_checkpoints,
    idle_partition,
    missing_grids,
    refused_readings,
    skewed_keys,
)
"""Each is called by the cause that it provokes."""


def broker(scene: Scene) -> dict[str, str]:
    return {"bootstrap_servers": scene.stack.bootstrap_servers}


def test_the_right_cause_comes_first_in_nine_of_ten_set_ups(stack: Stack, tmp_path: Path) -> None:
    config = write_deployment(tmp_path / "doctor.yaml", "doctor")
    with running_job(config) as job_id:
        scene = Scene(stack, tmp_path, config, job_id)
        wait_until_running(stack, job_id)
        wait_for(lambda: stack.rest.completed_checkpoints(job_id), 60, "a checkpoint")
        send(scene)
        assert ask(config) == [], "a job that is well"
        named = {setup.__name__: setup(scene) for setup in SETUPS}
    print(json.dumps(named, indent=2))
    wrong = {cause: causes for cause, causes in named.items() if causes[:1] != [cause]}
    assert len(wrong) <= (1 - RIGHT) * len(SETUPS), wrong
