"""HTTP as a poller needs it: bounded in size, time and rate, tried again where that can help."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_random_exponential

from jobs.bridge.feed import Refusal
from jobs.bridge.rest.config import Limits, Retry
from jobs.bridge.rest.figures import NO_ANSWER, FeedFigures
from jobs.bridge.rest.inflate import Body, BrokenGzip, TooLarge
from jobs.bridge.rest.rate import TokenBucket
from jobs.bridge.rest.retry import RETRYABLE, http_date_ms, retry_after_s
from jobs.bridge.rest.writer import Stopped

_USER_AGENT = "meridian-bridge"
_CONNECT_S = 10.0


class Answer(NamedTuple):
    """A page as it came; `body` is empty with status 304."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    received_ms: int

    @property
    def date_ms(self) -> int | None:
        """The source's clock; None when the answer comes from a cache, whose date says nothing about now."""
        return None if "age" in self.headers else http_date_ms(self.headers.get("date"))


class SourceFailed(RuntimeError):  # noqa: N818
    """No page this time.

    Parameters
    ----------
    not_before_s
        How many seconds the source wants to be left alone.
    is_refusal
        The source understood the request and will not answer it.
    """

    def __init__(self, message: str, not_before_s: float = 0.0, is_refusal: bool = False) -> None:
        super().__init__(message)
        self.not_before_s = not_before_s
        self.is_refusal = is_refusal


class _TryAgain(SourceFailed):
    """Worth another try."""


class BrokenBody(RuntimeError):  # noqa: N818
    """A page that is too long or cannot be unpacked, with what came of it."""

    def __init__(self, reason: Refusal, message: str, so_far: bytes, received_ms: int) -> None:
        super().__init__(message)
        self.reason = reason
        self.so_far = so_far
        self.received_ms = received_ms


class Fetcher:
    """Gets pages of one feed. Belongs to one thread.

    Parameters
    ----------
    stop
        Ends every wait.
    figures
        Where requests and retries are counted.
    buckets
        Rates that all must allow a request.
    wall_ms
        Wall time in epoch milliseconds.
    """

    def __init__(
        self,
        retry: Retry,
        limits: Limits,
        stop: threading.Event,
        figures: FeedFigures,
        buckets: tuple[TokenBucket, ...] = (),
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._retry, self._limits, self._stop = retry, limits, stop
        self._figures, self._buckets, self._wall_ms = figures, buckets, wall_ms
        timeout_s = limits.request_timeout / 1000
        # A moved source is for a person to look at: following it would send the feed's secrets to whoever it names.
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
            follow_redirects=False,
            headers={"user-agent": _USER_AGENT, "accept-encoding": "gzip"},
            limits=httpx.Limits(max_connections=2, max_keepalive_connections=1),
        )

    def get(self, url: str, params: Mapping[str, str], headers: Mapping[str, str], budget_s: float) -> Answer:
        """Get one page.

        Parameters
        ----------
        params
            Added to the URL's own query.
        budget_s
            How long trying may go on.

        Raises
        ------
        SourceFailed : refused, or not within the attempts or the time; a long `Retry-After` is left to the caller.
        BrokenBody : the page is too long, or its gzip is broken.
        Stopped : the bridge ends.
        """
        attempts = Retrying(
            retry=retry_if_exception_type(_TryAgain),
            wait=self._wait_s,
            stop=stop_after_attempt(self._retry.attempts) | stop_before_delay(budget_s),
            before_sleep=self._note_retry,
            sleep=self._sleep,
            reraise=True,
        )
        return attempts(self._try, url, params, headers)

    def close(self) -> None:
        self._client.close()

    def _wait_s(self, state: RetryCallState) -> float:
        retry = self._retry
        jittered = wait_random_exponential(retry.first_wait / 1000, max=retry.longest_wait / 1000)(state)
        error = state.outcome.exception() if state.outcome else None
        return max(jittered, error.not_before_s if isinstance(error, SourceFailed) else 0.0)

    def _note_retry(self, _state: RetryCallState) -> None:
        self._figures.retries += 1

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped

    def _try(self, url: str, params: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        for bucket in self._buckets:
            while wait_s := bucket.take(time.monotonic()):
                self._sleep(wait_s)
        if self._stop.is_set():
            raise Stopped
        status, deadline_s = NO_ANSWER, time.monotonic() + self._limits.request_timeout / 1000
        try:
            whole_url = httpx.URL(url).copy_merge_params(dict(params))
            with self._client.stream("GET", whole_url, headers=dict(headers)) as response:
                status = str(response.status_code)
                return self._read(response, deadline_s)
        except httpx.InvalidURL as error:
            raise SourceFailed(f"no URL: {error}") from None
        except httpx.TransportError as error:
            raise _TryAgain(f"{type(error).__name__}: {error}".rstrip(": ")) from None
        finally:
            self._figures.requests[status] += 1

    def _read(self, response: httpx.Response, deadline_s: float) -> Answer:
        status, headers = response.status_code, response.headers
        if status in RETRYABLE:
            now_ms = http_date_ms(headers.get("date")) or self._wall_ms()
            raise _TryAgain(f"status {status}", retry_after_s(headers.get("retry-after"), now_ms))
        if 300 <= status < 400 and status != 304:
            raise SourceFailed(f"status {status}: the source has moved to {headers.get('location', 'nowhere')!r}")
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "", "gzip", "x-gzip"):
            raise SourceFailed(f"content-encoding {encoding!r} was not asked for")
        body = Body(self._limits.page_bytes, gzipped=encoding.endswith("gzip"))
        empty = True
        try:
            for piece in response.iter_raw():
                empty = False
                body.add(piece)
                if time.monotonic() > deadline_s:
                    raise _TryAgain(f"the page took longer than {self._limits.request_timeout} ms")
            whole = b"" if empty else body.end()
        except (TooLarge, BrokenGzip) as error:
            reason = Refusal.TOO_LARGE if isinstance(error, TooLarge) else Refusal.MALFORMED
            raise BrokenBody(reason, str(error), body.so_far, self._wall_ms()) from None
        return Answer(str(response.url), status, headers, whole, self._wall_ms())
