"""The workload is the same for the same seed, and is what it says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import orjson
import pytest

from benchmarks.positions import Positions
from benchmarks.settings import Work
from benchmarks.work import Refused, read
from benchmarks.workload import LATE_MS, Kind, Record, Renderer, Workload, blocks, ending_at, sites

WHOLE = Workload("whole", count=70_000, start_ms=1_790_000_000_000)
WINDOWS = replace(WHOLE, work="windows")
REASONS = {
    Kind.TRUNCATED: "malformed_json",
    Kind.LATITUDE_95: "position_out_of_range",
    Kind.UNKNOWN_METRIC: "unknown_metric",
    Kind.TEXT_FOR_VALUE: "wrong_type",
}


def records(workload: Workload, process: int = 0, processes: int = 1) -> list[Record]:
    renderer = Renderer(workload)
    return list(chain.from_iterable(renderer.render(block, process, processes) for block in blocks(workload)))


def column(workload: Workload, name: str) -> npt.NDArray[np.int64]:
    return np.concatenate([getattr(block, name) for block in blocks(workload)])


def test_the_same_parameters_give_the_same_bytes() -> None:
    few = replace(WHOLE, count=5_000)
    assert records(few) == records(few)
    assert records(few) != records(replace(few, seed=2))


def test_a_longer_run_begins_as_a_shorter_one() -> None:
    assert records(replace(WHOLE, count=70_000))[:66_000] == records(replace(WHOLE, count=66_000))


def test_processes_share_the_partitions_and_keep_their_order() -> None:
    few = replace(WHOLE, count=5_000)
    whole = records(few)
    for process in range(2):
        assert records(few, process, 2) == [r for r in whole if r.partition % 2 == process]


@pytest.mark.parametrize("work", ["windows", "whole"])
def test_shares_are_as_told(work: Work) -> None:
    workload = replace(WHOLE, work=work)
    delay_ms = column(workload, "ingest_ms") - column(workload, "event_ms")
    kind = column(workload, "kind")
    own = kind != Kind.DUPLICATE
    assert np.mean((delay_ms[own] > 0) & (delay_ms[own] <= 20_000)) == pytest.approx(0.10, abs=0.01)
    assert np.mean(delay_ms[own] == LATE_MS) == pytest.approx(0.005, abs=0.001)
    assert np.mean(kind == Kind.DUPLICATE) == pytest.approx(0.01 if work == "whole" else 0.0, abs=0.002)
    assert np.mean(kind > Kind.DUPLICATE) == pytest.approx(0.001 if work == "whole" else 0.0, abs=0.0005)


def test_both_works_have_the_same_times_and_places() -> None:
    good = column(WHOLE, "kind") != Kind.DUPLICATE
    assert np.array_equal(column(WHOLE, "event_ms")[good], column(WINDOWS, "event_ms")[good])
    assert [(s.x, s.y) for s in sites(WHOLE)] == [(s.x, s.y) for s in sites(WINDOWS)]


def test_a_duplicate_repeats_a_record_before_it_in_its_partition() -> None:
    seen: set[tuple[int, bytes]] = set()
    for kind, record in zip(column(WHOLE, "kind").tolist(), records(WHOLE), strict=True):
        assert ((record.partition, record.value) in seen) == (kind == Kind.DUPLICATE)
        seen.add((record.partition, record.value))


def test_only_the_spoilt_records_are_refused_and_each_for_its_reason() -> None:
    positions = Positions()
    for kind, record in zip(column(WHOLE, "kind").tolist(), records(WHOLE), strict=True):
        reason = None
        try:
            read(record.value, dict(record.headers), WHOLE.end_ms, positions)
        except Refused as refused:
            reason = refused.args[0]
        assert reason == REASONS.get(Kind(kind))


def test_every_sensor_stands_still_and_every_crs_occurs() -> None:
    places: dict[str, set[tuple[str, float, float]]] = {}
    for record in records(replace(WINDOWS, count=5_000)):
        reading = orjson.loads(record.value)
        places.setdefault(reading["sensor_id"], set()).add((reading["crs"], reading["x"], reading["y"]))
    assert len(places) == 1_000
    assert all(len(of_one) == 1 for of_one in places.values())
    assert {crs for of_one in places.values() for crs, _, _ in of_one} == {"EPSG:27700", "EPSG:25832", "EPSG:4326"}


def test_a_hot_cell_has_its_share_and_partitions_stay_even() -> None:
    positions = Positions()
    hot = replace(WINDOWS, hot_share=0.5)
    cells = Counter(positions.locate(s.crs, float(s.x), float(s.y)).cell for s in sites(hot))
    assert cells.most_common(1)[0][1] == 500
    partitions = Counter(record.partition for record in records(replace(hot, count=4_000)))
    assert all(count == pytest.approx(1_000, rel=0.05) for count in partitions.values())


def test_a_run_can_end_at_a_given_time() -> None:
    assert ending_at(WHOLE, 1_795_000_000_000).end_ms == 1_795_000_000_000
