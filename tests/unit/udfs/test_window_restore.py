"""Laws of the windows' state: restores, upgrades of a deployment, and what is forgotten."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import example, given
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
    Row,
    Textbook,
    WindowOf,
    WindowShard,
    brute_force_windows,
    reading,
    sliding,
    stream,
    tumbling,
    with_lateness,
)
from udfs.frame import Station
from udfs.rules import WindowDefinition
from udfs.shard_log import INDEX_VERSION, IncompatibleState

# --- restores ---


@given(st.data(), window_scripts(), st.sampled_from([0, 1, 5]))
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


@given(st.data(), window_scripts(), st.sampled_from([0, 1, 5]))
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


@given(st.data(), window_scripts(), st.sampled_from([0, 1, 5]))
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


@given(st.data(), window_scripts(), st.lists(st.sampled_from([0, 1, 5, 20]), min_size=2, max_size=4))
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
    assert_windows_forgotten(shard)


@given(st.data(), window_scripts())
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
    assert_windows_forgotten(shard)


def test_the_open_windows_of_a_removed_stream_still_fire() -> None:
    shard = WindowShard([stream(tumbling(10), lateness_ms=50), stream(tumbling(10), name="other")])
    shard.add(reading(5))
    shard.restart([stream(tumbling(10), name="other")])
    shard.advance(9)
    assert [(r.row.number, r.timing) for r in shard.results] == [(1, "on_time")]
    shard.advance(END)
    assert len(shard.results) == 1
    assert_windows_forgotten(shard)


def test_a_definition_of_another_size_does_not_inherit_what_was_purged() -> None:
    shard = WindowShard([stream(tumbling(10))])
    shard.add(reading(35))
    shard.advance(39)
    shard.restart([stream(replace(tumbling(100), name="w10o0sensor"))])
    shard.add(reading(36))
    shard.advance(END)
    assert [(r.end_ms - r.start_ms, r.row.number) for r in shard.results] == [(10, 1), (100, 1)]


# --- state ---


@given(window_scripts(), st.sampled_from([0, 5]))
def test_nothing_but_the_index_remains_once_the_watermark_has_passed_everything(
    script: Script, lateness_ms: int
) -> None:
    assert_windows_forgotten(run([stream(*DEFINITIONS, lateness_ms=lateness_ms)], script))


def test_the_index_does_not_grow_with_time() -> None:
    shard = WindowShard([stream(*DEFINITIONS)])
    sizes = []
    for hour in range(1, 200):
        shard.add(*(reading(hour * 1000 + ms, sensor) for ms in (0, 7, 300) for sensor in "abc"))
        shard.advance(hour * 1000 + 900)
        assert shard.store.data.keys() == {"window/index", "window/watermark"}
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
    assert_windows_forgotten(shard)


def test_state_of_a_newer_version_is_refused() -> None:
    shard = WindowShard([stream(tumbling(10))])
    shard.add(reading(5))
    newer = INDEX_VERSION + 1
    shard.store.data["window/index"] = msgspec.msgpack.encode([newer, {"entirely": "different"}])
    with pytest.raises(IncompatibleState, match=f"'window' has version {newer}; this job reads {INDEX_VERSION}"):
        shard.restart()


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
            key = _key_of(one.station, definition)
            for start_ms, end_ms in brute_force_windows(one.event_time_ms, definition):
                if (one.event_id, definition.name, start_ms) not in missed:
                    of = (definition.name, start_ms, end_ms, key, one.station.metric)
                    expected.setdefault(of, []).append(one.value)
    assert {of: row.number for of, row in shard.rows.items()} == {of: len(values) for of, values in expected.items()}
    for of, row in shard.rows.items():
        assert row.mean == pytest.approx(sum(expected[of]) / len(expected[of]), abs=1e-12)
        assert (row.min, row.max) == (min(expected[of]), max(expected[of]))
    assert_windows_forgotten(shard)


def _rows_of(shard: WindowShard, definition: WindowDefinition) -> dict[WindowOf, Row]:
    return {of: row for of, row in shard.rows.items() if of[0] == definition.name}


def _late_of(shard: WindowShard, definition: WindowDefinition) -> list[str]:
    return [event_id for event_id, name in shard.late if name == definition.name]


def _key_of(station: Station, definition: WindowDefinition) -> str:
    return {"sensor": station.sensor_id, "cell": station.cell, "region": station.region}[definition.key]
