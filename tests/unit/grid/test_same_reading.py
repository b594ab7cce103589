"""One measurement through two feeds is taken once, from the preferred feed, whatever the order of arrival."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.support.grids import END, Arrival, Shard, arrival, grid, metric
from udfs.grid.rules import FeedRule, SameReading

FEEDS = (FeedRule("operator", sensors=("a*",)), FeedRule("collector", sensors=("b*",)))
RULE = grid(metric("level", "mean", 10, same_reading=SameReading(2, 0.5)), feeds=FEEDS)


def of_operator(time_ms: int, value: float, tie: int = 0) -> Arrival:
    return arrival(time_ms, value, sensor="a1", feed=0, tie=tie)


def of_collector(time_ms: int, value: float, tie: int = 0) -> Arrival:
    return arrival(time_ms, value, sensor="b1", feed=1, tie=tie)


def test_the_preferred_feed_wins_and_the_row_says_what_was_merged() -> None:
    for order in ((of_operator(5, 1.0), of_collector(6, 1.25)), (of_collector(6, 1.25), of_operator(5, 1.0))):
        shard = Shard(RULE)
        shard.add(*order)
        shard.advance(END)
        (values,) = (v["level"] for (_, t), v in shard.final.items() if t == 10)
        assert (values["value"], values["readings"], values["sensors"]) == (1.0, 1, ["a1"])
        assert values["merged"] == [{"feed": "collector", "sensor_id": "b1", "event_time_ms": 6}]
        assert shard.counts == {"gridded": 1, "merged": 1}


def test_readings_further_apart_in_time_or_value_are_two() -> None:
    for other in (of_collector(8, 1.0), of_collector(5, 1.75)):
        shard = Shard(RULE)
        shard.add(of_operator(5, 1.0), other)
        assert shard.counts == {"gridded": 2}


def test_two_readings_of_one_feed_are_never_merged() -> None:
    shard = Shard(RULE)
    shard.add(of_operator(5, 1.0), of_operator(5, 1.0, tie=1))
    assert shard.counts == {"gridded": 2}


readings = st.builds(
    lambda feed, time_ms, value, tie: (of_operator, of_collector)[feed](time_ms, value / 4, tie),
    st.integers(0, 1), st.integers(0, 30), st.integers(0, 8), st.integers(0, 2**32),
)  # fmt: skip


@given(st.lists(readings, max_size=20, unique_by=lambda a: a.tie), st.randoms())
def test_counts_and_rows_depend_on_no_order(found: list[Arrival], chance: random.Random) -> None:
    first, second = Shard(RULE), Shard(RULE)
    first.add(*found)
    chance.shuffle(found)
    for one in found:
        second.add(one)
    first.advance(END)
    second.advance(END)
    assert first.final == second.final
    assert +first.counts == +second.counts
    assert first.counts.total() == len(found)
    merged = sum(
        any(o.origin.feed < a.origin.feed and abs(o.time_ms - a.time_ms) <= 2 and abs(o.value - a.value) <= 0.5
            for o in found)
        for a in found
    )  # fmt: skip
    assert first.counts["merged"] == merged


@given(st.lists(readings, max_size=20, unique_by=lambda a: a.tie))
def test_a_restore_remembers_what_was_merged(found: list[Arrival]) -> None:
    shard = Shard(RULE)
    shard.add(*found)
    restored = shard.restored()
    shard.advance(END)
    restored.advance(END)
    assert restored.final == shard.final
