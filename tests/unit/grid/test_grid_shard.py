"""Rows of a grid: the same whatever the order and the frames, published once settled, revised by stragglers."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.grids import END, Arrival, Script, Shard, arrival, brute_force, grid, metric
from udfs.grid.rules import GridRule

ALL = grid(
    metric("level", "linear", 25),
    metric("rain", "mean", 20),
    metric("state", "last", 30),
    metric("near", "as_of", 5),
    keep_ms=40,
    allowed_lateness_ms=15,
    max_wait_ms=12,
)
NAMES = tuple(m.name for m in ALL.metrics)


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Frames of readings around an advancing watermark, some of them too late."""
    script: Script = []
    watermark_ms = 0
    for number in range(draw(st.integers(1, 25))):
        if draw(st.integers(0, 2)) == 0:
            watermark_ms += draw(st.integers(1, 40))
            script.append(watermark_ms)
            continue
        time_ms = watermark_ms + draw(st.integers(-70, 40))
        names = draw(st.sampled_from([*[(n,) for n in NAMES], ("level", "rain")]))
        place = draw(st.sampled_from("pq"))
        script.append([arrival(time_ms, float(draw(st.integers(-9, 9))), *names, place=place, tie=number)])
    return script


def arrivals_of(script: Script) -> list[Arrival]:
    return [a for step in script if isinstance(step, list) for a in step]


def join_frames(script: Script, chance: random.Random) -> Script:
    joined: Script = []
    for step in script:
        if isinstance(step, list) and joined and isinstance(joined[-1], list) and chance.random() < 0.5:
            joined[-1] = joined[-1] + step
        else:
            joined.append(step)
    return joined


def short(final: dict[tuple[str, int], Any]) -> dict[tuple[str, int], dict[str, tuple[Any, Any]]]:
    return {key: {n: (v["value"], v["reason"]) for n, v in values.items()} for key, values in final.items()}


@settings(max_examples=150, deadline=None)
@given(scripts(), st.randoms())
def test_in_any_order_and_any_frames_the_final_rows_are_those_of_the_definition(
    script: Script, chance: random.Random
) -> None:
    arrivals = arrivals_of(script)
    expected = brute_force(ALL, arrivals, -200, 1_200)
    chance.shuffle(arrivals)
    frames = join_frames([[a] for a in arrivals], chance)
    final = Shard(ALL).play([*frames, END]).final
    assert short(final).keys() == expected.keys()
    for key, values in short(final).items():
        for name, (value, reason) in values.items():
            assert value == pytest.approx(expected[key][name].value, rel=1e-12, abs=1e-12), (key, name)
            assert reason == expected[key][name].reason, (key, name)


@settings(max_examples=150, deadline=None)
@given(scripts(), st.randoms())
def test_with_late_readings_final_rows_are_those_of_the_readings_taken_in(
    script: Script, chance: random.Random
) -> None:
    one = Shard(ALL).play([*script, END])
    late = [id(a) for a in one.late]
    taken = [a for a in arrivals_of(script) if id(a) not in late]
    # What the takers of a reading are may differ by metric: a reading can be late for one and in time for another.
    if all(len(a.metrics) == 1 for a in taken):
        expected = brute_force(ALL, taken, -200, 1_200)
        closed_already = {key for key in expected if key not in one.final}
        assert one.final.keys() <= expected.keys()
        for key in one.final:
            assert short(one.final)[key].keys() == expected[key].keys()
        assert all(_is_past(key, script) for key in closed_already)
    other = Shard(ALL).play([*join_frames(script, chance), END])
    assert other.final == one.final
    assert [(a.time_ms, a.tie) for a in other.late] == [(a.time_ms, a.tie) for a in one.late]
    assert one.counts["gridded"] + one.counts["late"] == len(arrivals_of(script))


def _is_past(key: tuple[str, int], script: Script) -> bool:
    """Only a row that was closed when its first reading came may be missing."""
    return ALL.closes_ms(key[1]) <= max((s for s in script if isinstance(s, int)), default=-1)


@settings(max_examples=100, deadline=None)
@given(scripts(), st.data())
def test_a_restore_changes_nothing(script: Script, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(script)))
    plain = Shard(ALL).play([*script, END])
    restored = Shard(ALL).play(script[:cut]).restored()
    restored.play([*script[cut:], END])
    assert restored.final == plain.final
    assert sorted((a.time_ms, a.tie) for a in restored.late) == sorted((a.time_ms, a.tie) for a in plain.late)
    assert sorted(r[:4] for r in restored.rows) == sorted(r[:4] for r in plain.rows)


def test_after_a_restore_a_closed_row_stays_closed_although_the_watermark_starts_again() -> None:
    shard = Shard(grid(metric("level", "as_of", 10)))
    shard.add(arrival(8, 1.0))
    shard.advance(40)
    shard.add(arrival(55, 2.0))
    restored = shard.restored()
    restored.watermark_ms = -(2**63)
    assert restored.add(arrival(9, 3.0)) == []
    assert [a.value for a in restored.late] == [3.0]


@settings(max_examples=100, deadline=None)
@given(scripts())
def test_revisions_count_from_one_without_a_gap_and_the_last_is_settled(script: Script) -> None:
    shard = Shard(ALL).play([*script, END])
    revisions: dict[tuple[str, int], int] = {}
    for row in shard.rows:
        key = row.place, row.instant_ms
        assert row.revision == revisions.get(key, 0) + 1
        revisions[key] = row.revision
    last = {(r.place, r.instant_ms): r for r in shard.rows}
    assert all(r.content.settles_ms <= r.watermark_ms for r in last.values())


@settings(max_examples=50, deadline=None)
@given(scripts())
def test_at_the_end_nothing_is_kept_but_the_index(script: Script) -> None:
    shard = Shard(ALL).play([*script, END])
    assert shard.grid.points == 0
    assert {key for key in shard.store.data if "#" in key} == set()


def test_a_row_is_published_when_nothing_in_time_can_change_it() -> None:
    shard = Shard(grid(metric("level", "linear", 20)))
    shard.add(arrival(5, 1.0), arrival(15, 3.0))
    assert shard.advance(14) == []
    (row,) = shard.advance(15)  # a reading between 10 and 15 would be a nearer neighbour
    assert (row.instant_ms, row.timing, row.revision) == (10, "on_time", 1)
    assert shard.values()[10] == 2.0


def test_a_row_waits_for_its_neighbour_no_longer_than_max_wait() -> None:
    shard = Shard(grid(metric("level", "linear", 1_000), max_wait_ms=30, allowed_lateness_ms=0))
    shard.add(arrival(5, 1.0))
    assert [r.instant_ms for r in shard.advance(39)] == []
    (row,) = [r for r in shard.advance(40) if r.instant_ms == 10]
    assert (row.timing, row.content.is_complete) == ("unsettled", False)
    assert shard.reasons()[10] == "no_next_reading"
    shard.add(arrival(45, 9.0))
    shard.advance(45)
    assert shard.values()[10] == 2.0
    last = [r for r in shard.rows if r.instant_ms == 10][-1]
    assert (last.timing, last.content.is_complete) == ("on_time", True)


def test_a_straggler_within_the_allowed_lateness_is_a_revision_and_a_later_one_is_late() -> None:
    shard = Shard(grid(metric("level", "as_of", 10), allowed_lateness_ms=20))
    shard.add(arrival(3, 1.0))
    shard.advance(29)
    (row,) = shard.add(arrival(8, 2.0))
    assert (row.instant_ms, row.revision, row.timing) == (10, 2, "late")
    shard.advance(30)  # Flink: max timestamp 10 + 20 <= 30
    assert shard.add(arrival(9, 3.0)) == []
    assert [a.value for a in shard.late] == [3.0]
    assert shard.values()[10] == 2.0


def test_a_straggler_that_is_too_late_for_some_of_its_rows_only_is_noted_with_what_was_open() -> None:
    shard = Shard(grid(metric("level", "last", 30), allowed_lateness_ms=5))
    shard.add(arrival(0, 1.0))
    shard.advance(17)
    shard.add(arrival(18, 3.0), arrival(9, 2.0))
    assert shard.late == []
    assert shard.partly_late == [(9, 13)]  # 17 - 5 + 1: the row of 10 is closed
    shard.advance(END)
    assert (shard.values()[10], shard.values()[20]) == (1.0, 3.0)


def test_a_straggler_that_changes_nothing_is_no_revision() -> None:
    shard = Shard(grid(metric("level", "as_of", 10), allowed_lateness_ms=20))
    shard.add(arrival(8, 1.0))
    shard.advance(15)
    assert shard.add(arrival(3, 2.0)) == []


def test_a_silent_place_gets_rows_of_gaps_as_long_as_it_is_kept_and_then_none() -> None:
    shard = Shard(grid(metric("level", "last", 15), keep_ms=40))
    shard.add(arrival(0, 1.0))
    shard.advance(END)
    assert shard.values() == {0: 1.0, 10: 1.0, 20: None, 30: None, 40: None}
    assert shard.reasons()[30] == "too_old"


def test_a_silent_metric_is_a_gap_in_rows_of_its_place() -> None:
    shard = Shard(grid(metric("level", "last", 15), metric("rain", "mean", 10)))
    shard.add(arrival(5, 1.0))
    shard.advance(END)
    assert shard.reasons("rain") == {10: "no_reading", 20: "no_reading"}


def test_a_stalled_watermark_holds_no_row_for_ever() -> None:
    shard = Shard(grid(metric("level", "as_of", 10), max_wait_ms=30))
    shard.advance(0)
    shard.add(arrival(8, 1.0), arrival(45, 2.0))
    early = shard.grid.publish_overdue(shard.store, 0).rows
    assert [(r.instant_ms, r.timing) for r in early] == [(10, "unsettled")]
    shard.rows += early
    shard.advance(END)
    assert [(r.revision, r.timing) for r in shard.rows if r.instant_ms == 10] == [(1, "unsettled"), (2, "on_time")]


def test_a_source_stopped_for_an_hour_keeps_state_in_bounds() -> None:
    """Another source goes on: with the stopped one idle the watermark moves, and what is kept stays the same."""
    minute = 60_000
    rule = GridRule(
        "g", "station", 5 * minute, 0,
        (metric("level", "linear", 30 * minute), metric("rain", "mean", 5 * minute)),
        max_wait_ms=10 * minute, allowed_lateness_ms=10 * minute, keep_ms=60 * minute,
    )  # fmt: skip
    shard = Shard(rule)
    kept, entries = [], []
    for t in range(0, 6 * 60 * minute, minute):
        is_stopped = 2 * 60 * minute <= t < 3 * 60 * minute
        frame = [arrival(t, 1.0, "rain", place=p, tie=t) for p in ("p", "q")]
        if not is_stopped:
            frame += [arrival(t, 2.0, "level", place=p, tie=t) for p in ("p", "q")]
        shard.add(*frame)
        shard.advance(t - minute - 1)
        kept.append(shard.grid.points)
        entries.append(sum(map(len, shard.store.data.values())))
    at_3h, at_6h = 3 * 60 - 1, 6 * 60 - 1
    assert max(kept[at_3h:]) <= max(kept[: 2 * 60]) + 4
    assert entries[at_6h] <= 1.5 * max(entries[60 : 2 * 60])
    hour = [v["level"]["reason"] for (p, t), v in shard.final.items() if p == "p" and 150 * minute < t < 180 * minute]
    assert set(hour) == {"too_old"}
