"""When a job is scaled: laws of the policy, and each rule by itself."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.scaling.figures import Figures
from jobs.scaling.policy import Memory, Rules, decide

RULES = Rules(slas_ms={"weather": 1_000}, choices=(1, 2, 4))
LOOK_MS = 30_000
CALM = Figures(
    at_ms=0, up_ms=10**9, is_settled=True, parallelism=2, slots=4, pending=0, arriving_per_s=1_000.0,
    busy_ms_per_s=100.0, p50_ms={"weather": 100.0},
)  # fmt: skip
SLOW = CALM._replace(p50_ms={"weather": 601.0}, busy_ms_per_s=900.0)

SHARE = st.floats(0, 3, allow_nan=False)
LOADS = st.fixed_dictionaries(
    {
        "p50_ms": st.dictionaries(st.just("weather"), st.floats(0, 3_000), min_size=1),
        "busy_ms_per_s": st.floats(0, 1_000),
        "pending": st.integers(0, 100_000),
    }
)
ANY_FIGURES = st.builds(
    Figures,
    at_ms=st.just(0),
    up_ms=st.integers(0, 10**7),
    is_settled=st.booleans(),
    parallelism=st.integers(1, 8),
    slots=st.integers(0, 8),
    pending=st.none() | st.integers(0, 10**6),
    arriving_per_s=st.none() | st.floats(0, 10**5),
    busy_ms_per_s=st.none() | st.floats(0, 1_000),
    p50_ms=st.dictionaries(st.sampled_from(["weather", "rivers"]), st.floats(0, 5_000)),
)


def played(looks: list[Figures], rules: Rules = RULES, memory: Memory = Memory()) -> list[int | None]:
    """What is decided at looks 30 s apart, whatever `at_ms` they have."""
    targets = []
    for number, figures in enumerate(looks):
        memory, decision = decide(memory, figures._replace(at_ms=number * LOOK_MS), rules)
        targets.append(decision.target)
    return targets


def first_target(figures: Figures, looks: int = 100, **changes: Any) -> tuple[int | None, int]:
    """The first decision under constant figures, and after how many seconds it comes."""
    targets = played([figures] * looks, RULES._replace(**changes))
    at = next((number for number, target in enumerate(targets) if target), looks)
    return (targets[at] if at < looks else None), at * LOOK_MS // 1_000


# --- laws ---


@given(st.lists(ANY_FIGURES, max_size=60))
def test_whatever_comes_a_target_is_one_of_the_choices_fits_the_slots_and_is_a_change(looks: list[Figures]) -> None:
    for figures, target in zip(looks, played(looks), strict=True):
        if target is not None:
            assert target in RULES.choices and target <= figures.slots and target != figures.parallelism


@given(st.lists(ANY_FIGURES, max_size=60))
def test_nothing_happens_without_fresh_figures_or_soon_after_a_start(looks: list[Figures]) -> None:
    for figures, target in zip(looks, played(looks), strict=True):
        is_blind = None in (figures.pending, figures.arriving_per_s, figures.busy_ms_per_s)
        if is_blind or "weather" not in figures.p50_ms or not figures.is_settled or figures.up_ms < RULES.cooldown_ms:
            assert target is None


@given(st.dictionaries(st.sampled_from(RULES.choices), LOADS, min_size=3), st.sampled_from(RULES.choices))
def test_under_constant_arrival_the_parallelism_comes_to_rest(loads: dict[int, Any], start: int) -> None:
    """However the figures depend on the parallelism: it goes down, then up, and stays."""
    memory, parallelism, up_ms, went = Memory(), start, 10**9, [start]
    for number in range(600):
        up_ms += LOOK_MS
        load = dict(loads[parallelism])
        # A backlog that is there grows with each look.
        load["pending"] += number if load["pending"] else 0
        figures = CALM._replace(at_ms=number * LOOK_MS, up_ms=up_ms, parallelism=parallelism, **load)
        memory, decision = decide(memory, figures, RULES)
        if decision.target is not None:
            parallelism, up_ms = decision.target, 0
            went.append(parallelism)
    directions = [after > before for before, after in pairwise(went)]
    assert directions == sorted(directions), went


@given(st.lists(LOADS, min_size=2, max_size=60))
def test_between_two_changes_there_is_the_cooldown(loads: list[dict[str, Any]]) -> None:
    memory, parallelism, changed_ms = Memory(), 2, -(10**9)
    for number, load in enumerate(loads * 4):
        at_ms = number * LOOK_MS
        figures = CALM._replace(at_ms=at_ms, up_ms=at_ms - changed_ms, parallelism=parallelism, **load)
        memory, decision = decide(memory, figures, RULES)
        if decision.target is not None:
            assert at_ms - changed_ms >= RULES.cooldown_ms
            parallelism, changed_ms = decision.target, at_ms


# --- rules ---


def test_a_median_over_60_percent_of_the_sla_for_a_minute_scales_up() -> None:
    assert first_target(SLOW) == (4, 60)
    assert first_target(SLOW._replace(p50_ms={"weather": 600.0})) == (None, 3_000)


def test_a_peak_that_passes_scales_nothing() -> None:
    assert not any(played([SLOW, CALM] * 50))


def test_a_backlog_scales_up_when_it_grows_and_not_when_it_drains() -> None:
    growing = [CALM._replace(pending=6_000 + 10 * number) for number in range(10)]
    assert played(growing)[:5] == [None, None, None, 4, None]
    assert not any(played(growing[::-1]))


def test_a_backlog_of_seconds_is_none() -> None:
    assert not any(played([CALM._replace(pending=number * 10) for number in range(18)]))


def test_a_stream_without_an_sla_scales_nothing() -> None:
    assert first_target(CALM._replace(p50_ms={"weather": 100.0, "rivers": 10**6})) == (1, 600)


def test_calm_for_ten_minutes_scales_down_by_one_step() -> None:
    assert first_target(CALM) == (1, 600)
    assert first_target(CALM._replace(parallelism=4)) == (2, 600)


@pytest.mark.parametrize(
    "figures",
    [
        CALM._replace(p50_ms={"weather": 300.0}),  # 30 % of the SLA
        CALM._replace(pending=6_000),
        CALM._replace(busy_ms_per_s=301.0),  # one subtask would be busy for 602
        CALM._replace(parallelism=1),
    ],
)
def test_between_the_thresholds_nothing_happens(figures: Figures) -> None:
    assert first_target(figures) == (None, 3_000)


def test_calm_is_counted_anew_after_each_unrest() -> None:
    unrest = CALM._replace(p50_ms={"weather": 400.0})
    assert not any(played(([CALM] * 19 + [unrest]) * 5))


def test_what_was_too_few_is_tried_again_when_a_fifth_less_arrives() -> None:
    memory, decision = decide(Memory(last_ms=0, pressed_since_ms=0), SLOW._replace(at_ms=60_000), RULES)
    assert decision.target == 4 and memory.too_few == (2, 1_000.0)
    four = CALM._replace(parallelism=4)
    assert not any(played([four._replace(arriving_per_s=800.0)] * 50, memory=memory))
    assert 2 in played([four._replace(arriving_per_s=799.0)] * 50, memory=memory)


def test_looks_that_are_too_far_apart_do_not_add_up() -> None:
    memory = Memory(last_ms=0, pressed_since_ms=0, calm_since_ms=0)
    assert decide(memory, SLOW._replace(at_ms=300_000), RULES)[1].target == 4
    assert decide(memory, SLOW._replace(at_ms=300_001), RULES)[1].target is None


def test_without_slots_it_stays_and_says_so() -> None:
    memory, decision = decide(Memory(last_ms=0, pressed_since_ms=0), SLOW._replace(at_ms=60_000, slots=3), RULES)
    assert decision.target is None and "4 subtasks need more than the 3 slots" in decision.reason
    assert memory.too_few is None


def test_at_the_maximum_it_stays_and_says_so() -> None:
    figures = SLOW._replace(at_ms=60_000, parallelism=4)
    decision = decide(Memory(last_ms=0, pressed_since_ms=0), figures, RULES)[1]
    assert decision.target is None and "may not be more" in decision.reason


@pytest.mark.parametrize(("running", "target"), [(1, 2), (8, 4)])
def test_a_job_out_of_bounds_is_brought_back(running: int, target: int) -> None:
    figures = CALM._replace(parallelism=running, slots=8, p50_ms={"weather": 400.0})
    assert first_target(figures, choices=(2, 4)) == (target, 0)


def test_the_worked_table() -> None:
    """docs/scaling-out.md, By a policy."""
    memory, parallelism, started_ms, changes = Memory(), 2, -(10**9), {}
    for at_ms in range(0, 41 * 60_000, LOOK_MS):
        if parallelism == 2:
            p50_ms, busy = (400.0, 700.0) if at_ms < 30_000 else (700.0, 950.0)
        else:
            p50_ms, busy = 150.0, 250.0 if at_ms <= 30 * 60_000 else 180.0
        figures = CALM._replace(
            at_ms=at_ms, up_ms=at_ms - started_ms, parallelism=parallelism, p50_ms={"weather": p50_ms},
            busy_ms_per_s=busy, arriving_per_s=1_000.0 if at_ms <= 30 * 60_000 else 700.0,
        )  # fmt: skip
        memory, decision = decide(memory, figures, RULES)
        if decision.target is not None:
            changes[at_ms // 1_000] = parallelism = decision.target
            started_ms = at_ms
    assert changes == {90: 4, 40 * 60 + 30: 2}


def test_without_slas_lag_and_work_decide() -> None:
    assert first_target(CALM._replace(p50_ms={}), slas_ms={}) == (1, 600)
