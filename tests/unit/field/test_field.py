"""The field's laws: what it sends is what its ledger says, and its accounts find whatever is amiss."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from jobs.bridge.feed import Payload, Unreadable, make_adapter
from jobs.bridge.rest.pages import NextUrl, Page
from jobs.broker.topic_records import TopicRecord
from jobs.field.accounts import Accounts
from jobs.field.clock import FieldClock
from jobs.field.plan import HOUR_MS, Fate, Reading, Transport, plan
from jobs.field.rest_server import RestService
from jobs.field.shapes import identity, identity_of, ledger, mqtt_topic, sensor_reading

BEGIN_MS = 1_767_225_600_000
PLANNED = plan(6_000, seed=7)
LEDGER = ledger(PLANNED, BEGIN_MS)
URL = "http://127.0.0.1:1/"
ADAPTERS = {name: make_adapter(name) for name in ("meridian", "usgs", "sensorthings")}


class SetClock(FieldClock):
    """Stands where it is put."""

    def __init__(self) -> None:
        super().__init__(BEGIN_MS, 1.0)
        self.at_ms = 0

    def now_ms(self) -> int:
        return self.at_ms


def identities(adapter: str, body: bytes, **context: str) -> Iterator[str]:
    for item in ADAPTERS[adapter].readings(Payload(body, context, BEGIN_MS)):
        if isinstance(item, Unreadable):
            yield identity_of(item.original)
        else:
            yield identity(item["sensor_id"], item["metric"], item["event_time"])


def test_the_same_seed_gives_the_same_hour_and_no_name_comes_twice() -> None:
    assert plan(6_000, seed=7) == PLANNED != plan(6_000, seed=8)
    names = Counter(name for fates in LEDGER.values() for name in fates)
    assert names.total() == sum(map(len, PLANNED.values())) == len(names)
    assert {fate for fates in LEDGER.values() for fate in fates.values()} == set(Fate)


def test_what_is_sent_by_mqtt_and_push_is_what_the_ledger_says() -> None:
    by_mqtt: set[str] = set()
    for reading in PLANNED[Transport.MQTT]:
        _, region, sensor_id, metric = mqtt_topic(reading).split("/")
        body = sensor_reading(reading, BEGIN_MS, whole=False)
        by_mqtt |= set(identities("meridian", body, region=region, sensor_id=sensor_id, metric=metric))
    assert by_mqtt == LEDGER[Transport.MQTT].keys()
    lines = [sensor_reading(reading, BEGIN_MS, whole=True) for reading in PLANNED[Transport.PUSH]]
    assert {name for line in lines for name in identities("meridian", line)} == LEDGER[Transport.PUSH].keys()


def iso(offset_ms: int) -> str:
    return datetime.fromtimestamp((BEGIN_MS + offset_ms) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def answered(service: RestService, url: str) -> bytes:
    """As the poller has it: it asks again."""
    while True:
        status, _, body = service.answer(url)
        if status == 200:
            return body
        assert status in (429, 500)


def poll(service: RestService, transport: Transport, begin_ms: int, end_ms: int) -> set[str]:
    begin, end = iso(begin_ms), iso(end_ms)
    if transport is Transport.GAUGES:
        body = answered(service, f"{URL}nwis/iv/?{urlencode({'startDT': begin, 'endDT': end})}")
        return set(identities("usgs", body))
    found: set[str] = set()
    url = f"{URL}v1.1/Observations?" + urlencode({"$filter": f"phenomenonTime ge {begin} and phenomenonTime lt {end}"})
    pages = NextUrl(kind="next-url", path="@iot.nextLink")
    while url:
        body = answered(service, url)
        found |= set(identities("sensorthings", body))
        url = pages.following(url, Page(url, None, body)) or ""
    return found


@pytest.mark.parametrize("transport", [Transport.GAUGES, Transport.DUST])
def test_polls_with_an_overlap_find_all_of_a_feed(transport: Transport) -> None:
    clock = SetClock()
    service = RestService(PLANNED[Transport.GAUGES], PLANNED[Transport.DUST], clock)
    found: set[str] = set()
    for now_ms in range(0, HOUR_MS + 1, 60_000):
        clock.at_ms = now_ms
        found |= poll(service, transport, now_ms - 660_000, now_ms + 1_000)
    assert found == LEDGER[transport].keys()
    without_overlap = set()
    for now_ms in range(0, HOUR_MS + 1, 60_000):
        clock.at_ms = now_ms
        without_overlap |= poll(service, transport, now_ms - 60_000, now_ms)
    assert without_overlap < found, "something must have been inserted late"


def record(document: Any) -> TopicRecord:
    return TopicRecord("t", 0, 0, 0, document if isinstance(document, bytes) else json.dumps(document).encode(), {})


def raw_value(transport: Transport, reading: Reading) -> bytes:
    if reading.fate is Fate.BROKEN:
        return sensor_reading(reading, BEGIN_MS, whole=transport is Transport.PUSH)
    station = reading.station
    fields = {"sensor_id": station.sensor_id, "metric": station.metric, "event_time": BEGIN_MS + reading.event_ms}
    return json.dumps(fields).encode()


def feed(values: Iterable[tuple[bytes, Fate]]) -> Accounts:
    """Topics as a job leaves them that does right."""
    accounts = Accounts()
    values = list(values)
    accounts.add_raw(record(value) for value, _ in values)
    once = dict(values)
    for value, fate in once.items():
        if fate is Fate.ALIGNED:
            fields = json.loads(value)
            accounts.add_aligned([record({**fields, "event_time_ms": fields["event_time"]})])
    letters = [value for value, fate in values if fate is not Fate.ALIGNED]
    accounts.add_invalid(record({"payload_base64": base64.b64encode(value).decode()}) for value in letters)
    repeats = len(values) - len(once) - (len(letters) - len(set(letters)))
    accounts.add_accounting(record({"class": "duplicate"}) for _ in range(repeats))
    return accounts


VALUES = [(raw_value(transport, r), r.fate) for transport, readings in PLANNED.items() for r in readings]


def test_accounts_close_with_repeats() -> None:
    accounts = feed([*VALUES, *VALUES[:20]])
    assert accounts.has_all_of(LEDGER)
    assert accounts.problems(LEDGER) == []
    assert f"{len(VALUES):,} sent = {len(VALUES):,} distinct in raw" in accounts.line(LEDGER)


def test_accounts_name_what_is_lost_invented_doubled_or_in_a_wrong_class() -> None:
    lost = feed(VALUES[1:])
    assert not lost.has_all_of(LEDGER)
    assert "1 sent, but not in the raw topic" in "\n".join(lost.problems(LEDGER))
    invented = feed([*VALUES, (b'{"sensor_id": "x", "metric": "m", "event_time": 1}', Fate.ALIGNED)])
    assert "1 in the raw topic, but never sent" in "\n".join(invented.problems(LEDGER))
    doubled = feed(VALUES)
    doubled.aligned[next(iter(doubled.aligned))] += 1
    assert "1 aligned twice" in "\n".join(doubled.problems(LEDGER))
    wrong = feed([(value, Fate.BROKEN) if i == 0 else (value, fate) for i, (value, fate) in enumerate(VALUES)])
    assert VALUES[0][1] is Fate.ALIGNED
    assert {"1 not aligned, but should be", "1 among the invalid, but should not be"} <= {
        line.partition(", such as")[0] for line in wrong.problems(LEDGER)
    }
