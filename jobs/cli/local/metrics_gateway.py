"""One Prometheus page for the whole local stack, on the loopback interface.

Flink's own Prometheus endpoint listens on all interfaces and cannot be told otherwise. Its push variant sends the same
metrics to an address of our choice: here, in the push gateway's protocol. A process that has stopped pushing (killed or
shut down) is forgotten, so that its last values do not look alive.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

FORGET_AFTER_S: Final = 30.0
_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def merge(pages: Iterable[str]) -> str:
    """Several pages in the Prometheus text format as one: samples of a family together, its HELP and TYPE once."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for page in pages:
        family = ""
        for line in page.splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                family = line.split(" ", 3)[2]
                if line not in (head := heads.setdefault(family, [])):
                    head.append(line)
            elif line and not line.startswith("#"):
                samples.setdefault(family, []).append(line)
    lines = [line for family, group in samples.items() for line in (*heads.get(family, ()), *group)]
    return "".join(f"{line}\n" for line in lines)


class Store:
    """Last page of every pushing process."""

    def __init__(self, forget_after_s: float = FORGET_AFTER_S) -> None:
        self._pages: dict[str, tuple[float, str]] = {}
        self._forget_after_s = forget_after_s
        self._lock = threading.Lock()

    def put(self, group: str, page: str, now_s: float) -> None:
        with self._lock:
            self._pages[group] = (now_s, page)

    def delete(self, group: str) -> None:
        with self._lock:
            self._pages.pop(group, None)

    def page(self, now_s: float) -> str:
        with self._lock:
            self._pages = {g: p for g, p in self._pages.items() if now_s - p[0] < self._forget_after_s}
            return merge(page for _, page in self._pages.values())


class _Handler(BaseHTTPRequestHandler):
    store: Store

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) if "Content-Length" in self.headers else b""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = self._read_chunked()
        self.store.put(self.path, body.decode("utf-8", errors="replace"), time.monotonic())
        self._answer(202, b"")

    do_POST = do_PUT  # noqa: N815

    def do_DELETE(self) -> None:
        self.store.delete(self.path)
        self._answer(202, b"")

    def do_GET(self) -> None:
        if self.path.split("?")[0] != "/metrics":
            self._answer(404, b"see /metrics\n")
            return
        self._answer(200, self.store.page(time.monotonic()).encode())

    def _read_chunked(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", _CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A line per push would only fill the log."""


def serve(port: int) -> None:
    handler = type("Handler", (_Handler,), {"store": Store()})
    ThreadingHTTPServer(("127.0.0.1", port), handler).serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    try:
        serve(parser.parse_args().port)
    except KeyboardInterrupt:
        sys.exit(0)
