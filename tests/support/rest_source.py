"""A REST source on loopback whose data and faults a test holds in its hands; it speaks real HTTP."""

from __future__ import annotations

import gzip
import json
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.certificates import Certificates

PAGE_SIZE = 50


@dataclass
class Fault:
    """What the next answer is instead of the right one."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    pause_s: float = 0.0


@dataclass
class RestSource:
    """Readings by `/range?from=…&to=…&page=…` (epoch ms) and all of them by `/latest`, with an ETag."""

    readings: list[dict[str, Any]] = field(default_factory=list)
    faults: deque[Fault] = field(default_factory=deque)
    answers: Counter[int] = field(default_factory=Counter)
    asked: list[tuple[float, str]] = field(default_factory=list)
    """Monotonic seconds and path with query of every request."""
    url: str = ""
    always: Fault | None = None
    """Instead of every answer."""

    def add(self, count: int, first_ms: int, step_ms: int = 1_000, sensor: str = "s") -> None:
        for number in range(count):
            self.readings.append(reading(f"{sensor}{number % 5}", first_ms + number * step_ms))

    def answer(self, target: str, sent: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/latest":
            body = json.dumps(self.readings).encode()
            etag = f'"{sha256(body).hexdigest()[:16]}"'
            if sent.get("if-none-match") == etag:
                return 304, {"ETag": etag}, b""
            return 200, {"ETag": etag}, body
        begin, end, page = int(query["from"]), int(query["to"]), int(query.get("page", "1"))
        found = sorted((r for r in self.readings if begin <= r["event_time"] < end), key=lambda r: r["event_time"])
        return 200, {}, json.dumps(found[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]).encode()


def reading(sensor: str, time_ms: int) -> dict[str, Any]:
    return {
        "event_id": f"{sensor}-{time_ms}",
        "sensor_id": sensor,
        "region": "grampian",
        "metric": "air_temperature",
        "value": 20.0,
        "unit": "degC",
        "event_time": time_ms,
        "x": -2.1,
        "y": 57.15,
        "crs": "EPSG:4326",
    }


@contextmanager
def rest_source(tls: Certificates | None = None) -> Iterator[RestSource]:
    """Serve until the block ends, over TLS with a certificate."""
    source = RestSource()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            source.asked.append((time.monotonic(), self.path))
            fault = source.always or (source.faults.popleft() if source.faults else Fault())
            time.sleep(fault.pause_s)
            if fault.body is not None or fault.status != 200:
                status, headers, body = fault.status, fault.headers, fault.body or b""
            else:
                status, headers, body = source.answer(self.path, {k.lower(): v for k, v in self.headers.items()})
                if body:
                    headers, body = {**headers, "Content-Encoding": "gzip"}, gzip.compress(body)
            source.answers[status] += 1
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the poller had enough of waiting

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    source.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    try:
        yield source
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
