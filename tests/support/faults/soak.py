"""One job under one random fault after the other, for as long as is asked; then the laws of `run.finish`."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.integration.support import Stack
from tests.support.faults.processes import BROKER, TASKMANAGER, WORKER
from tests.support.faults.report import Outcome
from tests.support.faults.run import Run, fault_run

Say = Callable[[str], object]

RATE: Final = 800  # records a second: in an hour event time, which runs 8 times as fast, does not reach the clock
_FROZEN_S: Final = {BROKER: 20, TASKMANAGER: 40}  # the latter is twice heartbeat.timeout
_PAUSE_S: Final = (2.0, 15.0)


def kill_taskmanager(run: Run) -> None:
    run.kill(TASKMANAGER)


def kill_both_taskmanagers(run: Run) -> None:
    run.kill(TASKMANAGER, all_of_them=True)


def kill_worker(run: Run) -> None:
    run.kill(WORKER)


def kill_before_commit(run: Run) -> None:
    run.kill_before_commit()


def kill_broker(run: Run) -> None:
    run.kill(BROKER)


def kill_jobmanager(run: Run) -> None:
    run.await_checkpoint()
    run.kill_jobmanager()


def freeze_broker(run: Run) -> None:
    with run.frozen(BROKER):
        time.sleep(_FROZEN_S[BROKER])


def freeze_taskmanager(run: Run) -> None:
    with run.frozen(TASKMANAGER):
        time.sleep(_FROZEN_S[TASKMANAGER])


def fail_checkpoints(run: Run) -> None:
    with run.no_checkpoints():
        pass


FAULTS: Final = (
    kill_before_commit,
    kill_taskmanager,
    kill_worker,
    kill_both_taskmanagers,
    kill_broker,
    freeze_broker,
    freeze_taskmanager,
    fail_checkpoints,
    kill_jobmanager,
)


def soak(stack: Stack, folder: Path, minutes: float, seed: int, say: Say, execution_mode: str = "process") -> Outcome:
    """Run faults for so many minutes, the first ones in the order of the list, then at random; drain, and judge.

    Raises
    ------
    AssertionError : a law does not hold, or the job did not recover.
    """
    outcome, chance = Outcome(f"soak of {minutes:g} min, {execution_mode}", seed), random.Random(seed)
    ends_s = time.monotonic() + minutes * 60
    done: Counter[str] = Counter()
    with fault_run(stack, folder, outcome, readings=0, rate=RATE, execution_mode=execution_mode) as run:
        run.revives = True  # a fault a minute leaves no five minutes of calm, after which Flink would count anew
        while time.monotonic() < ends_s:
            provoke = FAULTS[outcome.faults] if outcome.faults < len(FAULTS) else chance.choice(FAULTS)
            what = provoke.__name__.replace("_", " ")
            with run.fault():
                provoke(run)
            done[what] += 1
            say(f"{what}: recovered in {outcome.recovery_s[-1]:.0f} s; {run.feed.sent:,} records so far")
            time.sleep(min(chance.uniform(*_PAUSE_S), max(0.0, ends_s - time.monotonic())))
        say(f"{sum(done.values())} faults; draining and judging {run.feed.sent:,} records …")
    return outcome
