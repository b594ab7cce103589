"""Laws of the plan: what is sent, in which order, to which partition."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest

from jobs.generator.network import partition_of
from jobs.generator.places import TRACK_POINTS
from jobs.generator.schedule import CONFLICT, FIRST_POISON, GOOD, RESENT, RESERIALISED, Block, Rows
from tests.support.generated import HEALTHY, KNOBS, PARTITIONS, RULES, plan


def whole(blocks: list[Block]) -> tuple[Rows, np.ndarray, np.ndarray]:
    rows = Rows.join([b.rows for b in blocks])
    return rows, np.concatenate([b.partition for b in blocks]), np.concatenate([b.original_seq for b in blocks])


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    one, _, _ = whole(list(plan()[1]))
    same, _, _ = whole(list(plan()[1]))
    other, _, _ = whole(list(plan(knobs=replace(KNOBS, seed=43))[1]))
    for field in fields(Rows):
        assert np.array_equal(getattr(one, field.name), getattr(same, field.name))
    assert not np.array_equal(one.value[:1000], other.value[:1000])


@pytest.mark.parametrize("readings", (1, 7, 6_000, 250_000))
def test_as_many_readings_as_asked_for(readings: int) -> None:
    _, schedule = plan(knobs=replace(KNOBS, readings=readings, stations=None))
    rows, _, _ = whole(list(schedule))
    own = (rows.kind == GOOD) | ((rows.kind >= FIRST_POISON) & (rows.number >= 0))
    assert np.array_equal(np.sort(rows.number[own]), np.arange(readings))


def test_sequence_numbers_have_no_gap_across_blocks() -> None:
    _, schedule = plan(knobs=replace(KNOBS, readings=250_000))
    blocks = list(schedule)
    assert len(blocks) > 1
    for one, following in pairwise(blocks):
        assert following.first_seq == one.first_seq + len(one.rows)


def test_records_are_sent_in_order_of_arrival() -> None:
    _, schedule = plan(knobs=replace(KNOBS, readings=250_000))
    rows, _, _ = whole(list(schedule))
    assert np.all(np.diff(rows.arrival_ms) >= 0)


def test_a_repeat_follows_its_original_in_the_same_partition() -> None:
    rows, partition, original = whole(list(plan(knobs=replace(KNOBS, readings=150_000))[1]))
    repeats = np.flatnonzero(np.isin(rows.kind, (RESENT, RESERIALISED, CONFLICT)))
    assert len(repeats) > 1_000
    assert np.all(original[repeats] < repeats)
    assert np.array_equal(partition[repeats], partition[original[repeats]])
    assert np.array_equal(rows.number[repeats], rows.number[original[repeats]])
    assert np.all(rows.kind[original[repeats]] == GOOD)
    assert np.all(np.delete(original, repeats) == -1)


def test_a_conflict_only_follows_a_reading_that_has_an_id() -> None:
    network, schedule = plan(knobs=replace(KNOBS, without_id=0.5, conflicts=0.05))
    rows, _, _ = whole(list(schedule))
    series = rows.series[rows.kind == CONFLICT]
    assert len(series) and all(network.stations[network.station_of[s]].with_id for s in series)


def test_the_partition_is_that_of_the_place() -> None:
    network, schedule = plan()
    rows, partition, _ = whole(list(schedule))
    expected = [partition_of(network.template_key[t], PARTITIONS) for t in rows.template]
    assert partition.tolist() == expected
    assert len(set(network.template_key)) > PARTITIONS


def test_a_mobile_station_visits_its_whole_track() -> None:
    network, schedule = plan(knobs=replace(HEALTHY, mobile=1.0, stations=3))
    rows, _, _ = whole(list(schedule))
    visited = {(s, t - network.first_template[s]) for s, t in zip(rows.series, rows.template, strict=True)}
    assert len(visited) == len(network.series) * TRACK_POINTS


def test_a_healthy_network_has_only_good_readings_in_nearly_the_order_they_were_taken() -> None:
    rows, _, _ = whole(list(plan(knobs=HEALTHY)[1]))
    assert np.all(rows.kind == GOOD)
    behind = np.maximum.accumulate(rows.event_ms) - rows.event_ms
    assert behind.max() < RULES.time.out_of_orderness_ms


def test_every_poison_kind_comes_as_often_as_the_others() -> None:
    _, schedule = plan(knobs=replace(KNOBS, readings=60_000, wrong_clocks=0))
    rows, _, _ = whole(list(schedule))
    kinds = rows.kind[(rows.kind >= FIRST_POISON) & (rows.number >= 0)]
    counts = np.bincount(kinds - FIRST_POISON, minlength=len(schedule.kinds.mixed))[: len(schedule.kinds.mixed)]
    assert counts.min() > 0
    assert counts.max() <= 2 * counts.min()


def test_an_outage_flushes_its_readings_in_order_at_its_end() -> None:
    network, schedule = plan(knobs=replace(HEALTHY, outages=0.1, readings=20_000))
    rows, _, _ = whole(list(schedule))
    flushed = 0
    for number, station in enumerate(network.stations):
        begin, end = station.outage_ms
        if begin == end:
            continue
        own = network.station_of[rows.series] == number
        silent = own & (rows.event_ms >= begin) & (rows.event_ms < end)
        assert np.all(rows.arrival_ms[silent] >= end)
        for series in np.unique(rows.series[silent]):
            assert np.all(np.diff(rows.event_ms[silent & (rows.series == series)]) > 0)
        flushed += int(silent.sum())
    assert flushed
