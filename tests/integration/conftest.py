"""One real broker and session cluster for the whole run, on ports of their own, gone when the run ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.cli.console import CliError
from jobs.cli.local.ports import first_free
from jobs.cli.local.prometheus import find_prometheus
from jobs.cli.stack import load_endpoints
from tests.integration.sql_run import sql_run as sql_run  # a fixture that two modules share
from tests.integration.support import Stack, meridian
from tests.support.prometheus import Prometheus

# Where another run is under way on this machine, the next ports that are free.
KAFKA_PORT = int(os.environ.get("MERIDIAN_TEST_KAFKA_PORT") or first_free(29092, set()))
REST_PORT = int(os.environ.get("MERIDIAN_TEST_REST_PORT") or first_free(28081, set()))


def observe_options() -> list[str]:
    """With Prometheus where there is one; its own tests are skipped elsewhere."""
    try:
        find_prometheus()
    except CliError:
        return []
    return ["--observe-port", str(first_free(KAFKA_PORT + 2, {REST_PORT}))]


@pytest.fixture(scope="session")
def prometheus(stack: Stack) -> Prometheus:
    url = load_endpoints(stack.folder).observe_url
    if url is None:
        pytest.skip("no Prometheus here: `scripts/bootstrap --observe` gets it")
    return Prometheus(url)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack; its folder and broker are also in the environment, where the command line finds them."""
    with started_stack(tmp_path_factory.mktemp("stack"), *observe_options()) as running:
        yield running


@contextmanager
def started_stack(
    folder: Path, *options: str, kafka_port: int = KAFKA_PORT, rest_port: int = REST_PORT
) -> Iterator[Stack]:
    """A stack in that folder, started with these further options of `meridian up`."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MERIDIAN_STACK_DIR", str(folder))
        try:
            # Two slots each: after a kill the job fits on the TaskManager that is left.
            ports = ["--kafka-port", str(kafka_port), "--rest-port", str(rest_port)]
            meridian("up", *ports, "--taskmanagers", "2", *options)
            endpoints = load_endpoints(folder)
            environment.setenv("MERIDIAN_KAFKA", endpoints.bootstrap_servers)
            yield Stack(folder, endpoints.bootstrap_servers, endpoints.rest_url)
        finally:
            meridian("down", "--wipe", check=False)
