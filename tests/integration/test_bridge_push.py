"""The push endpoint: real HTTP in, a real broker behind it."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.integration.support import Stack, wait_for
from tests.support.bridges import BridgeProcess, bridge
from tests.support.rest_place import TOKEN, Place, minutes_ago
from tests.support.rest_source import reading


@pytest.fixture
def place(stack: Stack, tmp_path: Path) -> Place:
    return Place(stack, tmp_path, f"push-{uuid.uuid4().hex[:8]}")


class Client:
    def __init__(self, endpoint: BridgeProcess) -> None:
        port = endpoint.wait_for("listening")["port"]
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {TOKEN}"})
        wait_for(self._is_up, 60, "the endpoint answers")

    def _is_up(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def delivers(self, sent: list[dict[str, Any]]) -> bool:
        """Whether an answer came: a process that is killed takes its connections with it."""
        try:
            return self.http.post("/v1/feeds/readings", json=sent).status_code == 200
        except httpx.TransportError:
            return False

    def post(
        self, body: bytes, kind: str = "application/json", path: str = "readings", **headers: str
    ) -> httpx.Response:
        sent = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.http.post(f"/v1/feeds/{path}", content=body, headers=sent)


def readings(count: int, sensor: str) -> list[dict[str, Any]]:
    return [reading(sensor, minutes_ago(10) + i) for i in range(count)]


def test_what_was_answered_with_200_is_in_kafka(place: Place) -> None:
    ndjson = "application/x-ndjson"
    with bridge("push", "--config", place.push()) as endpoint:
        client = Client(endpoint)
        sent = [readings(1, "one"), readings(20, "array"), readings(30, "lines"), readings(1_000, "packed")]
        lines = [b"\n".join(json.dumps(r).encode() for r in batch) for batch in sent]
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        assert client.post(lines[0], traceparent=parent).json()["readings"] == 1
        assert client.post(json.dumps(sent[1]).encode()).json()["readings"] == 20
        assert client.post(lines[2], ndjson).json()["readings"] == 30
        packed = client.post(gzip.compress(lines[3]), ndjson, content_encoding="gzip")
        assert packed.json() == {"readings": 1_000, "unreadable_count": 0, "unreadable": []}
        assert place.ids() == Counter(r["event_id"] for batch in sent for r in batch)
        (traced,) = [r for r in place.raw() if r.headers["sensor_id"] == b"one"]
        assert traced.headers["traceparent"].split(b"-")[1] == parent.encode().split(b"-")[1]

        mixed = client.post(b"\n".join([lines[0], b"{broken", b"7"]), ndjson)
        assert mixed.status_code == 200
        told = mixed.json()
        assert (told["readings"], [(u["index"], u["reason"]) for u in told["unreadable"]]) == (
            1,
            [(1, "malformed"), (2, "not_an_object")],
        )
        assert len(place.raw()) == 1_054
        assert endpoint.end() == 0


def test_what_is_refused_is_not_in_kafka(place: Place) -> None:
    config = place.push(limits={"body_bytes": 20_000, "batch_readings": 10, "rate": {"count": 40, "per": "10 s"}})
    one = json.dumps(readings(1, "x")[0]).encode()
    with bridge("push", "--config", config) as endpoint:
        client = Client(endpoint)
        bomb = gzip.compress(bytes(100_000_000))
        refusals = {
            "no token": (client.post(one, authorization="Bearer nonsense-nonsense"), 401),
            "no feed": (client.post(one, path="other"), 404),
            "no json": (client.post(b"{broken"), 400),
            "no gzip": (client.post(one, content_encoding="gzip"), 400),
            "cut gzip": (client.post(gzip.compress(one)[:-9], content_encoding="gzip"), 400),
            "nothing": (client.post(b""), 400),
            "wrong type": (client.post(one, "text/csv"), 415),
            "wrong encoding": (client.post(one, content_encoding="br"), 415),
            "too long": (client.post(b" " * 20_001), 413),
            "a bomb": (client.post(bomb, content_encoding="gzip"), 413),
            "too many": (client.post(json.dumps([json.loads(one)] * 11).encode()), 413),
        }
        assert {name: answer.status_code for name, (answer, _) in refusals.items()} == {
            name: status for name, (_, status) in refusals.items()
        }
        assert refusals["no token"][0].headers["www-authenticate"] == "Bearer"
        assert place.raw() == []
        statuses = [client.post(json.dumps(readings(9, "y")).encode()) for _ in range(6)]
        busy = [answer for answer in statuses if answer.status_code == 429]
        assert busy and all(1 <= int(answer.headers["retry-after"]) <= 10 for answer in busy)
        accepted = sum(answer.json()["readings"] for answer in statuses if answer.status_code == 200)
        assert len(place.raw()) == accepted
        assert endpoint.end() == 0


def test_a_body_that_does_not_come_is_not_waited_for(place: Place) -> None:
    config = place.push(limits={"read_timeout": "500 ms"})
    with bridge("push", "--config", config) as endpoint:
        client = Client(endpoint)

        def slowly() -> Iterator[bytes]:
            yield b"{"
            time.sleep(1)
            yield b"}"

        answer = client.http.post("/v1/feeds/readings", content=slowly(), headers={"content-type": "application/json"})
        assert answer.status_code == 408
        assert endpoint.end() == 0


def workers_of(endpoint: BridgeProcess) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(endpoint.process.pid).children():
        with suppress(psutil.Error):  # killed, and not waited for yet
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_processes_share_the_port_and_one_that_is_killed_comes_back(place: Place) -> None:
    with bridge("push", "--config", place.push(processes=2)) as endpoint:
        client = Client(endpoint)
        workers = workers_of(endpoint)
        assert len(workers) == 2
        workers[0].kill()
        acknowledged: Counter[str] = Counter()
        for number in range(20):
            sent = readings(50, f"s{number}")
            wait_for(lambda sent=sent: client.delivers(sent), 60, "the other process answers, or the new one")
            acknowledged.update(r["event_id"] for r in sent)
        wait_for(lambda: len(workers_of(endpoint)) == 2, 60, "two again")
        assert len(acknowledged) == 1_000
        assert place.ids() >= acknowledged
        assert endpoint.end() == 0
    assert not any(worker.is_running() for worker in workers)
