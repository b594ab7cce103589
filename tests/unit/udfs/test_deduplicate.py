"""Laws of deduplication: the first stays, whatever comes in between, until the watermark has passed it by the TTL."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scripts import Script, assert_only_the_index_remains, frame_cuts, play
from tests.support.shards import END, DedupShard, index_of, reading
from udfs.deduplicate import Seen
from udfs.frame import Row as Reading
from udfs.rules import DedupRule
from udfs.shard_log import INDEX_VERSION, IncompatibleState

RULE = DedupRule(ttl_ms=100, bucket_ms=10)


@st.composite
def scripts(draw: st.DrawFn, advance_ms: int = 40) -> Script:
    """Few ids at few times, so that most readings repeat one; frames of one reading, and watermarks."""
    script: Script = []
    watermark_ms, offset = 0, 0
    for _ in range(draw(st.integers(1, 40))):
        if draw(st.integers(0, 4)) == 0:
            watermark_ms += draw(st.integers(1, advance_ms))
            script.append(watermark_ms)
            continue
        time_ms = watermark_ms + draw(st.integers(-6, 3)) * 20
        sensor = draw(st.sampled_from("ab"))
        content = draw(st.sampled_from([0, 0, 0, 1]))
        script.append([reading(time_ms, sensor, content=content, partition=offset % 3, offset=offset)])
        offset += 1
    return script


def textbook(script: Script, rule: DedupRule) -> DedupShard:
    """The same fates from one dict that forgets nothing, asked only within the horizon."""
    result = DedupShard(rule)
    first: dict[tuple[str, str], Reading] = {}
    watermark_ms = -(2**63)
    for step in script:
        if isinstance(step, int):
            watermark_ms = step
            continue
        for one in step:
            bucket_end_ms = (one.event_time_ms // rule.bucket_ms + 1) * rule.bucket_ms
            if bucket_end_ms + rule.ttl_ms <= watermark_ms:
                result.unique.append((one.offset, True))
                continue
            earlier = first.setdefault((one.station.sensor_id, one.event_id), one)
            if earlier is one:
                result.unique.append((one.offset, False))
            elif earlier.content_digest == one.content_digest:
                result.duplicates.append((one.offset, earlier.offset))
            else:
                result.conflicts.append((one.offset, earlier.offset))
    return result


@given(st.data(), scripts())
def test_the_first_of_each_id_stays_under_any_interleaving_framing_and_restart(
    data: st.DataObject, script: Script
) -> None:
    shard = DedupShard(RULE)
    for step in data.draw(frame_cuts(script)):
        if data.draw(st.booleans()):
            watermark_ms = shard.watermark_ms
            shard.restart()
            shard.advance(watermark_ms)
        play(shard, [step])
    assert shard.fate == textbook(script, RULE).fate


@given(st.data(), scripts(advance_ms=200))
def test_a_restart_without_a_watermark_passes_nothing_twice_unmarked(data: st.DataObject, script: Script) -> None:
    shard = DedupShard(RULE)
    for step in script:
        if data.draw(st.booleans()):
            shard.restart()
        play(shard, [step])
    by_offset = {r.offset: r for step in script if isinstance(step, list) for r in step}
    passed = [(by_offset[o].station.sensor_id, by_offset[o].event_id) for o, beyond in shard.unique if not beyond]
    assert len(passed) == len(set(passed))
    assert len(shard.unique) + len(shard.duplicates) + len(shard.conflicts) == len(by_offset)


def test_a_duplicate_names_partition_and_offset_of_the_first() -> None:
    shard = DedupShard(RULE)
    shard.add(reading(5, partition=2**19, offset=2**43 + 1))
    shard.restart()
    done = shard.add(reading(5, partition=1, offset=7), reading(5, content=1, partition=1, offset=8))
    assert done.unique == []
    assert [(d.row, d.first_partition, d.first_offset) for d in done.duplicates] == [(0, 2**19, 2**43 + 1)]
    assert [(d.row, d.first_partition, d.first_offset) for d in done.conflicts] == [(1, 2**19, 2**43 + 1)]


def test_a_conflict_does_not_replace_the_first() -> None:
    shard = DedupShard(RULE)
    shard.add(reading(5, content=1, offset=1), reading(5, content=2, offset=2), reading(5, content=2, offset=3))
    shard.add(reading(5, content=1, offset=4))
    assert shard.fate == ([(1, False)], [(4, 1)], [(2, 1), (3, 1)])


def test_the_same_id_of_another_sensor_is_another_reading() -> None:
    shard = DedupShard(RULE)
    shard.add(reading(5, "a", event_id="1", offset=1), reading(5, "b", event_id="1", offset=2))
    assert shard.unique == [(1, False), (2, False)]


@pytest.mark.parametrize("time_ms", [0, 9, -1, -10])
@pytest.mark.parametrize(("past_ttl_ms", "beyond"), [(-1, False), (0, True), (1, True)], ids=["before", "at", "after"])
@pytest.mark.parametrize("restarted", [False, True])
def test_an_id_is_remembered_until_the_watermark_has_passed_its_bucket_by_the_ttl(
    time_ms: int, past_ttl_ms: int, beyond: bool, restarted: bool
) -> None:
    shard = DedupShard(RULE)
    shard.add(reading(time_ms, offset=1))
    expires_ms = (time_ms // 10 + 1) * 10 + 100
    shard.advance(expires_ms + past_ttl_ms)
    if restarted:
        shard.restart()
    shard.add(reading(time_ms, offset=2))
    if beyond:
        assert shard.fate == ([(1, False), (2, True)], [], [])
    else:
        assert shard.fate == ([(1, False)], [(2, 1)], [])


@pytest.mark.parametrize(("watermark_ms", "beyond"), [(109, False), (110, True)])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_reading_never_seen_is_marked_when_its_bucket_could_have_been_forgotten(
    watermark_ms: int, beyond: bool, restarted: bool
) -> None:
    shard = DedupShard(RULE)
    shard.advance(watermark_ms)
    shard.add(reading(watermark_ms, offset=1))
    if restarted:
        shard.restart()
    shard.add(reading(5, offset=2))
    assert shard.unique == [(1, False), (2, beyond)]


def test_a_longer_ttl_does_not_bring_back_what_was_forgotten() -> None:
    """It would pass as never seen, unmarked."""
    shard = DedupShard(RULE)
    shard.add(reading(5, offset=1))
    shard.advance(110)
    shard.restart(DedupRule(ttl_ms=1000, bucket_ms=10))
    shard.add(reading(5, offset=2))
    assert shard.unique == [(1, False), (2, True)]


@pytest.mark.parametrize("ttl_ms", [20, 500])
def test_a_changed_ttl_holds_for_what_is_remembered_already(ttl_ms: int) -> None:
    shard = DedupShard(RULE)
    shard.add(reading(5, offset=1), reading(45, offset=2))
    shard.restart(DedupRule(ttl_ms=ttl_ms, bucket_ms=10))
    for watermark_ms in range(0, 600, 7):
        shard.advance(watermark_ms)
    assert_forgotten(shard)


@given(st.data(), st.integers(1, 9))
def test_compaction_and_cooling_change_no_fate(data: st.DataObject, compact_at: int) -> None:
    numbers = data.draw(st.lists(st.integers(0, 60), max_size=120))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("udfs.deduplicate._CHUNKS", compact_at)
        shard = DedupShard(RULE)
        for offset, n in enumerate(numbers):
            shard.add(reading(n, offset=offset))
    whole = textbook([[reading(n, offset=offset)] for offset, n in enumerate(numbers)], RULE)
    assert shard.fate == whole.fate


def test_memory_holds_a_bounded_number_of_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("udfs.deduplicate._WARM_IDS", 40)
    shard = DedupShard(RULE)
    for n in range(100):
        shard.add(*(reading(n * 10, event_id=f"{n}/{m}", offset=m) for m in range(10)))
    assert list(shard.deduplicator._log.warm) == ["96", "97", "98", "99"]
    shard.add(reading(50, event_id="5/3"))  # a late repeat finds its bucket in the state
    assert shard.duplicates == [(0, 3)]
    assert list(shard.deduplicator._log.warm)[-1] == "5"


@given(scripts())
def test_nothing_but_the_index_remains_once_the_watermark_has_passed_everything(script: Script) -> None:
    shard = DedupShard(RULE)
    play(shard, script)
    shard.advance(END)
    assert_forgotten(shard)


def test_state_does_not_grow_with_time() -> None:
    shard = DedupShard(RULE)
    sizes = []
    for n in range(1000):
        shard.add(reading(n * 10, "a"), reading(n * 10, "b"))
        shard.advance(n * 10)
        sizes.append(sum(map(len, shard.store.data.values())))
    assert max(sizes[500:]) <= max(sizes[:100]) + 64
    assert len(shard.store.data) <= 1 + (100 + 10) // 10 + 1
    assert len(shard.timers_ms) <= 12


def test_state_of_a_newer_version_is_refused() -> None:
    shard = DedupShard(RULE)
    shard.add(reading(5))
    newer = INDEX_VERSION + 1
    shard.store.data["dedup/index"] = msgspec.msgpack.encode([newer, *index_of(shard.store, "dedup")[1:]])
    with pytest.raises(IncompatibleState, match=f"'dedup' has version {newer}; this job reads {INDEX_VERSION}"):
        shard.restart()


def assert_forgotten(shard: DedupShard) -> None:
    assert_only_the_index_remains(shard.store, "dedup", 1)


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), min_size=1, max_size=30))
def test_a_bucket_finds_all_of_its_ids_and_no_others(frames: list[list[int]]) -> None:
    seen, model = Seen(), dict[int, tuple[int, int]]()
    for number, ids in enumerate(frames):
        asked = np.array(sorted(set(ids)), np.uint64)
        originals = np.zeros((len(asked), 2), np.uint64)
        found = seen.find(asked, originals)
        assert found.tolist() == [i in model for i in asked.tolist()]
        assert [tuple(o) for o in originals[found].tolist()] == [model[i] for i in asked[found].tolist()]
        new = asked[~found]
        if len(new):
            seen.add(np.stack((new, new // np.uint64(2), np.full_like(new, number)), axis=1))
            model |= {i: (i // 2, number) for i in new.tolist()}
        assert len(seen) == len(model)
    assert sorted(seen.words().tolist()) == sorted([i, *rest] for i, rest in model.items())
