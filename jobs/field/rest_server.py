"""An agency's REST service as the field has it: two feeds by range, pages, late inserts, and now and then 429 and 500.

It lives in the field's time, and says so by its `Date`.
"""

from __future__ import annotations

import gzip
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from jobs.cli.local.ports import HOST
from jobs.field.clock import FieldClock
from jobs.field.plan import Reading, Transport
from jobs.field.shapes import sensorthings_page, usgs_page

_PAGE: Final = 100
_FAILS_EVERY, _BUSY_EVERY = 11, 17  # requests

Answer = tuple[int, dict[str, str], bytes]


class RestService:
    """What the service answers, apart from HTTP."""

    def __init__(self, gauges: Sequence[Reading], dust: Sequence[Reading], clock: FieldClock) -> None:
        self._gauges, self._dust, self._clock = gauges, dust, clock
        self._numbers = count(1)
        self.answers: Counter[int] = Counter()

    def date(self) -> str:
        return formatdate((self._clock.begin_ms + self._clock.now_ms()) / 1000, usegmt=True)

    def answer(self, url: str) -> Answer:
        """Answer a GET of an absolute URL."""
        number = next(self._numbers)
        if number % _FAILS_EVERY == 0:
            return 500, {}, b"internal error"
        if number % _BUSY_EVERY == 0:
            return 429, {"Retry-After": "1"}, b"slow down"
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/nwis/iv/":
            found = self._published(self._gauges, query["startDT"], query["endDT"])
            return 200, {}, usgs_page(found, self._clock.begin_ms)
        if parts.path == "/v1.1/Observations":
            _, _, begin, _, _, _, end = query["$filter"].split()
            skip = int(query.get("$skip", "0"))
            found = self._published(self._dust, begin, end)
            more = urlencode({"$filter": query["$filter"], "$skip": skip + _PAGE})
            next_link = url.partition("?")[0] + f"?{more}" if len(found) > skip + _PAGE else None
            return 200, {}, sensorthings_page(found[skip : skip + _PAGE], self._clock.begin_ms, next_link)
        return 404, {}, b"no such feed"

    def _published(self, readings: Sequence[Reading], begin: str, end: str) -> list[Reading]:
        """What is published by now of a range of event times, in their order."""
        begin_ms, end_ms = (
            int(datetime.fromisoformat(t).timestamp() * 1000) - self._clock.begin_ms for t in (begin, end)
        )
        now_ms = self._clock.now_ms()
        found = [r for r in readings if r.due_ms <= now_ms and begin_ms <= r.event_ms < end_ms]
        return sorted(found, key=lambda reading: (reading.event_ms, reading.station.number))


@contextmanager
def rest_server(planned: dict[Transport, list[Reading]], clock: FieldClock) -> Iterator[tuple[RestService, str]]:
    """Serve on a free port of loopback until the block ends; the service and its URL."""
    service = RestService(planned[Transport.GAUGES], planned[Transport.DUST], clock)
    server = ThreadingHTTPServer((HOST, 0), _handler(service))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="rest service")
    thread.start()
    try:
        yield service, f"http://{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(service: RestService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = service.answer(f"http://{self.headers['Host']}{self.path}")
            service.answers[status] += 1
            packed = gzip.compress(body, 1)
            self.send_response(status)
            for name, value in {**headers, "Content-Encoding": "gzip", "Content-Length": str(len(packed))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(packed)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return service.date()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
