"""A run sends each letter at most once, says what the job will make of it, and leaves room for live readings."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.replay.dead_letters import Letter, sent_again
from jobs.replay.edits import Edits
from jobs.replay.forecast import Forecast
from jobs.replay.history import chain
from jobs.replay.pace import JobStandsStill, Pace
from jobs.replay.rerun import Replay, Rerun, Tally
from jobs.replay.selection import Selection
from tests.support.generated import NOW_MS, RULES, TOPIC
from tests.unit.replay.test_edits import DECODER, GOOD, edits_of, letter_of, record_of
from udfs.reasons import Reason

MEND = edits_of({"when": {"fields": {"unit": "Celsious"}}, "set": {"unit": "degC"}})


def letters(count: int = 6) -> list[Letter]:
    """Every third one has an axis mistake besides."""
    found = []
    for offset in range(count):
        fields = GOOD | {"unit": "Celsious"} | ({"x": 57.1, "y": 202.1} if offset % 3 == 2 else {})
        found.append(letter_of(record_of(fields), offset=offset))
    return found


def run(
    of: list[Letter], before: Collection[str] = (), edits: Edits | None = MEND, accepted_only: bool = False
) -> tuple[list[Replay], Tally]:
    tally = Tally()
    rerun = Rerun(
        Selection(), edits, DECODER, Forecast(RULES, TOPIC), lambda *_: None, lambda: NOW_MS, accepted_only
    )  # fmt: skip
    return list(rerun.prepare(rerun.choose(of, tally), before, tally)), tally


def test_each_letter_is_counted_once_with_what_the_job_would_make_of_it() -> None:
    sent, tally = run(letters())
    assert (len(sent), tally.sent, tally.edited, tally.chosen) == (6, 6, 6, 6)
    assert tally.fates[("unknown_unit", "accepted")] == 4 and tally.fates.total() == 6
    unmended, tally = run(letters(), edits=None)
    assert tally.fates == {("unknown_unit", "unknown_unit"): 6} and tally.edited == 0
    assert all(replay.after == replay.before for replay in unmended)


def test_what_would_be_refused_again_can_be_held_back() -> None:
    sent, tally = run(letters(), accepted_only=True)
    assert (len(sent), tally.held_back) == (4, 2) and all(replay.fate.is_accepted for replay in sent)


@given(st.sets(st.integers(0, 5)))
def test_a_run_that_goes_on_sends_the_rest_and_a_last_one_nothing(done: set[int]) -> None:
    all_letters = letters()
    before = {letter.source.name for letter in all_letters if letter.offset in done}
    rest, tally = run(all_letters, before)
    assert {replay.letter.offset for replay in rest} == set(range(6)) - done and tally.sent_before == len(done)
    replayed = {dict(replay.after.headers)["replay_of"].decode() for replay in rest}  # type: ignore[union-attr]
    assert replayed | before == {letter.source.name for letter in all_letters}
    assert run(all_letters, replayed | before)[0] == []


def test_an_edited_reading_keeps_its_id_and_one_without_gets_it_from_what_it_says_now() -> None:
    named = letter_of(record_of(GOOD | {"unit": "Celsious", "event_id": "e-1"}))
    [replay], _ = run([named])
    assert b'"event_id":"e-1"' in (replay.after.value or b"")
    [first], _ = run([letter_of(record_of(GOOD | {"unit": "Celsious"}))])
    [second], _ = run([letter_of(record_of(GOOD | {"unit": "Celsious"}))])
    assert first.after == second.after  # sent twice after all, it would be a duplicate


def test_what_cannot_be_edited_or_sent_is_counted_and_named() -> None:
    broken = letter_of(record_of(b"{"), Reason.MALFORMED_JSON)
    final = letter_of(record_of(GOOD), Reason.ID_CONFLICT)
    sent, tally = run([broken, final], edits=edits_of({"set": {"unit": "degC"}}))
    assert sent == [] and tally.refused == {"malformed_json": 1, "id_conflict": 1}
    assert [problem.partition(":")[0] for problem in tally.problems] == ["telemetry.raw/2/9"]


def test_a_reading_that_fails_again_keeps_its_history() -> None:
    first = letter_of(record_of(GOOD | {"unit": "Celsious"}), offset=1)
    [replay], _ = run([first], edits=edits_of({"set": {"unit": "furlongs"}}))
    second = letter_of(replay.after, offset=2)
    assert second.replay_of == first.source.name and sent_again([first, second]) == {first.source.name}
    [again], tally = run([first, second], sent_again([first, second]), edits_of({"set": {"unit": "degC"}}))
    assert tally.sent_before == 1 and again.fate.is_accepted
    replays = {f"{TOPIC}/2/2": f"{TOPIC}/2/1", f"{TOPIC}/0/3": f"{TOPIC}/2/2"}
    for place in (f"{TOPIC}/2/1", f"{TOPIC}/2/2", f"{TOPIC}/0/3"):
        assert chain(place, replays) == [f"{TOPIC}/2/1", f"{TOPIC}/2/2", f"{TOPIC}/0/3"]


def test_a_chain_of_one_and_a_forged_circle_have_an_end() -> None:
    assert chain("t/0/1", {}) == ["t/0/1"]
    assert sorted(chain("t/0/1", {"t/0/1": "t/0/2", "t/0/2": "t/0/1"})) == ["t/0/1", "t/0/2"]


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


def test_batches_are_spread_by_the_rate() -> None:
    clock = Clock()
    pace = Pace(100.0, 0, lambda: pytest.fail("nobody asked"), clock, clock.sleep)
    for _ in range(5):
        pace.wait(50)
    assert clock.now == pytest.approx(2.0)
    clock.now = 60.0  # a pause is not made up for by a burst
    pace.wait(50)
    pace.wait(50)
    assert clock.now == pytest.approx(60.5)


def test_sending_waits_while_the_job_is_behind() -> None:
    clock = Clock()
    behind = iter([5_000, 3_000, 900])
    Pace(0.0, 1_000, lambda: next(behind), clock, clock.sleep).wait(10)
    assert clock.now == 2.0
    Pace(0.0, 1_000, lambda: None, clock, clock.sleep).wait(10)
    assert clock.now == 2.0


def test_the_job_is_asked_once_a_second_at_the_most() -> None:
    clock, asked = Clock(), []
    pace = Pace(100.0, 1_000, lambda: asked.append(clock.now) or 0, clock, clock.sleep)
    for _ in range(11):
        pace.wait(25)
    assert clock.now == 2.5 and asked == [0.0, 1.0, 2.0]


def test_a_job_that_stands_still_ends_the_run() -> None:
    clock = Clock()
    with pytest.raises(JobStandsStill, match="5,000 raw records behind"):
        Pace(0.0, 1_000, lambda: 5_000, clock, clock.sleep).wait(10)
    assert 300 < clock.now < 310
