"""A reading's way is found from its name, and each class of readings ends where its record says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from jobs.audit.journey import OUTCOMES, Journey, Stage, add_outcomes, add_windows, expect_windows, stages, wanted_by
from jobs.broker.topic_records import TopicRecord
from tests.support.audited import Records
from tests.support.generated import RULES, TOPIC, GeneratedRun

TRACE = "0af7651916cd43dd8448eb211c80319c"


def topic_records(topic: str, values: Iterable[bytes]) -> list[TopicRecord]:
    return [TopicRecord(topic, 0, offset, 1_000 + offset, value, {}) for offset, value in enumerate(values)]


def raw_records(run: GeneratedRun) -> list[TopicRecord]:
    return [
        TopicRecord(TOPIC, m.partition, m.offset, m.append_time_ms, m.value or b"", dict(m.headers))
        for m in run.messages
    ]


def journeys_of(run: GeneratedRun, records: Records, row: dict[str, Any]) -> list[Journey]:
    is_wanted = wanted_by(f"{TOPIC}/{row['partition']}/{row['offset']}")
    journeys = [Journey(raw) for raw in raw_records(run) if is_wanted(raw)]
    for outcome in OUTCOMES:
        add_outcomes(journeys, outcome, topic_records(outcome, (value for _, value in records[outcome])))
    for journey in journeys:
        expect_windows(journey, RULES)
    add_windows(journeys, topic_records("windows", (value for _, value in records["windows"])))
    return journeys


def passed(run: GeneratedRun, records: Records, outcome: str, **facts: Any) -> list[Stage]:
    """The stages of the first reading that a topic has such a record of."""
    rows = (orjson.loads(value) for _, value in records[outcome])
    row = next(r for r in rows if all(r.get(name) == value for name, value in facts.items()))
    [journey] = journeys_of(run, records, row)
    return stages(journey)


def test_a_windowed_reading_passes_every_stage_in_order(run: GeneratedRun, records: Records) -> None:
    late = {(r["partition"], r["offset"]) for r in (orjson.loads(v) for _, v in records["late_events"])}
    rows = (orjson.loads(value) for _, value in records["aligned"])
    row = next(r for r in rows if r["stream"] == "rivers" and (r["partition"], r["offset"]) not in late)
    [journey] = journeys_of(run, records, row)
    found = stages(journey)
    assert [s.name for s in found if s.name != "device"] == ["kafka appended", "aligned", "window"]
    assert found[-1].where.startswith("windows/") and "by-region" in found[-1].what


def test_a_late_reading_is_aligned_and_has_no_window_of_the_definition_that_it_missed(
    run: GeneratedRun, records: Records
) -> None:
    found = passed(run, records, "late_events", stream="air", definition="5min")
    assert [s.name for s in found][-2:] == ["aligned", "late"]
    assert "ms behind the watermark" in found[-1].what


def test_a_duplicate_names_what_it_repeats(run: GeneratedRun, records: Records) -> None:
    found = passed(run, records, "accounting", **{"class": "duplicate"})
    assert found[-1].name == "duplicate" and found[-1].what.startswith(f"repeats {TOPIC}/")


def test_an_invalid_reading_ends_with_its_reason(run: GeneratedRun, records: Records) -> None:
    found = passed(run, records, "invalid_events", reason="unknown_unit")
    assert found[-1].name == "invalid" and found[-1].what.startswith("unknown_unit: ")


def test_a_window_that_has_not_fired_is_said_to_be_open(run: GeneratedRun, records: Records) -> None:
    row = orjson.loads(records["aligned"][0][1])
    [journey] = journeys_of(run, {**records, "windows": [], "late_events": []}, row)
    open_windows = [s for s in stages(journey) if s.name == "window"]
    assert open_windows and all(s.time_ms is None and "not fired yet" in s.what for s in open_windows)


def bridged(**headers: bytes) -> TopicRecord:
    return TopicRecord(TOPIC, 1, 2, 3_000, b'{"event_id": "e7", "sensor_id": "s"}', headers)


@pytest.mark.parametrize("name", [TRACE, f"00-{TRACE}-b7ad6b7169203331-01"])
def test_a_trace_is_found_whatever_span_wrote_the_record(name: str) -> None:
    is_wanted = wanted_by(name)
    assert is_wanted(bridged(traceparent=f"00-{TRACE}-ffffffffffffffff-01".encode()))
    assert not is_wanted(bridged(traceparent=b"00-" + b"1" * 32 + b"-ffffffffffffffff-01"))
    assert not is_wanted(bridged())


def test_an_event_id_is_found_in_header_and_value_and_as_a_whole_only() -> None:
    assert wanted_by("e7")(bridged())
    assert wanted_by("e7")(bridged(ce_id=b"s/e7"))
    assert wanted_by("d-12")(bridged(ce_id=b"d-12"))
    assert not wanted_by("e")(bridged(ce_id=b"s/e7"))
    assert not wanted_by("s")(bridged())


def test_the_stages_before_kafka_are_those_of_the_headers() -> None:
    record = bridged(
        device_timestamp=b"1000", bridge_timestamp=b"2000", bridge_adapter=b"tasmota", ce_source=b"mqtt://h:1883",
        sensor_id=b"s", traceparent=f"00-{TRACE}-ffffffffffffffff-01".encode(),
    )  # fmt: skip
    assert stages(Journey(record)) == [
        Stage("device", 1_000, "s", "event time"),
        Stage("bridge received", 2_000, "mqtt://h:1883", "adapter tasmota"),
        Stage("kafka appended", 3_000, f"{TOPIC}/1/2", f"trace {TRACE}"),
    ]
