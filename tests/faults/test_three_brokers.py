"""Kafka as it is in production, three brokers with replication 3: one of them may go and nothing is lost or held up.

A stack of their own (`meridian up --brokers 3`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from jobs.cli.local.ports import first_free
from tests.faults.conftest import StartRun
from tests.integration.conftest import started_stack
from tests.integration.support import Stack
from tests.support.faults.processes import BROKER

BROKERS = 3
LONGER_THAN_SESSIONS_S = 20  # broker.session.timeout.ms is 9 s: the other two elect leaders without it


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    ports = {"kafka_port": first_free(33_092, set()), "rest_port": first_free(33_081, set())}
    with started_stack(tmp_path_factory.mktemp("stack"), "--brokers", str(BROKERS), **ports) as running:
        assert running.bootstrap_servers.count(",") == BROKERS - 1
        yield running


def test_one_of_three_brokers_killed_again_and_again(faults: StartRun) -> None:
    with faults("one of three brokers killed", replication=BROKERS) as run:
        for _ in range(3):
            with run.fault():
                run.kill(BROKER)


def test_one_of_three_brokers_away_while_the_others_go_on(faults: StartRun) -> None:
    with faults("one of three brokers away 20 s", replication=BROKERS) as run, run.fault(), run.frozen(BROKER):
        time.sleep(LONGER_THAN_SESSIONS_S)
        run.await_results()
