"""Laws of event-time windows: assignment, lateness on both sides of every boundary, revisions, restores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.support.shards import (
    END,
    DictStore,
    Result,
    Row,
    Textbook,
    WindowOf,
    WindowShard,
    brute_force_windows,
    index_of,
    reading,
    sliding,
    stream,
    tumbling,
    with_lateness,
)
from udfs.frame import Accepted
from udfs.rules import StreamRule, WindowDefinition
from udfs.shard_log import IncompatibleState
from udfs.window import Window, windows_of

# A script is a list of frames (lists of readings) and watermarks (int). Sizes of a few milliseconds put most random
# times on or beside a boundary.
Script = list[list[Accepted] | int]

DEFINITIONS = (
    tumbling(8),
    tumbling(8, offset_ms=3),
    sliding(8, 4),
    sliding(7, 3, offset_ms=-2),
    tumbling(8, key="cell"),
    sliding(10, 5, key="region"),
)


@st.composite
def scripts(draw: st.DrawFn, steps: int = 25) -> Script:
    """Readings around an advancing watermark, and the watermarks; frames of one reading each."""
    script: Script = []
    watermark_ms = draw(st.integers(-40, 0))
    for number in range(draw(st.integers(1, steps))):
        if draw(st.integers(0, 3)) == 0:
            watermark_ms += draw(st.integers(1, 12))
            script.append(watermark_ms)
            continue
        time_ms = watermark_ms + draw(st.integers(-24, 12))
        sensor = draw(st.sampled_from("ab"))
        place = draw(st.sampled_from("xy"))
        value = draw(st.integers(-5, 5))
        script.append([reading(time_ms, sensor, event_id=f"e{number}", value=float(value), cell=place, region=place)])
    return script


@st.composite
def frame_cuts(draw: st.DrawFn, script: Script) -> Script:
    """The same script with neighbouring frames joined at random."""
    joined: Script = []
    for step in script:
        last = joined[-1] if joined else None
        if isinstance(step, list) and isinstance(last, list) and draw(st.booleans()):
            joined[-1] = last + step
        else:
            joined.append(step)
    return joined


def play(shard: WindowShard | Textbook, script: Script) -> None:
    for step in script:
        if isinstance(step, int):
            shard.advance(step)
        else:
            shard.add(*step)


def run(streams: Sequence[StreamRule], script: Script) -> WindowShard:
    shard = WindowShard(streams)
    play(shard, script)
    shard.advance(END)
    return shard


def readings_of(script: Script) -> list[Accepted]:
    return [r for step in script if isinstance(step, list) for r in step]


def assert_rows_equal(left: dict[WindowOf, Row], right: dict[WindowOf, Row]) -> None:
    assert left.keys() == right.keys()
    for of, row in left.items():
        assert row == pytest.approx(right[of], rel=1e-12, abs=1e-12), of


def assert_revisions_increase(results: Sequence[Result]) -> None:
    last: dict[WindowOf, int] = {}
    for result in results:
        assert result.revision > last.get(result.of, 0), result
        last[result.of] = result.revision


# --- assignment ---

times = st.integers(-(10**13), 10**13)
sizes = st.integers(1, 10**6)


@given(times, sizes, st.integers(1, 50), st.integers(-(10**6), 10**6))
def test_every_reading_is_in_exactly_size_over_slide_windows(
    time_ms: int, slide_ms: int, n: int, offset_ms: int
) -> None:
    windows = windows_of(time_ms, slide_ms * n, slide_ms, offset_ms)
    assert len(set(windows)) == len(windows) == n
    for start_ms, end_ms in windows:
        assert start_ms <= time_ms < end_ms
        assert end_ms - start_ms == slide_ms * n
        assert (start_ms - offset_ms) % slide_ms == 0


@given(times, st.integers(1, 1000), st.integers(1, 1000), st.integers(-1000, 1000))
def test_a_slide_that_does_not_divide_the_size_gives_one_window_more_or_less(
    time_ms: int, size_ms: int, slide_ms: int, offset_ms: int
) -> None:
    assume(slide_ms <= size_ms)
    windows = windows_of(time_ms, size_ms, slide_ms, offset_ms)
    assert windows == brute_force_windows(time_ms, WindowDefinition("w", "sensor", size_ms, slide_ms, offset_ms))
    assert len(windows) in {size_ms // slide_ms, -(-size_ms // slide_ms)}


@given(times, sizes, st.integers(-(10**6), 10**6), st.integers(-5, 5))
def test_an_offset_of_whole_slides_changes_nothing(time_ms: int, size_ms: int, offset_ms: int, n: int) -> None:
    assert windows_of(time_ms, size_ms, size_ms, offset_ms) == windows_of(
        time_ms, size_ms, size_ms, offset_ms + n * size_ms
    )


@pytest.mark.parametrize(
    ("time_ms", "size_ms", "slide_ms", "offset_ms", "starts"),
    [
        # Cases of Flink's own TimeWindowTest and SlidingEventTimeWindowsTest
        (0, 7, 7, 0, [0]),
        (6, 7, 7, 0, [0]),
        (7, 7, 7, 0, [7]),
        (1, 7, 7, 3, [-4]),
        (2, 7, 7, 3, [-4]),
        (3, 7, 7, 3, [3]),
        (8, 7, 7, 3, [3]),
        (2, 7, 7, -2, [-2]),
        (5, 7, 7, -2, [5]),
        (-12, 7, 7, 0, [-14]),
        (0, 5000, 1000, 0, [0, -1000, -2000, -3000, -4000]),
        (4999, 5000, 1000, 0, [4000, 3000, 2000, 1000, 0]),
        (5000, 5000, 1000, 0, [5000, 4000, 3000, 2000, 1000]),
        (100, 5000, 1000, 100, [100, -900, -1900, -2900, -3900]),
        (5099, 5000, 1000, 100, [4100, 3100, 2100, 1100, 100]),
    ],
)
def test_windows_of_an_event_time(time_ms: int, size_ms: int, slide_ms: int, offset_ms: int, starts: list[int]) -> None:
    assert [start for start, _ in windows_of(time_ms, size_ms, slide_ms, offset_ms)] == starts


@given(st.integers(-(2**53), 2**53), st.integers(1, 2**40))
def test_a_window_is_found_again_by_its_name(start_ms: int, size_ms: int) -> None:
    window = Window("air-quality_2", "5min", start_ms, start_ms + size_ms)
    assert Window.parse(window.name) == window


# --- lateness at its boundaries, watermark by watermark ---


@pytest.mark.parametrize("lateness_ms", [0, 1, 5])
@pytest.mark.parametrize(
    ("past_last_moment_ms", "is_late"), [(-1, False), (0, True), (1, True)], ids=["before", "at", "after"]
)
def test_a_reading_is_late_once_the_watermark_has_reached_end_minus_1_plus_allowed_lateness(
    lateness_ms: int, past_last_moment_ms: int, is_late: bool
) -> None:
    shard = WindowShard([stream(tumbling(10), lateness_ms=lateness_ms)])
    shard.advance(9 + lateness_ms + past_last_moment_ms)
    shard.add(reading(9))
    assert bool(shard.late) is is_late
    assert shard.judged_at_ms == ([shard.watermark_ms] if is_late else [])


def test_a_reading_of_the_end_is_in_the_next_window() -> None:
    shard = run([stream(tumbling(10))], [[reading(9)], [reading(10)], 9, [reading(9, "late")], [reading(10, "ok")]])
    assert [(r.start_ms, r.key) for r in shard.results] == [(0, "s"), (10, "s"), (10, "ok")]
    assert shard.late == [("late@9", "w10o0sensor")]


@pytest.mark.parametrize(("watermark_ms", "fired"), [(8, []), (9, [(1, 1)])])
def test_a_window_fires_when_the_watermark_reaches_its_last_millisecond(
    watermark_ms: int, fired: list[tuple[int, int]]
) -> None:
    shard = WindowShard([stream(tumbling(10), lateness_ms=3)])
    shard.add(reading(0))
    shard.advance(watermark_ms)
    assert [(r.row.number, r.revision) for r in shard.results] == fired


def test_scripted_watermarks_give_these_results_element_by_element() -> None:
    """Tumbling 10, allowed lateness 3: fires at 9, revised up to 11, purged at 12."""
    shard = WindowShard([stream(tumbling(10), lateness_ms=3)])

    def step(watermark_ms: int, *readings: Accepted) -> list[tuple[int, str, int, str]]:
        seen = len(shard.results)
        shard.advance(watermark_ms)
        shard.add(*readings)
        return [(r.start_ms, r.key, r.row.number, f"{r.timing} {r.revision}") for r in shard.results[seen:]]

    assert step(-50, reading(0), reading(9)) == []
    assert step(8, reading(5)) == []
    assert step(9) == [(0, "s", 3, "on_time 1")]
    assert step(9, reading(1)) == [(0, "s", 4, "late 2")]
    assert step(11, reading(2), reading(3), reading(4, "new")) == [(0, "s", 6, "late 3"), (0, "new", 1, "late 1")]
    assert step(12, reading(6)) == []
    assert shard.late == [("s@6", "w10o0sensor")]
    assert step(19, reading(19)) == [(10, "s", 1, "late 1")]
    assert shard.late == [("s@6", "w10o0sensor")]


def test_a_reading_of_sliding_windows_is_late_only_when_all_of_them_are_gone() -> None:
    """Size 10, slide 5: a reading of 7 is in [0, 10) and [5, 15)."""
    for watermark_ms, late, partly in [
        (8, [], []),
        (9, [], [("s@7", "w10s5o0sensor", (0,))]),
        (13, [], [("s@7", "w10s5o0sensor", (0,))]),
        (14, [("s@7", "w10s5o0sensor")], []),
    ]:
        shard = run([stream(sliding(10, 5))], [watermark_ms, [reading(7)]])
        assert (shard.late, shard.partly_late) == (late, partly), watermark_ms
        assert len(shard.results) == (0 if late else 2 - len(partly))


def test_each_definition_judges_a_reading_by_its_own_windows() -> None:
    shard = run([stream(tumbling(10), tumbling(100))], [50, [reading(7)]])
    assert shard.late == [("s@7", "w10o0sensor")]
    assert [(r.definition, r.row.number) for r in shard.results] == [("w100o0sensor", 1)]


def test_each_stream_has_its_own_allowed_lateness() -> None:
    streams = [stream(tumbling(10), name="strict"), stream(tumbling(10), name="lenient", lateness_ms=100)]
    shard = run(streams, [50, [reading(7, "a", stream="strict"), reading(7, "b", stream="lenient")]])
    assert shard.late == [("a@7", "w10o0sensor")]
    assert [r.key for r in shard.results] == ["b"]


def test_an_idle_watermark_holds_every_window_open() -> None:
    shard = WindowShard([stream(tumbling(10))])
    for time_ms in range(0, 10_000, 7):
        shard.add(reading(time_ms))
    assert not shard.results
    assert not shard.late
    shard.advance(END)
    assert sum(r.row.number for r in shard.results) == len(range(0, 10_000, 7))


# --- against the textbook ---


@given(scripts(), st.sampled_from([0, 1, 5]))
def test_windows_are_those_of_the_textbook(script: Script, lateness_ms: int) -> None:
    streams = [stream(*DEFINITIONS, lateness_ms=lateness_ms)]
    shard, textbook = run(streams, script), Textbook(streams)
    play(textbook, script)
    assert_rows_equal(shard.rows, textbook.rows)
    assert shard.late == textbook.late
    assert shard.partly_late == textbook.partly_late
    assert_revisions_increase(shard.results)


@given(st.data(), scripts(), st.sampled_from([0, 1, 5]))
def test_how_readings_are_cut_into_frames_changes_no_final_row(
    data: st.DataObject, script: Script, lateness_ms: int
) -> None:
    streams = [stream(*DEFINITIONS, lateness_ms=lateness_ms)]
    one_by_one, framed = run(streams, script), run(streams, data.draw(frame_cuts(script)))
    assert_rows_equal(framed.rows, one_by_one.rows)
    assert framed.late == one_by_one.late
    assert framed.partly_late == one_by_one.partly_late
    assert_revisions_increase(framed.results)


def test_a_frame_coalesces_the_firings_of_its_readings() -> None:
    shard = WindowShard([stream(sliding(10, 5), lateness_ms=100)])
    shard.advance(50)
    shard.add(*(reading(time_ms) for time_ms in range(10)))
    assert [(r.start_ms, r.row.number, r.revision) for r in shard.results] == [(0, 10, 1), (-5, 5, 1), (5, 5, 1)]


@given(scripts(), st.sampled_from([0, 1, 5]))
def test_every_reading_is_windowed_or_late_in_each_definition(script: Script, lateness_ms: int) -> None:
    shard = run([stream(*DEFINITIONS, lateness_ms=lateness_ms)], script)
    for definition in DEFINITIONS:
        pairs = sum(len(brute_force_windows(r.event_time_ms, definition)) for r in readings_of(script))
        windowed = sum(row.number for of, row in shard.rows.items() if of[0] == definition.name)
        late = [e for e, d in shard.late if d == definition.name]
        by_id = {r.event_id: r for r in readings_of(script)}
        missed = sum(len(brute_force_windows(by_id[e].event_time_ms, definition)) for e in late)
        missed += sum(len(starts) for _, d, starts in shard.partly_late if d == definition.name)
        assert windowed + missed == pairs


@given(st.data(), scripts())
def test_cells_split_over_frames_merge_to_the_same_sensors(data: st.DataObject, script: Script) -> None:
    shard = WindowShard([stream(tumbling(10_000, offset_ms=-5_000, key="cell"))])
    frames = [step for step in data.draw(frame_cuts(script)) if isinstance(step, list)]
    sensors = {r.sensor_id for frame in frames for r in frame if r.cell == "x"}
    found: set[str] = set()
    for frame in frames:
        shard.add(*frame)
        shard.restart()
    for firing in shard.windows.advance(shard.store, END).firings:
        if firing.aggregate.key == "x":
            found.update(firing.aggregate.sensors)
    assert found == sensors


# --- restores ---


@given(st.data(), scripts(), st.sampled_from([0, 1, 5]))
def test_a_restore_anywhere_gives_the_same_rows_once_the_watermark_is_announced_again(
    data: st.DataObject, script: Script, lateness_ms: int
) -> None:
    streams = [stream(*DEFINITIONS, lateness_ms=lateness_ms)]
    shard = WindowShard(streams)
    for step in data.draw(frame_cuts(script)):
        if data.draw(st.booleans()):
            watermark_ms = shard.watermark_ms
            shard.restart()
            shard.advance(watermark_ms)
        play(shard, [step])
    shard.advance(END)
    whole = run(streams, script)
    assert_rows_equal(shard.rows, whole.rows)
    assert shard.late == whole.late
    assert shard.partly_late == whole.partly_late
    assert_revisions_increase(shard.results)


@given(st.data(), scripts(), st.sampled_from([0, 1, 5]))
def test_a_restore_with_a_watermark_from_the_start_loses_doubles_and_reopens_nothing(
    data: st.DataObject, script: Script, lateness_ms: int
) -> None:
    """Flink's watermark starts at -2^63 again, so more readings may be in time than without it, never fewer."""
    streams = [stream(*DEFINITIONS, lateness_ms=lateness_ms)]
    shard = WindowShard(streams)
    for step in script:
        if data.draw(st.booleans()):
            shard.restart()
        play(shard, [step])
    shard.advance(END)
    assert_consistent(shard, script)
    assert set(shard.late) <= set(run(streams, script).late)


@given(st.data(), scripts(), st.sampled_from([0, 1, 5]))
def test_a_shard_touched_at_its_last_watermark_judges_by_it_after_a_restore(
    data: st.DataObject, script: Script, lateness_ms: int
) -> None:
    """Without any new watermark: what is late is what would have been late."""
    streams = [stream(*DEFINITIONS, lateness_ms=lateness_ms)]
    cut = data.draw(st.integers(0, len(script)))
    before = script[:cut]
    after: Script = [step for step in script[cut:] if isinstance(step, list)]
    last_ms = max((step for step in before if isinstance(step, int)), default=0)
    before.append(last_ms)
    before.append([reading(last_ms + 20, event_id="touch")])
    shard = WindowShard(streams)
    play(shard, before)
    shard.restart()
    play(shard, after)
    shard.advance(END)
    whole = run(streams, before + after)
    assert_rows_equal(shard.rows, whole.rows)
    assert shard.late == whole.late
    assert shard.partly_late == whole.partly_late


def test_a_purged_window_stays_purged_after_a_restore() -> None:
    shard = WindowShard([stream(tumbling(10))])
    shard.add(reading(5))
    shard.advance(9)
    shard.restart()
    shard.add(reading(6))
    assert shard.late == [("s@6", "w10o0sensor")]
    assert shard.judged_at_ms == [9]
    shard.advance(END)
    assert [(r.row.number, r.revision) for r in shard.results] == [(1, 1)]


@given(st.data(), scripts(), st.lists(st.sampled_from([0, 1, 5, 20]), min_size=2, max_size=4))
@example(None, [[reading(0)], 7, [reading(1, "b")]], [0, 20])
def test_a_changed_allowed_lateness_loses_doubles_and_reopens_nothing(
    data: st.DataObject | None, script: Script, lateness_ms: list[int]
) -> None:
    shard = WindowShard([stream(*DEFINITIONS, lateness_ms=lateness_ms[0])])
    cuts = sorted(data.draw(st.integers(0, len(script))) if data else 2 for _ in lateness_ms[1:])
    for cut, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(script)], strict=True)):
        if cut:
            watermark_ms = shard.watermark_ms
            shard.restart(with_lateness(shard.streams, lateness_ms[cut]))
            if data is None or data.draw(st.booleans()):
                shard.advance(watermark_ms)
        play(shard, script[start:stop])
    shard.advance(END)
    assert_consistent(shard, script)


@pytest.mark.parametrize(
    ("old_ms", "new_ms", "late", "rows"),
    [
        (0, 50, ["s@6"], [(1, 1)]),
        (50, 0, ["s@6"], [(1, 1)]),
        (30, 50, [], [(1, 1), (2, 2)]),
        (50, 30, [], [(1, 1), (2, 2)]),
    ],
)
def test_allowed_lateness_after_an_upgrade(
    old_ms: int, new_ms: int, late: list[str], rows: list[tuple[int, int]]
) -> None:
    """A window that was purged before stays purged; one that was kept lives as long as the new figure says."""
    shard = WindowShard([stream(tumbling(10), lateness_ms=old_ms)])
    shard.add(reading(5))
    shard.advance(20)
    shard.restart(with_lateness(shard.streams, new_ms))
    shard.advance(20)
    shard.add(reading(6))
    assert [event_id for event_id, _ in shard.late] == late
    shard.advance(9 + new_ms)
    shard.add(reading(7))
    assert shard.late[-1] == ("s@7", "w10o0sensor")
    shard.advance(END)
    assert [(r.row.number, r.revision) for r in shard.results] == rows
    assert_forgotten(shard)


@given(st.data(), scripts())
def test_definitions_come_and_go_without_touching_the_others(data: st.DataObject, script: Script) -> None:
    """A removed definition's open windows still fire, at their time; an added one starts with what comes."""
    before, after = list(DEFINITIONS[:4]), list(DEFINITIONS[2:])
    cut = data.draw(st.integers(0, len(script)))
    shard = WindowShard([stream(*before)])
    play(shard, script[:cut])
    watermark_ms = shard.watermark_ms
    shard.restart([stream(*after)])
    shard.advance(watermark_ms)
    play(shard, script[cut:])
    shard.advance(END)
    whole = run([stream(*DEFINITIONS)], script)
    kept, removed, added = DEFINITIONS[2:4], DEFINITIONS[:2], DEFINITIONS[4:]
    for definition in kept:
        assert_rows_equal(_rows_of(shard, definition), _rows_of(whole, definition))
        assert _late_of(shard, definition) == _late_of(whole, definition)
    upto, since = run([stream(*removed)], script[:cut]), WindowShard([stream(*added)])
    since.advance(watermark_ms)
    play(since, script[cut:])
    since.advance(END)
    for definition in removed:
        assert_rows_equal(_rows_of(shard, definition), _rows_of(upto, definition))
    for definition in added:
        assert_rows_equal(_rows_of(shard, definition), _rows_of(since, definition))
    assert_forgotten(shard)


def test_the_open_windows_of_a_removed_stream_still_fire() -> None:
    shard = WindowShard([stream(tumbling(10), lateness_ms=50), stream(tumbling(10), name="other")])
    shard.add(reading(5))
    shard.restart([stream(tumbling(10), name="other")])
    shard.advance(9)
    assert [(r.row.number, r.timing) for r in shard.results] == [(1, "on_time")]
    shard.advance(END)
    assert len(shard.results) == 1
    assert_forgotten(shard)


def test_a_definition_of_another_size_does_not_inherit_what_was_purged() -> None:
    shard = WindowShard([stream(tumbling(10))])
    shard.add(reading(35))
    shard.advance(39)
    shard.restart([stream(replace(tumbling(100), name="w10o0sensor"))])
    shard.add(reading(36))
    shard.advance(END)
    assert [(r.end_ms - r.start_ms, r.row.number) for r in shard.results] == [(10, 1), (100, 1)]


# --- early firing ---


@given(st.data(), scripts(), st.sampled_from([0, 5]), st.integers(1, 9))
def test_early_results_are_marked_and_never_final(
    data: st.DataObject, script: Script, lateness_ms: int, every_ms: int
) -> None:
    early = [replace(d, early_every_ms=every_ms) for d in DEFINITIONS]
    shard = WindowShard([stream(*early, lateness_ms=lateness_ms)])
    for step in data.draw(frame_cuts(script)):
        if data.draw(st.booleans()):
            watermark_ms = shard.watermark_ms
            shard.restart()
            shard.advance(watermark_ms)
        play(shard, [step])
    shard.advance(END)
    whole = run([stream(*DEFINITIONS, lateness_ms=lateness_ms)], script)
    assert_rows_equal(shard.rows, whole.rows)
    assert shard.late == whole.late
    assert_revisions_increase(shard.results)
    closed = set()
    for result in shard.results:
        if result.timing == "early":
            assert result.of not in closed, "provisional after final"
        else:
            closed.add(result.of)
    assert closed == set(shard.final)
    assert_forgotten(shard)


def test_early_results_come_at_multiples_from_the_start_until_the_end() -> None:
    shard = WindowShard([stream(tumbling(10, offset_ms=2, early_ms=4))])
    shard.add(reading(3))
    fired_at = {}
    for watermark_ms in range(2, 20):
        seen = len(shard.results)
        shard.advance(watermark_ms)
        if shard.results[seen:]:
            fired_at[watermark_ms] = [r.timing for r in shard.results[seen:]]
    assert fired_at == {6: ["early"], 10: ["early"], 11: ["on_time"]}


def test_an_early_firing_overtaken_by_the_watermark_does_not_follow_the_final_result() -> None:
    """A jump fires 4 and 9 in one round; the next early time, 8, reaches the JVM after it."""
    shard = WindowShard([stream(tumbling(10, early_ms=4), lateness_ms=100)])
    shard.add(reading(3))
    shard.advance(50)
    assert [r.timing for r in shard.results] == ["early", "on_time"]


# --- state ---


@given(scripts(), st.sampled_from([0, 5]))
def test_nothing_but_the_index_remains_once_the_watermark_has_passed_everything(
    script: Script, lateness_ms: int
) -> None:
    assert_forgotten(run([stream(*DEFINITIONS, lateness_ms=lateness_ms)], script))


def test_the_index_does_not_grow_with_time() -> None:
    shard = WindowShard([stream(*DEFINITIONS)])
    sizes = []
    for hour in range(1, 200):
        shard.add(*(reading(hour * 1000 + ms, sensor) for ms in (0, 7, 300) for sensor in "abc"))
        shard.advance(hour * 1000 + 900)
        assert shard.store.data.keys() == {"window/index"}
        sizes.append(len(shard.store.data["window/index"]))
    assert max(sizes[100:]) <= max(sizes[:10]) + 16
    assert shard.timers_ms == set()


def test_compaction_changes_no_row() -> None:
    """More frames than an entry keeps chunks, each in a window that also fires again and again."""
    streams = [stream(tumbling(1000), sliding(1000, 500), lateness_ms=10_000)]
    script: Script = [[reading(n % 1000, value=n / 7)] for n in range(170)]
    script.insert(90, 1200)
    shard, textbook = run(streams, script), Textbook(streams)
    play(textbook, script)
    assert_rows_equal(shard.rows, textbook.rows)
    assert_revisions_increase(shard.results)
    assert_forgotten(shard)


def test_state_of_a_newer_version_is_refused() -> None:
    shard = WindowShard([stream(tumbling(10))])
    shard.add(reading(5))
    index = index_of(shard.store, "window")
    shard.store.data["window/index"] = msgspec.msgpack.encode([2, {"entirely": "different"}, *index[2:]])
    with pytest.raises(IncompatibleState, match="'window' has version 2; this job reads up to 1"):
        shard.restart()


def assert_forgotten(shard: WindowShard) -> None:
    assert shard.store.data.keys() <= {"window/index"}
    if shard.store.data:
        version, _, entries, marks = index_of(shard.store, "window")
        assert (version, entries) == (1, {})
        assert isinstance(marks, dict) and len(marks) <= len(DEFINITIONS)
    assert WindowShard(shard.streams, store=DictStore(dict(shard.store.data))).results == []


def assert_consistent(shard: WindowShard, script: Script) -> None:
    """Whatever happened: revisions increase, and every pair of reading and window is in its final row or missed."""
    assert_revisions_increase(shard.results)
    by_id = {r.event_id: r for r in readings_of(script)}
    missed = {(e, d, start) for e, d, starts in shard.partly_late for start in starts}
    for event_id, name in shard.late:
        definition = next(d for d in DEFINITIONS if d.name == name)
        windows = brute_force_windows(by_id[event_id].event_time_ms, definition)
        missed |= {(event_id, name, start_ms) for start_ms, _ in windows}
    expected: dict[WindowOf, list[float]] = {}
    for definition in DEFINITIONS:
        for one in by_id.values():
            key = {"sensor": one.sensor_id, "cell": one.cell, "region": one.region}[definition.key]
            for start_ms, end_ms in brute_force_windows(one.event_time_ms, definition):
                if (one.event_id, definition.name, start_ms) not in missed:
                    of = (definition.name, start_ms, end_ms, key, one.metric)
                    expected.setdefault(of, []).append(one.value)
    assert {of: row.number for of, row in shard.rows.items()} == {of: len(values) for of, values in expected.items()}
    for of, row in shard.rows.items():
        assert row.mean == pytest.approx(sum(expected[of]) / len(expected[of]), abs=1e-12)
        assert (row.min, row.max) == (min(expected[of]), max(expected[of]))
    assert_forgotten(shard)


def _rows_of(shard: WindowShard, definition: WindowDefinition) -> dict[WindowOf, Row]:
    return {of: row for of, row in shard.rows.items() if of[0] == definition.name}


def _late_of(shard: WindowShard, definition: WindowDefinition) -> list[str]:
    return [event_id for event_id, name in shard.late if name == definition.name]
