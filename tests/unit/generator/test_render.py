"""What is rendered is what was planned: read back by the align stage, in every format."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jobs.generator.network import Network, TimeFormat
from jobs.generator.render import SEQ_HEADER, Renderer
from jobs.generator.schedule import CONFLICT, GOOD, RESENT, RESERIALISED
from tests.support.generated import HEALTHY, KNOBS, NOW_MS, RULES, TOPIC, plan
from udfs.align import ENVELOPE_HEADERS, Aligner, RawRecord
from udfs.frame import Row, decode_frame


def aligned_by_seq(knobs) -> tuple[Network, dict[int, Row], dict[int, tuple[int, int, int]]]:
    """Row readings and the plan's (event_ms, series, kind), by sequence number, which is the offset here."""
    network, schedule = plan(knobs=knobs)
    renderer = Renderer(network, schedule.kinds, RULES)
    planned, records = {}, []
    for block in schedule:
        rows = block.rows
        for i, seq in enumerate(range(block.first_seq, block.first_seq + len(rows))):
            planned[seq] = (int(rows.event_ms[i]), int(rows.series[i]), int(rows.kind[i]))
        for value, key, partition, headers in renderer.render(block, np.arange(len(rows)), NOW_MS):
            found = dict(headers)
            sent = tuple(found.get(name) for name in ENVELOPE_HEADERS)
            records.append(RawRecord(value, key, partition, int(found[SEQ_HEADER]), NOW_MS, sent))
    accepted = {}
    for _, data in Aligner(RULES, TOPIC).align(records):
        readings, _ = decode_frame(data)
        accepted.update((readings.offset[i], readings.row(i)) for i in range(len(readings)))
    return network, accepted, planned


@pytest.mark.parametrize("time_format", TimeFormat)
def test_every_time_format_is_read_back_to_the_millisecond(time_format: TimeFormat, monkeypatch) -> None:
    monkeypatch.setattr("jobs.generator.network._TIME_FORMATS", (time_format,))
    network, accepted, planned = aligned_by_seq(replace(HEALTHY, readings=600, foreign=0.3))
    assert {s.time_format for s in network.stations} == {time_format}
    assert len(accepted) == 600
    assert all(accepted[seq].event_time_ms == event_ms for seq, (event_ms, _, _) in planned.items())


def test_a_healthy_network_is_accepted_whole_whatever_its_units_crs_and_encodings() -> None:
    knobs = replace(HEALTHY, readings=4_000, stations=300, avro=0.3, foreign=0.2, mobile=0.2, without_id=0.4)
    network, accepted, planned = aligned_by_seq(knobs)
    assert accepted.keys() == planned.keys()
    assert len({s.unit for s in network.series}) > 5
    assert len({s.crs for s in network.template_site}) > 5
    for seq, (_, series, _) in planned.items():
        assert accepted[seq].station.metric == network.series[series].metric


def test_a_repeat_is_the_same_reading_and_a_conflict_another_with_the_same_id() -> None:
    _, accepted, planned = aligned_by_seq(replace(KNOBS, duplicates=0.2, conflicts=0.05, avro=0.2, without_id=0.3))
    originals, kinds = {}, set()
    for seq, (_, _, kind) in planned.items():
        if seq not in accepted:
            continue
        reading = accepted[seq]
        if kind == GOOD:
            assert originals.setdefault(reading.id_digest, reading) is reading, "two readings with one id"
            continue
        first = originals[reading.id_digest]
        kinds.add(kind)
        assert (first.content_digest == reading.content_digest) is (kind != CONFLICT)
        if kind == RESENT:
            assert first.raw == reading.raw
        if kind == RESERIALISED and not reading.raw.startswith(b"\xc3"):
            assert first.raw != reading.raw
    assert kinds == {RESENT, RESERIALISED, CONFLICT}


def test_any_split_into_chunks_renders_the_same_bytes() -> None:
    network, schedule = plan()
    renderer = Renderer(network, schedule.kinds, RULES)
    for block in schedule:
        everything = list(renderer.render(block, np.arange(len(block.rows)), NOW_MS))
        half = len(block.rows) // 2
        parts = [np.arange(half), np.arange(half, len(block.rows))]
        assert [m for keep in parts for m in renderer.render(block, keep, NOW_MS)] == everything
