"""The endpoint's HTTP side: who may push, how much, and what the answer says.

| status | meaning |
|---|---|
| 200 | Kafka or the cold store has every record; `unreadable` became dead letters, `shed` counts those let go |
| 400 | the body cannot be unpacked, or nothing in it is a reading: nothing was sent |
| 401 | no valid token |
| 404 | no such feed |
| 408 | the body did not come in time |
| 413 | the body or the batch is too large: nothing was sent |
| 415 | a content type or encoding that this feed does not take |
| 429 | the client sends too much, or too much waits for Kafka; see `Retry-After` |
| 503 | Kafka does not have all of it; see `Retry-After`. Send the whole batch again: the job drops repeats |
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from jobs.bridge.rest.config import PushBridge, PushFeed
from jobs.bridge.rest.inflate import Body, BrokenGzip, TooLarge
from jobs.bridge.rest.push.batch import Batch, Outcome
from jobs.bridge.rest.push.sender import PushSender
from jobs.bridge.rest.rate import TokenBucket

_SHOWN_UNREADABLE = 100
_BUSY_S, _AWAY_S = 1, 5  # Retry-After
_NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})

Authenticate = Callable[[str | None], str | None]
"""The client's name by its `Authorization` header."""


class Refused(Exception):  # noqa: N818
    """An answer other than 200; nothing was sent."""

    def __init__(self, status: int, error: str, **headers: str) -> None:
        super().__init__(error)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class _Waiting:
    """Bounds the bytes of all bodies that wait for Kafka."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.total_bytes = 0

    @contextmanager
    def reservation(self) -> Iterator[Callable[[int], None]]:
        """Gives a function that raises this reservation to so many bytes, or refuses."""
        reserved = 0

        def reserve(needed: int) -> None:
            nonlocal reserved
            more = max(0, needed - reserved)
            if self.total_bytes + more > self._limit:
                raise Refused(429, "too much waits for Kafka", retry_after=str(_BUSY_S))
            self.total_bytes += more
            reserved += more

        try:
            yield reserve
        finally:
            self.total_bytes -= reserved


class PushApp:
    """The routes and what they count."""

    def __init__(self, config: PushBridge, sender: PushSender, authenticate: Authenticate) -> None:
        self._limits, self._sender, self._authenticate = config.limits, sender, authenticate
        self._feeds = {feed.name: feed for feed in config.feeds}
        self._buckets: dict[str, TokenBucket] = {}
        self._waiting = _Waiting(config.limits.waiting_bytes)
        self.answers: dict[int, int] = {}
        """By status."""
        self.readings = self.unreadable = self.shed = 0

    def asgi(self, **options: Any) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/feeds/{feed}", self.push, methods=["POST"]),
                Route("/health", self.health, methods=["GET"]),
            ],
            **options,
        )

    async def health(self, _request: Request) -> Response:
        """200 while batches are taken, 503 while Kafka is away; with the counters since the start."""
        facts = {
            "status": "kafka_away" if self._sender.is_away else "ok",
            "answers": {str(status): count for status, count in sorted(self.answers.items())},
            "readings": self.readings,
            "unreadable": self.unreadable,
            "shed": self.shed,
            "waiting_bytes": self._waiting.total_bytes,
            **self._sender.breakers,
        }
        return _answer(503 if self._sender.is_away else 200, facts)

    async def push(self, request: Request) -> Response:
        try:
            response = await self._push(request)
        except Refused as refused:
            # The rest of a body that was not read would be taken for the next request.
            headers = {"connection": "close", **refused.headers}
            response = _answer(refused.status, {"error": str(refused)}, headers)
        except ClientDisconnect:
            response = _answer(400, {"error": "the client went away"})
        self.answers[response.status_code] = self.answers.get(response.status_code, 0) + 1
        return response

    async def _push(self, request: Request) -> Response:
        client = self._authenticate(request.headers.get("authorization"))
        if client is None:
            raise Refused(401, "a bearer token is needed", www_authenticate="Bearer")
        feed = self._feeds.get(request.path_params["feed"])
        if feed is None:
            raise Refused(404, "there is no such feed")
        is_ndjson, gzipped = _encoding(request, feed)
        if self._sender.is_away:
            raise Refused(503, "Kafka is away", retry_after=str(_AWAY_S))
        with self._waiting.reservation() as reserve:
            body = await self._receive(request, gzipped, reserve)
            payloads = [line for line in body.split(b"\n") if line.strip()] if is_ndjson else [body]
            bucket = self._bucket(client)
            if bucket is not None and (wait_s := bucket.take(time.monotonic(), len(payloads))):
                raise Refused(429, "more readings than allowed", retry_after=str(math.ceil(wait_s)))
            context = {"feed": feed.name, "client": client}
            if traceparent := request.headers.get("traceparent"):
                context["traceparent"] = traceparent
            outcome = await self._send(feed.name, payloads, context)
        if bucket is not None and outcome.sent > len(payloads):
            bucket.owe(time.monotonic(), outcome.sent - len(payloads))
        return self._answer(outcome)

    def _bucket(self, client: str) -> TokenBucket | None:
        rate = self._limits.rate
        if rate is None:
            return None
        return self._buckets.setdefault(client, TokenBucket(rate.count, rate.per / 1000))

    async def _receive(self, request: Request, gzipped: bool, reserve: Callable[[int], None]) -> bytes:
        """The unpacked body, within all bounds."""
        limit = self._limits.body_bytes
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise Refused(413, f"the body is longer than {limit} bytes")
        if declared.isdigit():
            reserve(int(declared))
        body = Body(limit, gzipped)
        try:
            async with asyncio.timeout(self._limits.read_timeout / 1000):
                async for piece in request.stream():
                    body.add(piece)
                    reserve(len(body))
            return body.end()
        except TimeoutError:
            raise Refused(408, "the body did not come in time") from None
        except TooLarge as error:
            raise Refused(413, str(error)) from None
        except BrokenGzip as error:
            raise Refused(400, str(error)) from None

    async def _send(self, feed: str, payloads: list[bytes], context: dict[str, str]) -> Outcome:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()

        def settle(outcome: Outcome) -> None:
            if not future.done():  # else the client has gone away
                future.set_result(outcome)

        def done(outcome: Outcome) -> None:
            loop.call_soon_threadsafe(settle, outcome)

        self._sender.submit(Batch(feed, payloads, context, time.time_ns() // 1_000_000, done))
        return await future

    def _answer(self, outcome: Outcome) -> Response:
        listed = [
            {"index": index, "reason": part.reason, "message": part.message}
            for index, part in outcome.unreadable[:_SHOWN_UNREADABLE]
        ]
        if outcome.too_many:
            raise Refused(413, f"more than {self._limits.batch_readings} readings")
        if not outcome.sent and not outcome.shed:
            return _answer(400, {"error": "there is no reading in it", "unreadable": listed})
        if outcome.failed:
            facts = {"error": f"Kafka: {outcome.error}", "acknowledged": max(0, outcome.sent - outcome.failed)}
            return _answer(503, facts, {"retry-after": str(_AWAY_S)})
        self.readings += outcome.readings
        self.unreadable += len(outcome.unreadable)
        self.shed += outcome.shed
        facts = {"readings": outcome.readings, "unreadable_count": len(outcome.unreadable), "unreadable": listed}
        if outcome.shed:
            facts["shed"] = outcome.shed
        return _answer(200, facts)


def _encoding(request: Request, feed: PushFeed) -> tuple[bool, bool]:
    """Whether the body is NDJSON, and whether it is gzipped."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in feed.content_types:
        raise Refused(415, f"content-type {media_type!r}: there are {', '.join(feed.content_types)}")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Refused(415, f"content-encoding {encoding!r}: there are identity and gzip", accept_encoding="gzip")
    return media_type in _NDJSON, encoding == "gzip"


def _answer(status: int, facts: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(facts), status, headers, "application/json")
