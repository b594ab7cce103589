"""When a job should have more or fewer subtasks: a pure function of one look and of what earlier looks left behind.

Up soon, by one step, when a stream's median passes 60 % of its SLA or the lag grows; down late, by one step, when all
is calm far below that and the rest would not be busy. Between the two thresholds nothing happens, and after each start
the job is left alone for a while. A parallelism that was too few once is not gone back to before readings are fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from jobs.scaling.figures import Figures


class Rules(NamedTuple):
    """What is wanted. Shares are of a stream's SLA."""

    slas_ms: Mapping[str, int]
    choices: tuple[int, ...]
    """Parallelisms to choose from, ascending."""
    up_at: float = 0.6
    up_after_ms: int = 60_000
    lag_s: float = 5.0
    """A backlog of less than these seconds of arriving records is none."""
    down_at: float = 0.3
    down_after_ms: int = 600_000
    busy_after_down: float = 600.0
    """How busy the busiest subtask may be with fewer of them, ms/s."""
    cooldown_ms: int = 300_000
    longest_gap_ms: int = 300_000
    """Between two looks; after a longer one the first of them says nothing of the time in between."""
    relief: float = 0.8
    """What may arrive, of what was once too much, for a parallelism to be tried again."""


class Memory(NamedTuple):
    """What earlier looks left behind."""

    last_ms: int | None = None
    pending: int | None = None
    pressed_since_ms: int | None = None
    calm_since_ms: int | None = None
    too_few: tuple[int, float] | None = None
    """A parallelism that was scaled up from, and the records/s that were too many for it."""


class Decision(NamedTuple):
    """`target` is None when the job stays as it is."""

    target: int | None
    reason: str


def decide(memory: Memory, figures: Figures, rules: Rules) -> tuple[Memory, Decision]:
    """What to do after a look, and what to remember of it."""
    nothing = Memory(too_few=memory.too_few)
    if missing := _missing(figures, rules):
        return nothing, Decision(None, missing)
    if memory.last_ms is not None and figures.at_ms - memory.last_ms > rules.longest_gap_ms:
        memory = nothing
    if figures.up_ms < rules.cooldown_ms:
        seen = nothing._replace(last_ms=figures.at_ms, pending=figures.pending)
        left_s = (rules.cooldown_ms - figures.up_ms) // 1_000
        return seen, Decision(None, f"the job was started lately: left alone for {left_s} s more")
    pressure, unrest = _pressure(memory, figures, rules), _unrest(memory, figures, rules)
    memory = memory._replace(
        last_ms=figures.at_ms,
        pending=figures.pending,
        pressed_since_ms=_since(memory.pressed_since_ms, bool(pressure), figures.at_ms),
        calm_since_ms=_since(memory.calm_since_ms, not pressure and not unrest, figures.at_ms),
    )
    if (nearest := _within(figures.parallelism, rules)) is not None:
        return _going(memory, figures, nearest, f"{figures.parallelism} is out of bounds")
    if pressure:
        return _up(memory, figures, rules, pressure)
    if unrest:
        return memory, Decision(None, unrest)
    return _down(memory, figures, rules)


def _missing(figures: Figures, rules: Rules) -> str:
    """Why this look cannot be judged."""
    if not figures.is_settled:
        return "the job is starting or failing"
    if figures.pending is None or figures.arriving_per_s is None or figures.busy_ms_per_s is None:
        return "no fresh figures of backlog, arrival or work"
    if rules.slas_ms and not rules.slas_ms.keys() & figures.p50_ms.keys():
        return "no fresh latency of a stream that has an SLA"
    return ""


def _pressure(memory: Memory, figures: Figures, rules: Rules) -> str:
    """Why there should be more subtasks."""
    for stream, share in _shares(figures, rules).items():
        if share > rules.up_at:
            return f"{stream}: p50 of {figures.p50_ms[stream]:,.0f} ms is {share:.0%} of its SLA"
    if _waits(figures, rules) and memory.pending is not None and _pending(figures) > memory.pending:
        return f"the backlog grows: {figures.pending:,} records wait"
    return ""


def _unrest(memory: Memory, figures: Figures, rules: Rules) -> str:
    """Why there should not be fewer."""
    for stream, share in _shares(figures, rules).items():
        if share >= rules.down_at:
            return f"{stream}: p50 is {share:.0%} of its SLA"
    if _waits(figures, rules):
        return f"{figures.pending:,} records wait"
    fewer = _fewer(figures, rules)
    if fewer is None:
        return "as few as there may be"
    busy = (figures.busy_ms_per_s or 0.0) * figures.parallelism / fewer
    if busy > rules.busy_after_down:
        return f"{fewer} would be busy for {busy:,.0f} ms of each second"
    arriving = figures.arriving_per_s or 0.0
    if memory.too_few and fewer <= memory.too_few[0] and arriving >= rules.relief * memory.too_few[1]:
        return f"{memory.too_few[0]} were too few for {memory.too_few[1]:,.0f} records/s"
    return ""


def _up(memory: Memory, figures: Figures, rules: Rules, pressure: str) -> tuple[Memory, Decision]:
    held_ms = _lasted_ms(memory.pressed_since_ms, figures)
    if held_ms < rules.up_after_ms:
        return memory, Decision(None, f"{pressure}, for {held_ms // 1_000} s: waits for {rules.up_after_ms // 1_000} s")
    more = next((n for n in rules.choices if n > figures.parallelism), None)
    if more is None:
        return memory, Decision(None, f"{pressure}, and there may not be more subtasks")
    memory, decision = _going(memory, figures, more, pressure)
    if decision.target is not None:
        memory = memory._replace(too_few=(figures.parallelism, figures.arriving_per_s or 0.0))
    return memory, decision


def _down(memory: Memory, figures: Figures, rules: Rules) -> tuple[Memory, Decision]:
    held_ms = _lasted_ms(memory.calm_since_ms, figures)
    if held_ms < rules.down_after_ms:
        needed_s = rules.down_after_ms // 1_000
        return memory, Decision(None, f"calm for {held_ms // 1_000} s: fewer after {needed_s} s")
    fewer = _fewer(figures, rules)
    assert fewer is not None  # or there would be unrest
    return _going(memory, figures, fewer, f"calm for {held_ms // 1_000} s")


def _going(memory: Memory, figures: Figures, target: int, reason: str) -> tuple[Memory, Decision]:
    """After a change nothing that was seen before says anything."""
    if target > figures.slots:
        return memory, Decision(None, f"{reason}, and {target} subtasks need more than the {figures.slots} slots")
    return Memory(too_few=memory.too_few), Decision(target, reason)


def _shares(figures: Figures, rules: Rules) -> dict[str, float]:
    return {s: figures.p50_ms[s] / sla_ms for s, sla_ms in rules.slas_ms.items() if s in figures.p50_ms}


def _waits(figures: Figures, rules: Rules) -> bool:
    """Whether there is a backlog."""
    return _pending(figures) > rules.lag_s * max(1.0, figures.arriving_per_s or 0.0)


def _pending(figures: Figures) -> int:
    return figures.pending or 0


def _fewer(figures: Figures, rules: Rules) -> int | None:
    return next((n for n in reversed(rules.choices) if n < figures.parallelism), None)


def _within(parallelism: int, rules: Rules) -> int | None:
    """The nearest choice, for a job that was scaled out of bounds; None for one within."""
    if rules.choices[0] <= parallelism <= rules.choices[-1]:
        return None
    return min(rules.choices, key=lambda n: abs(n - parallelism))


def _lasted_ms(since_ms: int | None, figures: Figures) -> int:
    return 0 if since_ms is None else figures.at_ms - since_ms


def _since(since_ms: int | None, holds: bool, at_ms: int) -> int | None:
    """Since when something has been so without a break."""
    if not holds:
        return None
    return at_ms if since_ms is None else since_ms
