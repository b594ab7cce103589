"""Kafka going away for as long as a block takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.support import Stack, members, meridian


@contextmanager
def kafka_away(stack: Stack) -> Iterator[None]:
    """Kill the broker as often as the stack's supervisor starts it; it runs again when the block ends.

    The supervisor waits longer after each failure, and gives up after thirty.
    """
    is_over = threading.Event()

    def keep_killing() -> None:
        while not is_over.wait(0.2):
            for process in members(stack, "kafka.Kafka"):
                process.kill()

    thread = threading.Thread(target=keep_killing)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        meridian("up")
