"""What the commands that show metrics share: their page, and how Prometheus finds it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from jobs.bridge.page import Figures
from jobs.cli.console import EXIT_ENVIRONMENT, CliError
from jobs.observe.bridges import BridgeCollector
from jobs.observe.endpoint import PageUnavailable, metrics_page


@contextmanager
def shown(registry: CollectorRegistry, port: int, hint: str = "choose --metrics-port") -> Iterator[int]:
    """Serve a page for Prometheus, the local stack's too, while the block runs; gives the port."""
    try:
        with metrics_page(registry, port, _observed_targets()) as bound:
            yield bound
    except PageUnavailable as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, hint) from None


@contextmanager
def bridge_page(bridge: str, port: int | None, figures: Figures) -> Iterator[None]:
    """Show a bridge's figures while the block runs, where there is a port for them."""
    if port is None:
        yield
        return
    registry = CollectorRegistry()
    registry.register(BridgeCollector(bridge, figures))
    with shown(registry, port, "choose another metrics_port"):
        yield


def stop_event() -> threading.Event:
    """Set when the process is told to end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _observed_targets() -> Path:
    """Where the local stack's Prometheus looks for processes; there is no such folder without `up --observe`."""
    from jobs.cli.local.layout import StackLayout, default_root
    from jobs.cli.local.prometheus import TARGETS

    return StackLayout(default_root()).observe / TARGETS
