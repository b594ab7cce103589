"""What the fault tests of REST poller and push endpoint share: topics and bridge files, a source that goes on."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from tests.integration.support import Stack, create_topic, write_deployment
from tests.support.bridges import BridgeProcess, committed_records, newest_cursors, rest_document, write_bridge
from tests.support.rest_source import RestSource, reading

MEMORY_LIMIT = 400 * 1024 * 1024
"""A bridge's resident memory starts at about 120 MB."""


class Scene:
    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.name = f"fault-{uuid.uuid4().hex[:8]}"
        kafka = {"bootstrap_servers": stack.bootstrap_servers}
        write_deployment(folder / "deployment.yaml", self.name, kafka=kafka)
        self.raw = create_topic(stack, f"{self.name}.raw", 4, message_timestamp_type="LogAppendTime")

    def rest(self, url: str, **feed: Any) -> Path:
        document = rest_document(self.name, url, {"every": "500 ms", "overlap": "1 min"} | feed)
        return write_bridge(self.folder / "rest.yaml", document)

    def push(self, port: int, **changes: Any) -> Path:
        document = {
            "name": "p",
            "deployment": "deployment.yaml",
            "listen": {"port": port},
            "auth": {"kind": "none"},
            "limits": {"ack_timeout": "3 s"},
            "feeds": [{"name": "readings", "adapter": "meridian"}],
            **changes,
        }
        return write_bridge(self.folder / "push.yaml", document)

    def ids(self) -> Counter[str]:
        """Of readings; what is unreadable has none."""
        records = committed_records(self.stack.bootstrap_servers, self.raw)
        readings = [json.loads(r.value or b"{}") for r in records if b"json" in r.headers["content-type"]]
        return Counter(reading.get("event_id", "") for reading in readings)

    def cursor(self) -> dict[str, Any]:
        return newest_cursors(self.stack.bootstrap_servers, f"{self.name}.cursors")["b/f"]

    def assert_cursor_agrees(self) -> None:
        assert self.cursor().get("readings", 0) == sum(self.ids().values())


class Stream(threading.Thread):
    """Adds readings to a source as time goes by, some of them late."""

    def __init__(self, source: RestSource) -> None:
        super().__init__(daemon=True)
        self.source, self.is_over = source, threading.Event()

    def run(self) -> None:
        number = 0
        while not self.is_over.wait(0.02):
            late_ms = 20_000 if number % 10 == 0 else 0
            time_ms = time.time_ns() // 1_000_000 - late_ms
            self.source.readings.append(reading(f"s{number % 7}n{number}", time_ms))
            number += 1


class Memory(threading.Thread):
    """Watches a bridge's resident memory until it ends."""

    def __init__(self, bridge: BridgeProcess) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(bridge.process.pid)
        self.peak = 0
        self.start()

    def run(self) -> None:
        try:
            while True:
                self.peak = max(self.peak, self._process.memory_info().rss)
                time.sleep(0.05)
        except psutil.Error:
            return
