"""Topics and files of one test of the REST poller or the push endpoint."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.integration.support import Stack, create_topic, write_deployment
from tests.support.bridges import RawRecord, committed_records, newest_cursors, rest_document, write_bridge
from tests.support.rest_source import RestSource

TOKEN = "a-token-for-the-tests"


class Place:
    """A deployment with a raw topic of its own, and bridges that feed it."""

    def __init__(self, stack: Stack, folder: Path, name: str) -> None:
        self.stack, self.folder, self.name = stack, folder, name
        kafka = {"bootstrap_servers": stack.bootstrap_servers}
        self.deployment = write_deployment(folder / "deployment.yaml", name, kafka=kafka)
        create_topic(stack, f"{name}.raw", 4, message_timestamp_type="LogAppendTime")

    def rest(self, source: RestSource, **feed: Any) -> Path:
        retry = {"attempts": 3, "first_wait": "50 ms", "longest_wait": "200 ms"}
        defaults = {"every": "1 s", "overlap": "1 h", "retry": retry}
        document = rest_document(self.name, source.url, defaults | feed)
        return write_bridge(self.folder / "rest.yaml", document)

    def raw(self) -> list[RawRecord]:
        return committed_records(self.stack.bootstrap_servers, f"{self.name}.raw")

    def ids(self) -> Counter[str]:
        return Counter(
            json.loads(r.value or b"")["event_id"] for r in self.raw() if b"json" in r.headers["content-type"]
        )

    def cursor(self, key: str = "b/f") -> dict[str, Any]:
        return newest_cursors(self.stack.bootstrap_servers, f"{self.name}.cursors")[key]

    def push(self, **changes: Any) -> Path:
        (self.folder / "tokens").write_text(f"tester {TOKEN}\n")
        document = {
            "name": "p",
            "deployment": "deployment.yaml",
            "listen": {"port": 0},
            "auth": {"kind": "tokens", "file": "tokens"},
            "feeds": [{"name": "readings", "adapter": "meridian"}],
            **changes,
        }
        return write_bridge(self.folder / "push.yaml", document)


def minutes_ago(minutes: float) -> int:
    return time.time_ns() // 1_000_000 - int(minutes * 60_000)
