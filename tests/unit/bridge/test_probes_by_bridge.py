"""A bridge lets probes through where a feed is for them: as control records, unshed, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

import orjson
import pytest
from pydantic import ValidationError

from jobs.bridge.envelope import UNREADABLE_CONTENT_TYPE, Enveloper, Message
from jobs.bridge.feed import Payload, Refusal, Unreadable, make_adapter
from jobs.bridge.rest.config import Feed
from jobs.bridge.shedding.account import Account
from jobs.bridge.shedding.config import Shedding
from jobs.bridge.shedding.gate import Gate
from jobs.bridge.spatial_key import KeyRule
from jobs.observe.ways import key_of
from udfs.probe import CONTROL_CONTENT_TYPE, Probe
from udfs.rules import StreamRule

PROBE = Probe("p-1", 1_700_000_000_000, "probe-7")


def records(body: bytes, adapter: str = "probe") -> list[Message]:
    wrap = Enveloper("/v1/feeds/probes", adapter, KeyRule().key()).message
    return [wrap(item, 1_700_000_000_050) for item in make_adapter(adapter).readings(Payload(body, {}, 0))]


def test_a_probe_goes_out_as_the_control_record_that_it_is_with_its_own_key() -> None:
    [message] = records(PROBE.value())
    assert (message.key, message.value) == (b"probe-7", PROBE.value())
    assert message.headers["content-type"] == CONTROL_CONTENT_TYPE.encode()
    assert message.headers["event_timestamp"] == b"0", "it moves no watermark"
    assert message.headers["bridge_timestamp"] == b"1700000000050"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"control": "end-marker", "event_time": 1700000000000}', Refusal.MISSING_FIELD),
        (b'{"sensor_id": "s", "value": 1}', Refusal.MISSING_FIELD),
        (b"no json", Refusal.MALFORMED),
    ],
)
def test_whatever_else_comes_by_the_feed_of_probes_is_refused(body: bytes, reason: Refusal) -> None:
    [message] = records(body)
    assert message.headers["content-type"].startswith(UNREADABLE_CONTENT_TYPE.encode())
    assert message.headers["bridge_reason"] == reason.encode()


def test_a_probe_that_comes_by_a_feed_of_readings_is_a_reading_that_the_job_refuses() -> None:
    [message] = records(PROBE.value(), "meridian")
    assert message.headers["content-type"] == b"application/json"


def test_probes_are_neither_shed_nor_numbered() -> None:
    shedding = Shedding.model_validate({"streams": [{"stream": "t", "limit": {"count": 1, "per": "1 d"}}]})
    backlog: Callable[[], int] = lambda: 1 << 30  # noqa: E731
    gate = Gate(Account("b", 0), shedding, (StreamRule("t", ("t",), "degC"),), backlog)
    assert [gate.judge(PROBE) for _ in range(3)] == [(False, [])] * 3
    assert gate.account.unreported == 0


def test_probes_are_not_polled() -> None:
    with pytest.raises(ValidationError, match="not polled"):
        Feed.model_validate({"name": "f", "adapter": "probe", "url": "http://127.0.0.1/", "every": "1 s"})


@pytest.mark.parametrize("partitions", [1, 4, 12])
def test_a_key_leads_into_its_partition(partitions: int) -> None:
    assert [crc32(key_of(p, partitions).encode()) % partitions for p in range(partitions)] == [*range(partitions)]


def test_an_array_of_probes_is_none() -> None:
    [item] = make_adapter("probe").readings(Payload(orjson.dumps([orjson.loads(PROBE.value())]), {}, 0))
    assert isinstance(item, Unreadable)
