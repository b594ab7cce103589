"""A job under faults: it is fed and watched while a scenario kills things, and judged by laws at the end."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import KafkaException

from benchmarks.broker_io import Undelivered
from benchmarks.oracle import judge, read_truth
from benchmarks.settings import Topics
from jobs.cli.console import EXIT_USAGE
from jobs.cluster.rest import TERMINAL_STATES, ClusterError
from jobs.cluster.restore_points import latest, points_of
from tests.integration.support import (
    ROOT,
    Stack,
    failures,
    members,
    meridian,
    wait_for,
    wait_until_running,
    write_deployment,
)
from tests.support.faults.feed import Feed
from tests.support.faults.processes import (
    JOBMANAGER,
    TASKMANAGER,
    WORKER,
    at_work,
    await_metadata,
    no_checkpoints,
    stopped,
)
from tests.support.faults.readers import Watcher, raw_ends, read_finally, unstable
from tests.support.faults.report import Outcome

WHOLE = ROOT / "benchmarks" / "deployments" / "whole.yaml"
LONGEST_RECOVERY_S = 180
_GRACE = 20_000  # records of a partition in which watermarks may not have begun to move
_DRAIN_S = 240
_ATTEMPTS = 20
_UNCOMMITTED = 10_000  # readings: half of what comes between two checkpoints, and far more than since the last one


class Run:
    """One job with its feed and its reader; scenarios call what they need of it, in any order."""

    def __init__(self, stack: Stack, folder: Path, outcome: Outcome, readings: int, rate: int, **changes: Any) -> None:
        self.stack, self.outcome = stack, outcome
        self.name = re.sub(r"[^a-z0-9]+", "-", f"fault {outcome.scenario} {outcome.seed}")
        self.deployment = write_deployment(folder / "deployment.yaml", self.name, WHOLE, **changes)
        self.topics = Topics(self.name)
        self.revives = False  # whether a job that has used up its restarts is submitted again, as its runbook says
        self._rng = random.Random(outcome.seed)
        meridian("topics", "create", "--config", self.deployment)
        self.job_id = self.submit()
        wait_until_running(stack, self.job_id)
        bootstrap = stack.bootstrap_servers
        self.watcher = Watcher(bootstrap, self.topics.all, self.topics.aligned)
        self.feed = Feed(bootstrap, f"{self.name}.raw", outcome.seed, rate, readings)
        self.watcher.start()
        self.feed.start()
        self.await_results()

    # --- what scenarios do ---

    @contextmanager
    def fault(self) -> Iterator[None]:
        """A fault, as long as the block lasts; then wait until the job has recovered, and note how long it took."""
        before = self.restarts()
        yield
        ended_s = time.monotonic()
        self.outcome.faults += 1
        self.outcome.recovery_s.append(self.await_results() - ended_s)
        self.outcome.restarts += max(0, self.restarts() - before)

    def kill(self, what: str, *, all_of_them: bool = False) -> None:
        """kill -9 one of the processes, or all of them."""
        found = wait_for(lambda: members(self.stack, what), 60, f"a process {what}")
        for victim in found if all_of_them else [self._one_of(what)]:
            victim.kill()

    def kill_jobmanager(self) -> None:
        """kill -9; without high availability the job is gone then, and the runbook is followed."""
        settings = {setting["key"]: setting["value"] for setting in self.stack.rest.get("/jobmanager/config")}
        self.kill(JOBMANAGER)
        wait_for(self.cluster_answers, 120, "the JobManager is back")
        if settings.get("high-availability.type", "NONE") == "NONE":
            self.go_on(self.newest_point())

    @contextmanager
    def frozen(self, what: str, *, all_of_them: bool = False) -> Iterator[None]:
        """SIGSTOP one of the processes, or all of them; they go on when the block ends."""
        victims = members(self.stack, what) if all_of_them else [self._one_of(what)]
        with stopped(victims):
            yield

    def no_checkpoints(self) -> AbstractContextManager[None]:
        return no_checkpoints(self.stack, self.job_id)

    def _one_of(self, what: str) -> psutil.Process:
        return self._rng.choice(wait_for(lambda: at_work(self.stack, what), 60, f"a process {what} at work"))

    def kill_before_commit(self) -> int:
        """Kill all TaskManagers when a checkpoint is complete and its transactions are not committed; its number."""
        victims = members(self.stack, TASKMANAGER)
        checkpoint = self.await_metadata()
        for victim in victims:
            victim.kill()
        return checkpoint

    @contextmanager
    def frozen_before_commit(self) -> Iterator[None]:
        """Freeze all TaskManagers when a checkpoint is complete and its transactions are not committed.

        Most are within milliseconds; the attempts at which they were do no harm.
        """
        for _ in range(_ATTEMPTS):
            self.await_metadata()
            with self.frozen(TASKMANAGER, all_of_them=True):
                held_up = unstable(self.stack.bootstrap_servers, [self.topics.aligned])
                if sum(held_up.values()) > _UNCOMMITTED:
                    yield
                    return
        raise AssertionError("each checkpoint's transactions were committed before the TaskManagers stood still")

    def await_metadata(self) -> int:
        return await_metadata(self.stack, self.job_id)

    def submit(self, *arguments: str) -> str:
        answer = meridian("submit", "--config", self.deployment, "--json", *arguments)
        return str(json.loads(answer.stdout)["job_id"])

    def upgrade(self) -> None:
        """The runbook of a job that keeps failing."""
        self.job_id = json.loads(meridian("upgrade", "--config", self.deployment, "--json").stdout)["job_id"]

    def refused(self, *arguments: str, command: str = "submit", code: int = EXIT_USAGE) -> str:
        """What `meridian submit`, or another command, says when it refuses."""
        result = meridian(command, "--config", self.deployment, *arguments, check=False)
        assert result.returncode == code, f"exit {result.returncode}: {result.stderr}{result.stdout}"
        self.outcome.faults += 1
        return result.stderr

    def end(self, *arguments: str) -> None:
        meridian("cancel", "--config", self.deployment, *arguments)
        wait_for(lambda: self.stack.rest.state(self.job_id) in TERMINAL_STATES, 120, "the job has ended")

    def cluster_answers(self) -> bool:
        try:
            self.stack.rest.jobs()
        except ClusterError:
            return False
        return True

    def newest_point(self) -> str:
        """The newest checkpoint or savepoint of the job, as the runbooks look for it."""
        roots = [self.stack.folder / "checkpoints", self.stack.folder / "savepoints"]
        point = latest(points_of(self.job_id, roots))
        assert point is not None
        return point.path

    def go_on(self, path: str) -> None:
        """Submit the job again from there."""
        self.job_id = self.submit("--from-savepoint", path)

    def await_checkpoint(self) -> None:
        before = self.stack.rest.completed_checkpoints(self.job_id)
        wait_for(lambda: self.stack.rest.completed_checkpoints(self.job_id) > before, 120, "a checkpoint")

    def restored_from(self) -> int:
        """The number of the checkpoint that the job's newest attempt began with."""
        newest = self.stack.rest.get(f"/jobs/{self.job_id}/checkpoints")["latest"]["restored"]
        return int(newest["id"])

    def restarts(self) -> int:
        """Of the job that runs now, as far as Flink remembers them (16)."""
        return len(failures(self.stack, self.job_id)) if self.cluster_answers() else 0

    def await_results(self) -> float:
        """Wait until results of what is sent from now on are committed in all partitions; when that was."""
        ends = wait_for(self._raw_ends, 120, "the broker answers")
        mark = self.watcher.mark(dict.fromkeys(range(4), 0) | ends)
        what = "results of what was sent after the fault"
        wait_for(lambda: mark.passed_s is not None or self.has_given_up(), LONGEST_RECOVERY_S, what)
        if mark.passed_s is None:
            assert self.revives, "the job has used up its restarts"
            self.go_on(self.newest_point())
            wait_for(lambda: mark.passed_s is not None, LONGEST_RECOVERY_S, what)
        assert mark.passed_s is not None
        return mark.passed_s

    def has_given_up(self) -> bool:
        """Whether the job has failed as often as `restart-strategy` allows without a while of calm."""
        try:
            return self.stack.rest.state(self.job_id) == "FAILED"
        except ClusterError:
            return False

    def _raw_ends(self) -> dict[int, int]:
        try:
            return raw_ends(self.stack.bootstrap_servers, f"{self.name}.raw")
        except (KafkaException, Undelivered):
            return {}  # away just now

    def windows(self) -> int:
        """How many window results the watching reader has seen."""
        return sum(len(log) for (topic, _), log in self.watcher.log.items() if topic == self.topics.windows)

    def open_transactions(self) -> int:
        """Partitions in which readers are held up."""
        return len(unstable(self.stack.bootstrap_servers, self.topics.all))

    # --- the laws ---

    def finish(self) -> None:
        """Drain, and hold everything that was sent against everything that was published."""
        bootstrap, raw = self.stack.bootstrap_servers, f"{self.name}.raw"
        sent = self.outcome.records = self.feed.stop()
        assert sum(raw_ends(bootstrap, raw).values()) == sent, "what was sent is not what the broker has"
        audited = self.audit()
        wait_for(lambda: not self.open_transactions(), 90, "last stable offset = high watermark")
        verdict = judge(read_truth(bootstrap, raw), bootstrap, self.topics, "whole", _GRACE)
        self.outcome.lost = audited["lost"] + _count(verdict.problems, "_missing")
        self.outcome.doubled = audited["doubled"] + _count(verdict.problems, "_doubled")
        self.outcome.wrong = audited["wrong_class"] + sum(verdict.problems.values()) - _count(
            verdict.problems, "_missing", "_doubled"
        )  # fmt: skip
        assert verdict.correct, (verdict.problems, verdict.samples)
        assert audited["ok"], audited
        assert audited["raw"] == sum(audited[c] for c in ("aligned", "duplicates", "invalid", "shed")) == sent
        assert min(verdict.figures[name] for name in ("aligned", "duplicate", "invalid", "late 5min")) > 0, verdict
        self._readers_agree()
        self._nothing_is_left()

    def audit(self) -> dict[str, Any]:
        """What the audit says once everything has been drained."""
        answer = meridian("audit", "--config", self.deployment, "--json", "--close", "--wait", str(_DRAIN_S),
                          check=False, timeout_s=_DRAIN_S + 120)  # fmt: skip
        assert answer.stdout, answer.stderr
        verdict = dict(json.loads(answer.stdout))
        assert verdict["ok"] == (answer.returncode == 0)
        return verdict

    def abandon(self) -> None:
        """Leave nothing running, whatever has gone wrong."""
        meridian("cancel", "--config", self.deployment, check=False)
        self.feed.abandon()
        self.watcher.stop()

    def _readers_agree(self) -> None:
        final = read_finally(self.stack.bootstrap_servers, self.topics.all)
        size = sum(map(len, final.values()))
        wait_for(lambda: sum(map(len, self.watcher.log.values())) >= size, 60, "the watcher has read everything")
        seen = self.watcher.stop()
        assert {place: log for place, log in seen.items() if log} == final

    def _nothing_is_left(self) -> None:
        self.end()
        wait_for(lambda: not members(self.stack, WORKER), 60, "no Python worker is left")
        wait_for(lambda: len(members(self.stack, TASKMANAGER)) == 2, 60, "both TaskManagers run")


@contextmanager
def fault_run(stack: Stack, folder: Path, outcome: Outcome, readings: int, rate: int, **changes: Any) -> Iterator[Run]:
    """A job with readings under way; after the block everything is drained and judged.

    Parameters
    ----------
    changes : new values for keys of the deployment.
    """
    meridian("up")  # what an earlier scenario has killed runs again
    run = Run(stack, folder, outcome, readings, rate, **changes)
    try:
        yield run
        run.finish()
        outcome.passed = True
    finally:
        run.abandon()


def _count(problems: dict[str, int], *endings: str) -> int:
    """Of problems such as `windows_missing 5min`."""
    return sum(n for name, n in problems.items() if name.partition(" ")[0].endswith(endings))
