"""REST feeds polled from a real HTTP server into a real broker."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.support import Stack, wait_for
from tests.support.bridges import bridge, newest_cursors
from tests.support.rest_place import Place, minutes_ago
from tests.support.rest_source import Fault, RestSource, reading, rest_source


@pytest.fixture
def source() -> Iterator[RestSource]:
    with rest_source() as running:
        yield running


@pytest.fixture
def place(stack: Stack, tmp_path: Path) -> Place:
    return Place(stack, tmp_path, f"rest-{uuid.uuid4().hex[:8]}")


def wait_for_ids(place: Place, wanted: set[str]) -> None:
    wait_for(lambda: place.ids().keys() >= wanted, 40, f"{len(wanted)} readings")


def test_pages_late_inserts_and_a_restart_bring_every_reading_once(place: Place, source: RestSource) -> None:
    source.add(130, minutes_ago(30))
    with bridge("rest", "--config", place.rest(source)) as poller:
        wait_for_ids(place, {r["event_id"] for r in source.readings})
        source.add(5, minutes_ago(40), sensor="late")
        source.add(60, minutes_ago(2), sensor="new")
        wait_for_ids(place, {r["event_id"] for r in source.readings})
        polls = len(poller.named("polled"))
        poller.wait_for("polled", polls + 1)
        assert poller.end() == 0
    cursor = place.cursor()
    assert set(place.ids().values()) == {1}
    assert cursor["readings"] == len(source.readings)
    assert cursor["repeats"] > 130

    source.add(5, minutes_ago(1), sensor="after")
    with bridge("rest", "--config", place.rest(source)) as poller:
        wait_for_ids(place, {r["event_id"] for r in source.readings})
        poller.wait_for("polled", 2)
        assert poller.end() == 0
    after = place.cursor()
    assert after["readings"] == sum(place.ids().values())  # what was sent again came from the overlap, and is counted
    assert after["until_ms"] > cursor["until_ms"]
    record = place.raw()[0]
    assert record.headers["ce_source"].decode() == f"{source.url}/range"
    assert {"traceparent", "ce_id", "ingest_timestamp", "event_timestamp", "sensor_id"} <= record.headers.keys()


def test_a_faulty_source_costs_time_and_no_readings(place: Place, source: RestSource) -> None:
    source.add(120, minutes_ago(30))
    source.faults.extend(
        [
            Fault(500),
            Fault(503, {"Retry-After": "1"}),
            Fault(pause_s=3, body=b"[]"),
            Fault(body=b'[{"event_id": "cut'),
            Fault(body=b"<html>Service temporarily unavailable</html>"),
            Fault(429, {"Retry-After": "3"}),
            Fault(body=b"\x1f\x8b broken", headers={"Content-Encoding": "gzip"}),
            Fault(401, body=b"the key has expired"),
        ]
    )
    config = place.rest(source, limits={"request_timeout": "1 s", "poll_timeout": "5 s"}, malformed_attempts=5)
    with bridge("rest", "--config", config) as poller:
        wait_for_ids(place, {r["event_id"] for r in source.readings})
        assert not source.faults
        assert poller.end() == 0
    times = [at for at, _ in source.asked]
    assert times[2] - times[1] >= 0.99  # Retry-After of the 503
    assert times[6] - times[5] >= 2.99
    cursor = place.cursor()
    letters = [r for r in place.raw() if b"unreadable" in r.headers["content-type"]]
    assert Counter(r.headers["bridge_reason"] for r in letters) == {b"malformed": 3}
    assert (cursor["readings"], cursor["unreadable"]) == (120, 3)
    assert set(place.ids().values()) == {1}


def test_a_page_that_stays_malformed_is_passed_over(place: Place, source: RestSource) -> None:
    source.faults.extend([Fault(body=b"[1, 2")] * 2)
    with bridge("rest", "--config", place.rest(source, malformed_attempts=2)) as poller:
        poller.wait_for("malformed_page_passed_over")
        source.add(10, minutes_ago(5))
        wait_for_ids(place, {r["event_id"] for r in source.readings})
        assert poller.end() == 0
    assert len(poller.named("malformed_page")) == 1


def test_a_page_beyond_the_size_is_cut_and_told(place: Place, source: RestSource) -> None:
    source.faults.append(Fault(body=gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"}))
    with bridge("rest", "--config", place.rest(source, limits={"page_bytes": 100_000})) as poller:
        poller.wait_for("malformed_page")
        poller.wait_for("polled")
        assert poller.end() == 0
    (letter,) = place.raw()
    assert letter.headers["bridge_reason"] == b"too_large"
    assert len(letter.value or b"") == 100_000


def test_an_unchanged_source_is_not_read_again(place: Place, source: RestSource) -> None:
    source.add(20, minutes_ago(10))
    config = place.rest(source, url=f"{source.url}/latest", params={}, pagination={"kind": "none"})
    with bridge("rest", "--config", config) as poller:
        poller.wait_for("polled", 3)
        assert poller.end() == 0
    assert source.answers[200] == 1
    with bridge("rest", "--config", config) as poller:  # the ETag is in the cursor
        poller.wait_for("polled", 1)
        source.add(1, minutes_ago(1), sensor="new")
        wait_for(lambda: source.answers[200] == 2, 20, "the changed page")
        wait_for_ids(place, {r["event_id"] for r in source.readings})
        assert poller.end() == 0


def test_gaps_are_told_and_their_filling_too(place: Place, source: RestSource) -> None:
    first = minutes_ago(20)
    source.readings += [reading("g", first + i * 60_000) for i in range(12) if i not in (4, 5, 6)]
    config = place.rest(source, expected={"period": "1 min"})
    with bridge("rest", "--config", config) as poller:
        gap = poller.wait_for("gap")
        source.readings.append(reading("g", first + 5 * 60_000))
        wait_for(lambda: any(event["came_late"] for event in poller.named("gaps")), 20, "a late reading fills")
        assert poller.end() == 0
    assert (gap["sensor_id"], gap["metric"]) == ("g", "air_temperature")
    assert poller.named("gaps")[0]["missing_readings"] == 3
    assert poller.named("silent")
    cursor = place.cursor()
    assert (cursor["missing"], cursor["filled"]) == (3, 1)


def test_a_backfill_brings_the_past_behind_the_live_polls(place: Place, source: RestSource) -> None:
    source.add(200, minutes_ago(3 * 24 * 60), step_ms=600_000, sensor="past")
    source.add(10, minutes_ago(10), sensor="live")
    begin, end = minutes_ago(3 * 24 * 60 + 60), minutes_ago(24 * 60)
    past = {r["event_id"] for r in source.readings if begin <= r["event_time"] < end}
    config = place.rest(
        source, every="4 s", backfill={"step": "6 h", "rate": {"count": 600, "per": "1 min"}, "guard": "1 s"},
        limits={"poll_timeout": "2 s"},
    )  # fmt: skip
    times = [f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(t / 1000))}" for t in (begin, end)]
    arguments = ("backfill", "--config", config, "--feed", "f", "--from", times[0], "--to", times[1])
    with bridge("rest", "--config", config) as poller:
        poller.wait_for("polled")
        with bridge(*arguments) as first:
            wait_for(lambda: len(place.ids().keys() & past) > 20, 30, "the backfill has begun")
            first.process.kill()
            first.process.wait()
        with bridge(*arguments, "--json") as second:
            assert second.wait() == 0, second.said
            summary = json.loads(second.process.stdout.read())  # type: ignore[union-attr]
        polls = poller.named("polled")
        assert poller.end() == 0
    ids = place.ids()
    assert past - set(ids) == set()
    assert len(polls) >= 2
    (key,) = [k for k in newest_cursors(place.stack.bootstrap_servers, f"{place.name}.cursors") if "backfill" in k]
    cursor = place.cursor(key)
    assert cursor["done"] and cursor["readings"] == summary["readings"]
    asked = len(source.asked)
    with bridge(*arguments) as third:
        assert third.wait() == 0
    assert len(source.asked) == asked  # nothing is left to do


def test_a_second_poller_takes_the_feed_over(place: Place, source: RestSource) -> None:
    source.add(20, minutes_ago(5))
    config = place.rest(source)
    with bridge("rest", "--config", config) as first:
        first.wait_for("polled")
        with bridge("rest", "--config", config) as second:
            second.wait_for("polled", 2)
            assert first.wait() == 1
            assert first.named("replaced")
            assert second.end() == 0
    assert place.cursor()["readings"] == sum(place.ids().values())
