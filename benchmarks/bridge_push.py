"""What the push endpoint costs: readings a second through HTTP into Kafka, beside a bare producer of the same records.

The bare producer sends ready-made records (the bytes and headers that the endpoint makes of the same readings) with the
same settings, in one process, and waits for every acknowledgement. The endpoint takes NDJSON by several connections,
and each request ends with Kafka's acknowledgement of all its readings; it runs as one process and as two. All run in
turn, on the same broker and topic. The client's own work is in no column but in the time, since it shares the machine.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import yaml
from confluent_kafka import KafkaError

from benchmarks.bridge_row import bridge_row
from benchmarks.broker_io import create_topics, delete_topics, end_offsets, make_consumer
from benchmarks.measure import cpu_seconds, descendants, rss_mb
from jobs.bridge.envelope import Enveloper, Message
from jobs.bridge.feed import Payload, make_adapter
from jobs.bridge.producer import BridgeProducer
from jobs.bridge.spatial_key import KeyRule
from jobs.pipeline.config import Kafka

TOPIC = "bench.push.raw"
BARE, PUSH, PUSH_TWICE = "bare producer", "push endpoint", "push endpoint, 2 processes"
_BATCH = 5_000
_DISTINCT = 50_000  # records that the bare producer sends again and again: all of them would take gigabytes
_CONNECTIONS = 8  # so that each of the processes has some
_PARTITIONS = 4
_POLL_EVERY = 500
_ROOT = Path(__file__).resolve().parents[1]


def measure(
    records: int, rounds: int, bootstrap: str, say: Callable[[str], object], gzipped: bool = False
) -> list[dict[str, Any]]:
    """Measure all in turn; one object a run.

    CPU seconds and memory are those of the sending processes. A run is correct when its records are in the topic.

    Raises
    ------
    RuntimeError : a record was not acknowledged, or the endpoint did not answer with 200.
    """
    bodies = _bodies(records)
    messages = _messages(bodies[: _DISTINCT // _BATCH])
    gc.freeze()  # or the bare producer would pay for the collector's looks at them
    sent = [gzip.compress(body, 1) for body in bodies] if gzipped else bodies
    headers = {"content-type": "application/x-ndjson", **({"content-encoding": "gzip"} if gzipped else {})}
    delete_topics(bootstrap, [TOPIC])
    create_topics(bootstrap, [TOPIC], _PARTITIONS)
    runs = []
    with _endpoint(bootstrap, 1) as (one, url_of_one), _endpoint(bootstrap, 2) as (two, url_of_two):
        me = psutil.Process()
        variants: list[tuple[str, list[psutil.Process], Callable[[], None]]] = [
            (BARE, [me], lambda: _bare(bootstrap, messages, records)),
            (PUSH, descendants([one]), lambda: asyncio.run(_post(url_of_one, headers, sent))),
            (PUSH_TWICE, descendants([two]), lambda: asyncio.run(_post(url_of_two, headers, sent))),
        ]
        for url in (url_of_one, url_of_two):
            asyncio.run(_post(url, headers, sent[: 2 * _CONNECTIONS]))  # caches and PROJ are warm then
        for number in range(rounds):
            say(f"round {number + 1}: pushing {records:,} readings …")
            for variant, processes, run in variants if number % 2 == 0 else variants[::-1]:
                before, cpu_s, started_s = _records(bootstrap), cpu_seconds(processes), time.perf_counter()
                run()
                seconds, cpu_s = time.perf_counter() - started_s, cpu_seconds(processes) - cpu_s
                missing = records - (_records(bootstrap) - before)
                problems = f"{missing:,} missing" if missing else ""
                row = bridge_row("push", variant, records, seconds, cpu_s, rss_mb(processes), problems)
                say(f"  {variant}  {row['messages_per_s']:>8,}/s")
                runs.append(row)
    delete_topics(bootstrap, [TOPIC])
    return runs


def _records(bootstrap: str) -> int:
    consumer = make_consumer(bootstrap, "bench-push")
    try:
        return sum(end_offsets(consumer, TOPIC).values())
    finally:
        consumer.close()


def _bodies(records: int) -> list[bytes]:
    now_ms = time.time_ns() // 1_000_000

    def reading(number: int) -> bytes:
        return orjson.dumps(
            {
                "event_id": f"e{number}",
                "sensor_id": f"s{number % 1_000}",
                "region": f"r{number % 40}",
                "metric": "air_temperature",
                "value": 20.0 + number % 100 / 10,
                "unit": "degC",
                "event_time": now_ms + number,
                "x": round(-2.1 + number % 1_000 / 500, 4),
                "y": 57.15,
                "crs": "EPSG:4326",
            }
        )

    return [
        b"\n".join(reading(n) for n in range(begin, min(begin + _BATCH, records)))
        for begin in range(0, records, _BATCH)
    ]


def _messages(bodies: list[bytes]) -> list[Message]:
    adapter, enveloper = make_adapter("meridian"), Enveloper("/v1/feeds/readings", "meridian", KeyRule().key())
    received_ms = time.time_ns() // 1_000_000
    items = (item for body in bodies for item in adapter.readings(Payload(body, {}, received_ms)))
    return [enveloper.message(item, received_ms) for item in items]


def _bare(bootstrap: str, messages: list[Message], records: int) -> None:
    """Send records and see them acknowledged."""
    producer = BridgeProducer(Kafka(bootstrap_servers=bootstrap), "bench-bare", give_up_after_s=60)
    failures: list[str] = []
    left = records

    def on_ack(error: KafkaError | None, _message: Any) -> None:
        nonlocal left
        left -= 1
        if error is not None:
            failures.append(error.str())

    for number, message in enumerate(islice(cycle(messages), records)):
        producer.send(TOPIC, message, on_ack)
        if number % _POLL_EVERY == 0:
            producer.poll()
    producer.drain(120)
    if left or failures:
        raise RuntimeError(f"bare producer: {failures[0] if failures else f'{left} not acknowledged'}")


async def _post(url: str, headers: dict[str, str], bodies: list[bytes]) -> None:
    waiting = iter(bodies)
    async with httpx.AsyncClient(timeout=120) as client:

        async def connection() -> None:
            for body in waiting:
                answer = await client.post(url, content=body, headers=headers)
                if answer.status_code != 200:
                    raise RuntimeError(f"the endpoint answers {answer.status_code}: {answer.text[:200]}")

        await asyncio.gather(*(connection() for _ in range(_CONNECTIONS)))


@contextmanager
def _endpoint(bootstrap: str, processes: int) -> Iterator[tuple[psutil.Process, str]]:
    """An endpoint beside this process, as a user starts it."""
    with tempfile.TemporaryDirectory() as folder:
        deployment = yaml.safe_load((_ROOT / "flink-conf" / "deployments" / "demo.yaml").read_text())
        deployment.update(kafka={"bootstrap_servers": bootstrap}, topics={"raw": {"name": TOPIC}})
        for named in ("avro", "schemas"):  # their paths are relative to the file
            deployment.pop(named, None)
        (Path(folder) / "deployment.yaml").write_text(yaml.safe_dump(deployment))
        config = {
            "name": "bench",
            "deployment": "deployment.yaml",
            "listen": {"port": 0},
            "auth": {"kind": "none"},
            "processes": processes,
            "feeds": [{"name": "readings", "adapter": "meridian"}],
        }
        (Path(folder) / "push.yaml").write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "jobs.cli.main", "bridge", "push", "--config", str(Path(folder) / "push.yaml")]
        process = subprocess.Popen(command, cwd=_ROOT, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            if not line.startswith("{"):
                raise RuntimeError(f"the endpoint did not start: {line}{process.stderr.read()}")
            base = f"http://127.0.0.1:{json.loads(line)['port']}"
            _await_health(base)
            yield psutil.Process(process.pid), f"{base}/v1/feeds/readings"
        finally:
            process.terminate()
            process.wait(60)


def _await_health(base: str) -> None:
    deadline_s = time.monotonic() + 30
    while True:
        try:
            httpx.get(f"{base}/health").raise_for_status()
            return
        except httpx.HTTPError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
