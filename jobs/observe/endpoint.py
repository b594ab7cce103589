"""A page of metrics on the loopback interface, and the file by which the local stack's Prometheus finds it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import psutil
from prometheus_client import CollectorRegistry, disable_created_metrics, start_http_server

HOST = "127.0.0.1"

disable_created_metrics()  # type: ignore[no-untyped-call]


class PageUnavailable(RuntimeError):  # noqa: N818
    """The port cannot be had; one line for a person."""


@contextmanager
def metrics_page(registry: CollectorRegistry, port: int, targets: Path | None) -> Iterator[int]:
    """Serve `/metrics` while the block runs; gives the port.

    Parameters
    ----------
    port
        0: any free one.
    targets
        Folder that Prometheus reads its targets from (`file_sd_configs`); one that does not exist is passed over.

    Raises
    ------
    PageUnavailable
    """
    try:
        server, thread = start_http_server(port, HOST, registry)
    except OSError as error:
        raise PageUnavailable(f"port {port} for metrics: {os.strerror(error.errno or 0)}") from None
    address = f"{HOST}:{server.server_port}"
    file = None
    if targets is not None and targets.is_dir():
        _forget_the_dead(targets)
        file = targets / f"{os.getpid()}-{server.server_port}.json"
        partial = file.with_suffix(".part")
        partial.write_bytes(orjson.dumps([{"targets": [address]}]))
        partial.rename(file)
    try:
        yield server.server_port
    finally:
        if file is not None:
            file.unlink(missing_ok=True)
        server.shutdown()
        server.server_close()
        thread.join()


def _forget_the_dead(targets: Path) -> None:
    """Remove the files of processes that were killed, or their alerts would last for ever."""
    for file in targets.glob("*.json"):
        if not psutil.pid_exists(int(file.stem.partition("-")[0])):
            file.unlink(missing_ok=True)
