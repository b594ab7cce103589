"""Scripts of readings and watermarks, played through shards, and what must hold after any of them.

A script is a list of frames (lists of readings) and watermarks (int). With windows of a few milliseconds most random
times are on or beside a boundary.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import strategies as st

from tests.support.shards import (
    END,
    DedupShard,
    DictStore,
    Result,
    Row,
    Textbook,
    WindowOf,
    WindowShard,
    index_of,
    reading,
    sliding,
    tumbling,
)
from udfs.frame import Row as Reading
from udfs.rules import StreamRule

Script = list[list[Reading] | int]

DEFINITIONS = (
    tumbling(8),
    tumbling(8, offset_ms=3),
    sliding(8, 4),
    sliding(7, 3, offset_ms=-2),
    tumbling(8, key="cell"),
    sliding(10, 5, key="region"),
)


@st.composite
def window_scripts(draw: st.DrawFn, steps: int = 25) -> Script:
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


def play(shard: WindowShard | Textbook | DedupShard, script: Script) -> None:
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


def readings_of(script: Script) -> list[Reading]:
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


def assert_only_the_index_remains(store: DictStore, kind: str, most_marks: int) -> None:
    assert {name for name in store.data if name.startswith(f"{kind}/")} <= {f"{kind}/index", f"{kind}/watermark"}
    if f"{kind}/index" in store.data:
        _, names, marks = index_of(store, kind)
        assert names == []
        assert isinstance(marks, dict)
        assert len(marks) <= most_marks


def assert_windows_forgotten(shard: WindowShard) -> None:
    assert_only_the_index_remains(shard.store, "window", len(DEFINITIONS))
    assert_only_the_index_remains(shard.store, "fired", 0)
    assert WindowShard(shard.streams, store=DictStore(dict(shard.store.data))).results == []
