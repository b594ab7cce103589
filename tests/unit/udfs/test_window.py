"""Laws of event-time windows: assignment, lateness on both sides of every boundary, revisions, early results."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.scripts import (
    DEFINITIONS,
    Script,
    assert_revisions_increase,
    assert_rows_equal,
    assert_windows_forgotten,
    frame_cuts,
    play,
    readings_of,
    run,
    window_scripts,
)
from tests.support.shards import (
    END,
    Textbook,
    WindowShard,
    brute_force_windows,
    reading,
    sliding,
    stream,
    tumbling,
)
from udfs.frame import Row as Reading
from udfs.pane import Pane, windows_of
from udfs.rules import WindowDefinition

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
def test_a_pane_is_found_again_by_its_name(start_ms: int, size_ms: int) -> None:
    pane = Pane("air-quality_2", "5min", size_ms, size_ms, -3, start_ms)
    assert Pane.parse(pane.name) == pane


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

    def step(watermark_ms: int, *readings: Reading) -> list[tuple[int, str, int, str]]:
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


@given(window_scripts(), st.sampled_from([0, 1, 5]))
def test_windows_are_those_of_the_textbook(script: Script, lateness_ms: int) -> None:
    streams = [stream(*DEFINITIONS, lateness_ms=lateness_ms)]
    shard, textbook = run(streams, script), Textbook(streams)
    play(textbook, script)
    assert_rows_equal(shard.rows, textbook.rows)
    assert shard.late == textbook.late
    assert shard.partly_late == textbook.partly_late
    assert_revisions_increase(shard.results)


@given(st.data(), window_scripts(), st.sampled_from([0, 1, 5]))
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


@given(window_scripts(), st.sampled_from([0, 1, 5]))
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


@given(st.data(), window_scripts())
def test_cells_split_over_frames_merge_to_the_same_sensors(data: st.DataObject, script: Script) -> None:
    shard = WindowShard([stream(tumbling(10_000, offset_ms=-5_000, key="cell"))])
    frames = [step for step in data.draw(frame_cuts(script)) if isinstance(step, list)]
    sensors = {r.station.sensor_id for frame in frames for r in frame if r.station.cell == "x"}
    found: set[str] = set()
    for frame in frames:
        shard.add(*frame)
        shard.restart()
    for firing in shard.windows.advance(shard.store, END).firings:
        if firing.aggregate.key == "x":
            found.update(firing.aggregate.sensors)
    assert found == sensors


# --- early firing ---


@given(st.data(), window_scripts(), st.sampled_from([0, 5]), st.integers(1, 9))
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
    assert_windows_forgotten(shard)


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
    """A jump past 4, 8 and 9."""
    shard = WindowShard([stream(tumbling(10, early_ms=4), lateness_ms=100)])
    shard.add(reading(3))
    shard.advance(50)
    assert [r.timing for r in shard.results] == ["on_time"]
