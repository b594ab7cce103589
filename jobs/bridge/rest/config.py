"""Configuration of the REST poller and of the push endpoint, one YAML file each."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from jobs.bridge.breakers.config import Breakers
from jobs.bridge.envelope import MAX_VALUE_BYTES
from jobs.bridge.feed import UnknownAdapter, make_adapter
from jobs.bridge.loopback import is_loopback
from jobs.bridge.rest.pages import URL_TOKENS, NoPages, Pagination
from jobs.bridge.rest.span import SpanRule
from jobs.bridge.shedding.config import Shedding
from jobs.bridge.spatial_key import KeyRule
from jobs.pipeline.config import Name, TopicName
from jobs.pipeline.durations import DurationMs
from jobs.pipeline.section import Section

Positive = Annotated[DurationMs, Field(gt=0)]
MEGABYTE = 1024 * 1024
RANGE_FIELDS = frozenset({"from", "to"})
_BODY_BYTES = 16 * MEGABYTE
_FOR_EVER_MS = 1_000 * 365 * 86_400_000
_PAGE_FIELDS = {"page": {"page"}, "offset": {"offset"}, "cursor": {"cursor"}}


class Rate(Section):
    """So many in a time, also as a burst."""

    count: int = Field(ge=1)
    per: Positive


_SLOWLY = Rate.model_validate({"count": 6, "per": "1 min"})


class Adapted(Section):
    """A feed's adapter with its options."""

    adapter: str
    options: dict[str, Any] = Field(default={}, description="of the adapter")

    @model_validator(mode="after")
    def _adapter_is_usable(self) -> Adapted:
        try:
            make_adapter(self.adapter, self.options)
        except UnknownAdapter as error:
            raise ValueError(str(error)) from None
        return self


class Retry(Section):
    """Tries of one request, with full jitter between them."""

    attempts: int = Field(default=4, ge=1, le=20)
    first_wait: Positive = 500
    longest_wait: Positive = 30_000


class Limits(Section):
    """Bounds on what one poll may take, whatever the source sends."""

    page_bytes: int = Field(default=16 * MEGABYTE, ge=1_024, le=256 * MEGABYTE, description="of one page, unpacked")
    pages: int = Field(default=1_000, ge=1, description="of one poll; what is left comes with the next")
    request_timeout: Positive = Field(default=30_000, description="for one page, from asking to its last byte")
    poll_timeout: Positive = Field(
        default=300_000, description="for all pages of a poll; what is left comes with the next"
    )


class Expected(Section):
    """What ought to come: without it no gaps are looked for."""

    period: Positive
    tolerance: float = Field(default=0.5, ge=0, le=100, description="part of a period that a reading may be late by")
    max_series: int = Field(
        default=10_000, ge=1, le=1_000_000, description="series (sensor and metric) that are followed"
    )


class Backfill(Section):
    """How a backfill goes beside the live polls of its feed."""

    step: Positive = Field(default=86_400_000, description="range of one request")
    rate: Rate = Field(default=_SLOWLY, description="requests; below what the source bears")
    guard: DurationMs = Field(
        default=5_000, description="how long before a live poll is due the backfill pauses for it"
    )


class Feed(Adapted):
    """One source that is polled."""

    name: Name
    url: str = Field(description="may hold {from}, {to} and the variable of the pagination")
    params: dict[str, str] = Field(default={}, description="query; may hold the same; what is empty is left out")
    headers: dict[str, str] = Field(default={}, description="sent with each request; secrets as ${NAME}")
    secret_headers: dict[str, Path] = Field(default={}, description="headers whose values are in files")
    source: str | None = Field(default=None, description="CloudEvents source; otherwise the URL without its query")
    every: Positive
    jitter: DurationMs = 0
    delay: DurationMs = Field(default=0, description="readings younger than this are not asked for yet")
    overlap: DurationMs = Field(default=0, description="how much of what was asked before is asked again")
    longest_range: Positive = Field(default=7 * 86_400_000, description="longest new range of one poll")
    first_range: DurationMs = Field(default=86_400_000, description="how far back the very first poll begins")
    time_format: str = Field(
        "iso", description="of {from} and {to}: iso, epoch-s, epoch-ms, or a format of strftime in UTC"
    )
    pagination: Pagination = NoPages()
    empty_statuses: list[Annotated[int, Field(ge=400, le=499)]] = Field(
        default=[], description="that mean: no readings"
    )
    skip_repeats: int = Field(
        200_000, ge=0, description="readings remembered, so that an overlap sends them once; 0: send all"
    )
    malformed_attempts: int = Field(default=3, ge=1, description="polls after which a malformed page is passed over")
    rate: Rate | None = Field(default=None, description="requests, of this feed and its backfill's live part")
    retry: Retry = Retry()
    limits: Limits = Limits()
    expected: Expected | None = None
    backfill: Backfill = Backfill()

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an http:// or https:// URL")
        if parts.username or parts.password:
            raise ValueError("no credentials in a URL: write them under secret_headers")
        return value

    @field_validator("time_format")
    @classmethod
    def _format(cls, value: str) -> str:
        if value not in ("iso", "epoch-s", "epoch-ms") and "%" not in value:
            raise ValueError("iso, epoch-s, epoch-ms, or a format of strftime such as %Y-%m-%dT%H:%MZ")
        return value

    @model_validator(mode="after")
    def _variables_known(self) -> Feed:
        needed = _PAGE_FIELDS.get(self.pagination.kind, set())
        used = self.fields
        unknown = used - RANGE_FIELDS - needed
        if unknown:
            raise ValueError(f"url and params: {{{unknown.pop()}}} is not known here; there are "
                             f"{', '.join(f'{{{n}}}' for n in sorted(RANGE_FIELDS | needed))}")  # fmt: skip
        if needed - used:
            raise ValueError(f"pagination {self.pagination.kind}: url or params must hold {{{needed.pop()}}}")
        if self.is_ranged and not self.overlap < self.longest_range:
            raise ValueError("overlap: less than longest_range")
        if self.headers.keys() & self.secret_headers.keys():
            raise ValueError("secret_headers: a header is in headers, too")
        return self

    @property
    def fields(self) -> set[str]:
        """The variables that the URL and its query hold."""
        return {name for text in (self.url, *self.params.values()) for name in _names(text)}

    @property
    def is_ranged(self) -> bool:
        """Whether the source can be asked for a range; otherwise it gives its newest and nothing can be caught up."""
        return bool(self.fields & RANGE_FIELDS)

    @property
    def is_conditional(self) -> bool:
        """Whether one URL names all of the feed, so that an unchanged answer means that there is nothing new."""
        return not self.fields and not isinstance(self.pagination, URL_TOKENS)

    @property
    def span_rule(self) -> SpanRule:
        longest_ms = self.longest_range if self.is_ranged else _FOR_EVER_MS
        return SpanRule(self.delay, self.overlap, longest_ms, self.first_range)


class Cursors(Section):
    """The compacted topic that says how far each feed is."""

    topic: TopicName = "bridge.cursors"
    replication: int = Field(default=1, ge=1, le=10)


class RestBridge(Section):
    """All that one `meridian bridge rest` polls. Two of one name would take each other's place."""

    name: Name
    deployment: Path = Field(description="the job's deployment file, relative to this one: Kafka and the raw topic")
    key: KeyRule = KeyRule()
    cursors: Cursors = Cursors()
    transaction_timeout: Annotated[DurationMs, Field(ge=10_000, le=900_000)] = 60_000
    feeds: Annotated[list[Feed], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_differ(self) -> RestBridge:
        names = [feed.name for feed in self.feeds]
        if len(set(names)) < len(names):
            raise ValueError("feeds: each name once")
        return self


class Listen(Section):
    """Where the push endpoint listens. Beyond loopback it wants TLS, its own or a proxy's."""

    host: str = "127.0.0.1"
    port: int = Field(default=8480, ge=0, le=65_535, description="0: any free one")
    certificate: Path | None = None
    key: Path | None = None
    behind_tls_proxy: bool = False

    @model_validator(mode="after")
    def _is_private(self) -> Listen:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        if not is_loopback(self.host) and self.certificate is None and not self.behind_tls_proxy:
            raise ValueError("host: bearer tokens would be readable on the way; give certificate and key, "
                             "or say behind_tls_proxy: true")  # fmt: skip
        return self


class Auth(Section):
    """Who may push: a file with a line `name token` for each client, or `none` on loopback."""

    kind: Literal["tokens", "none"] = "tokens"
    file: Path | None = Field(default=None, description="read again when it changes")

    @model_validator(mode="after")
    def _file_given(self) -> Auth:
        if (self.kind == "tokens") != (self.file is not None):
            raise ValueError("kind: tokens needs a file, kind: none has none")
        return self


class PushLimits(Section):
    """Bounds on what clients may send."""

    body_bytes: int = Field(default=_BODY_BYTES, ge=1_024, le=4 * _BODY_BYTES, description="of a request, unpacked")
    batch_readings: int = Field(default=20_000, ge=1, le=1_000_000)
    reading_bytes: int = Field(
        default=262_144, ge=1_024, le=MAX_VALUE_BYTES, description="larger ones are dead letters"
    )
    waiting_bytes: int = Field(
        default=4 * _BODY_BYTES, ge=1_024, description="of all bodies that wait for Kafka; memory is several times that"
    )
    connections: int = Field(default=256, ge=1, le=10_000)
    read_timeout: Positive = Field(default=30_000, description="for receiving a body")
    ack_timeout: Positive = Field(default=30_000, description="for Kafka's acknowledgement")
    rate: Rate | None = Field(default=None, description="readings of one client")

    @model_validator(mode="after")
    def _a_body_fits(self) -> PushLimits:
        if self.waiting_bytes < self.body_bytes:
            raise ValueError("waiting_bytes: at least body_bytes")
        return self


class PushFeed(Adapted):
    """One path, `/v1/feeds/NAME`."""

    name: Name
    source: str | None = Field(default=None, description="CloudEvents source; otherwise the path")
    content_types: list[str] = Field(
        default=["application/json", "application/x-ndjson"],
        description="that are taken; of NDJSON each line is a payload of its own",
    )


class PushBridge(Section):
    """All that one `meridian bridge push` listens to."""

    name: Name
    deployment: Path = Field(description="the job's deployment file, relative to this one: Kafka and the raw topic")
    key: KeyRule = KeyRule()
    listen: Listen = Listen()
    auth: Auth
    limits: PushLimits = PushLimits()
    processes: int = Field(
        default=1, ge=1, le=64, description="that share the port, each with its own Kafka client and limits"
    )
    breakers: Breakers | None = Field(default=None, description="each process has its own")
    shedding: Shedding | None = Field(default=None, description="alarms have no lane here: nothing waits in line")
    feeds: Annotated[list[PushFeed], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> PushBridge:
        names = [feed.name for feed in self.feeds]
        if len(set(names)) < len(names):
            raise ValueError("feeds: each name once")
        if self.auth.kind == "none" and not is_loopback(self.listen.host):
            raise ValueError("auth: kind none is for loopback only")
        if self.shedding is not None and any(rule.topic is not None for rule in self.shedding.alarms):
            raise ValueError("shedding.alarms: a push has no topic")
        limits = self.shedding is not None and any(rule.limit is not None for rule in self.shedding.streams)
        if self.processes > 1 and (limits or self.limits.rate is not None):
            raise ValueError("processes: 1 with limits.rate or a shedding limit, since each process would count alone")
        return self


def _names(text: str) -> set[str]:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}; a brace is written twice") from None
