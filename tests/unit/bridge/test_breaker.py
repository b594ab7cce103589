"""The breaker: which states follow which, what trips it, and what proves that all is well again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.bridge.breakers.breaker import Breaker, Cause, State, Transition
from jobs.bridge.breakers.config import CrsRule, KafkaRule
from jobs.bridge.breakers.signs import Answers, Burst, Figures, KafkaSigns

OPEN_FOR_S = 30.0
FOLLOWS = {
    (State.CLOSED, State.OPEN),
    (State.OPEN, State.HALF_OPEN),
    (State.HALF_OPEN, State.OPEN),
    (State.HALF_OPEN, State.CLOSED),
}
RULE = KafkaRule.model_validate({"gone_after": "5 s"})


class Bench:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.changes: list[tuple[float, Transition]] = []
        self.breaker = Breaker("kafka", OPEN_FOR_S, lambda: self.now_s, self._note)

    def _note(self, change: Transition) -> None:
        self.changes.append((self.now_s, change))


@given(st.lists(st.one_of(st.sampled_from(list(Cause)), st.sampled_from(["prove", "turn"]), st.floats(0, 40))))
def test_states_follow_one_another_and_it_is_never_open_too_shortly(steps: list[Cause | str | float]) -> None:
    bench = Bench()
    for step in steps:
        if isinstance(step, Cause):
            bench.breaker.trip(step)
        elif isinstance(step, float):
            bench.now_s += step
        else:
            getattr(bench.breaker, step)()
    assert {(change.before, change.state) for _, change in bench.changes} <= FOLLOWS
    assert all(c.lasted_s >= OPEN_FOR_S for _, c in bench.changes if c.before is State.OPEN)
    assert bench.breaker.transitions.total() == len(bench.changes)
    states = [State.CLOSED, *(change.state for _, change in bench.changes)]
    assert [change.before for _, change in bench.changes] == states[:-1]
    assert bench.breaker.state is states[-1]


def test_an_outage_keeps_the_cause_that_began_it_until_it_trips_again() -> None:
    bench = Bench()
    bench.breaker.trip(Cause.GONE)
    bench.breaker.trip(Cause.SLOW)
    assert bench.breaker.cause is Cause.GONE
    bench.now_s = OPEN_FOR_S
    bench.breaker.turn()
    bench.breaker.trip(Cause.SLOW)
    assert [(c.state, c.cause) for _, c in bench.changes] == [
        (State.OPEN, Cause.GONE),
        (State.HALF_OPEN, Cause.GONE),
        (State.OPEN, Cause.SLOW),
    ]


def test_nothing_is_proved_without_trials() -> None:
    bench = Bench()
    bench.breaker.prove()
    bench.breaker.trip(Cause.GONE)
    bench.breaker.prove()
    assert bench.breaker.state is State.OPEN


@pytest.mark.parametrize(
    ("answers", "trips"),
    [
        ([(1, 0.6)] * 10, True),
        ([(1, 0.6)] * 9, False),
        ([(9, 0.6), (1, 0.5), (9, 0.6)], False),
        ([(9, 0.6), (0, 0.0), (1, 0.501)], True),
        ([(10, 3.0)], True),
        ([(50, 0.4)] * 10, False),
    ],
    ids=["ten slow", "nine slow", "a quick one between", "silence between", "ten at once", "many, at the limit"],
)
def test_ten_slow_answers_in_a_row_trip(answers: list[tuple[int, float]], trips: bool) -> None:
    signs = KafkaSigns(RULE, 0.0)
    found = [signs.answered(Answers(*answer)) for answer in answers]
    assert (found[-1] is Cause.SLOW) == trips
    assert not any(found[:-1])


def test_kafka_is_gone_when_it_owes_an_answer_and_gives_none() -> None:
    signs = KafkaSigns(RULE, 0.0)
    assert signs.look(Figures(0, 0, 0), 100.0) is None, "nobody has asked it"
    assert signs.look(Figures(0, 0, 8), 104.9) is None
    assert signs.look(Figures(1, 0, 7), 104.9) is None
    assert signs.look(Figures(1, 0, 7), 109.8) is None
    assert signs.look(Figures(1, 0, 7), 109.9) is Cause.GONE


def test_failures_in_a_row_trip_and_a_delivery_ends_the_row() -> None:
    signs = KafkaSigns(RULE, 0.0)
    assert signs.look(Figures(0, 9, 1), 1.0) is None
    assert signs.look(Figures(1, 10, 1), 1.0) is None
    assert signs.look(Figures(1, 18, 1), 1.0) is None
    assert signs.look(Figures(1, 19, 1), 1.0) is Cause.FAILING


def test_what_was_seen_before_a_change_of_state_is_forgotten() -> None:
    signs = KafkaSigns(RULE, 0.0)
    signs.answered(Answers(9, 0.6))
    signs.look(Figures(0, 9, 1), 4.0)
    signs.forget(4.0)
    assert signs.answered(Answers(9, 0.6)) is None
    assert signs.look(Figures(0, 10, 1), 8.9) is None


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 10), st.integers(0, 20))
def test_a_burst_is_so_many_failures_among_the_newest(verdicts: list[bool], failures: int, more: int) -> None:
    of = failures + more
    burst = Burst(CrsRule.model_validate({"failures": failures, "of": of}))
    for count, failed in enumerate(verdicts, 1):
        burst.add(failed)
        newest = verdicts[max(0, count - of) : count]
        assert burst.is_on == (sum(newest) >= failures)
        assert burst.is_over == (len(newest) == of and sum(newest) < failures)
