"""The baselines' windows against a fold by hand."""

from __future__ import annotations

import random
from typing import Any

import pytest

from benchmarks.positions import Position
from benchmarks.settings import WindowDefinition
from benchmarks.windows import Windows

HERE = Position(1.0, 2.0, 3.0, 4.0, "cell", "", None, False, True)
SERIES = ("s1", "air_temperature")
TUMBLING = WindowDefinition("tumbling", 100, 100, 50)
SLIDING = WindowDefinition("sliding", 300, 100, 50)


def final(records: list[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    return {(r["definition"], r["window_start_ms"]): r for r in records}


@pytest.mark.parametrize("seed", range(5))
def test_final_rows_are_the_fold_of_what_was_not_missed(seed: int) -> None:
    chance = random.Random(seed)
    windows = Windows((TUMBLING, SLIDING))
    kept: dict[tuple[str, int], list[float]] = {}
    records: list[dict[str, Any]] = []
    watermark_ms = 0
    for _ in range(400):
        time_ms, value = watermark_ms + chance.randint(-400, 200), chance.uniform(-5, 5)
        missed = windows.add(SERIES, time_ms, value, HERE)
        for definition in (TUMBLING, SLIDING):
            all_gone = True
            for start in range(time_ms // 100 * 100, time_ms - definition.size_ms, -100):
                if start + definition.size_ms - 1 + 50 > windows.watermark_ms:
                    all_gone = False
                    kept.setdefault((definition.name, start), []).append(value)
            assert (definition in missed) == all_gone
        if chance.random() < 0.3:
            watermark_ms += chance.randint(0, 120)
            records += windows.advance(watermark_ms)
    records += windows.close()
    rows = final(records)
    assert {w: r["count"] for w, r in rows.items()} == {w: len(v) for w, v in kept.items()}
    for window, values in kept.items():
        assert rows[window]["mean"] == pytest.approx(sum(values) / len(values))
        assert (rows[window]["min"], rows[window]["max"]) == (min(values), max(values))


def test_revisions_are_numbered_and_the_last_one_has_everything() -> None:
    windows = Windows((TUMBLING,))
    windows.add(SERIES, 10, 1.0, HERE)
    assert [(r["revision"], r["timing"]) for r in windows.advance(99)] == [(1, "on_time")]
    windows.add(SERIES, 20, 2.0, HERE)
    assert [(r["revision"], r["timing"], r["count"]) for r in windows.advance(110)] == [(2, "late", 2)]
    assert windows.advance(149) == []
    assert windows.add(SERIES, 30, 3.0, HERE) == [TUMBLING]
    assert windows.close() == []


def test_a_reading_too_late_for_one_definition_still_enters_the_other() -> None:
    windows = Windows((TUMBLING, SLIDING))
    windows.advance(160)
    assert windows.add(SERIES, 10, 1.0, HERE) == [TUMBLING]
    assert [(r["definition"], r["window_start_ms"]) for r in windows.close()] == [("sliding", 0), ("sliding", -100)]
