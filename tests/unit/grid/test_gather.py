"""Every aligned record is gathered into a frame of its place's shard, or counted as outside, in every grid."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson

from tests.support.grids import END, metric
from tests.support.shards import DictStore
from udfs.grid.clock import ClockRule, Correction
from udfs.grid.frame import GridReadings, unpack
from udfs.grid.gather import Gatherer
from udfs.grid.job import GridJobShard
from udfs.grid.outputs import Outputs
from udfs.grid.rules import FeedRule, GridRule, GridRules, SourceRule
from udfs.layer_file import default_layer
from udfs.series import shard_of

SOURCE = SourceRule("rivers", "rivers.aligned")
MINUTE = 60_000


def grid(name: str = "g", place: Any = "station", **changes: Any) -> GridRule:
    fields = {"period_ms": 5 * MINUTE, "offset_ms": 0, "max_wait_ms": MINUTE, "allowed_lateness_ms": 0}
    return GridRule(name, place, metrics=(metric("level", "as_of", 5 * MINUTE),), **{**fields, **changes})


def rules(*grids: GridRule, **changes: Any) -> GridRules:
    return GridRules(grids or (grid(),), (SOURCE,), changes.pop("clock", ClockRule()), changes.pop("shards", 4))


def record(sensor: str = "s", time_ms: int = 0, **changes: Any) -> bytes:
    fields = {
        "event_id": f"{sensor}-{time_ms}", "sensor_id": sensor, "metric": "level", "value": 1.5, "unit": "m",
        "event_time_ms": time_ms, "append_time_ms": time_ms + 900, "ingest_time_ms": time_ms + 100, "lon_deg": -2.1,
        "lat_deg": 57.1, "stream": "rivers", "cell": "c1", "region": "grampian", "x": 0.0, "attributes": {"a": 1},
    }  # fmt: skip
    return orjson.dumps({**fields, **changes})


def gather(of: GridRules, *records: bytes) -> dict[int, GridReadings]:
    frames = Gatherer(of, SOURCE).gather(records, [0] * len(records), range(len(records)), [7] * len(records))
    return {shard: unpack(frame) for shard, frame in frames}


def classes(frames: dict[int, GridReadings]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for readings in frames.values():
        found.update((readings.lanes[lane].grid, "in") for lane in readings.lane)
        for name, _, kind, count in readings.tallies:
            found[name, kind] += count
    return found


def test_readings_go_to_the_shard_of_their_place_with_their_columns() -> None:
    frames = gather(rules(), record("a", 5), record("b", 6))
    assert set(frames) == {shard_of("a", 4), shard_of("b", 4)}
    readings = frames[shard_of("b", 4)]
    (row,) = [i for i, lane in enumerate(readings.lane) if readings.lanes[lane].place == "b"]
    assert (readings.time_ms[row], readings.value[row], readings.offset[row], readings.append_ms[row]) == (6, 1.5, 1, 7)
    assert readings.raw[row] == record("b", 6)


def test_places_are_stations_boxes_cells_regions_or_watersheds() -> None:
    layer = default_layer("watersheds").decode()
    for place, expected in {"station": "box", "cell": "c1", "region": "grampian"}.items():
        of = rules(grid(place=place, pairs=(("s", "box"),)))
        (readings,) = gather(of, record()).values()
        assert readings.lanes[0].place == expected
    watershed = rules(grid(place="watershed", layer=layer))
    assert classes(gather(watershed, record(lon_deg=-170.0, lat_deg=-80.0))) == {("g", "no_place"): 1}


def test_what_no_row_can_have_is_counted_in_every_grid() -> None:
    of = rules(grid("one"), grid("two", place="cell"))
    records = (
        record(), record(metric="rain"), record(unit="ft"), record(cell=None), b"{", b"null",
        record(event_time_ms="now"), record(value=None),
    )  # fmt: skip
    assert classes(gather(of, *records)) == {
        ("one", "in"): 2, ("one", "no_metric"): 1, ("one", "other_unit"): 1, ("one", "unreadable"): 4,
        ("two", "in"): 1, ("two", "no_metric"): 1, ("two", "other_unit"): 1, ("two", "unreadable"): 4,
        ("two", "no_place"): 1,
    }  # fmt: skip


def test_a_batch_of_nothing_usable_is_counted_all_the_same() -> None:
    assert classes(gather(rules(), b"")) == {("g", "unreadable"): 1}


def test_a_clock_is_corrected_when_the_configuration_says_so_and_the_row_says_it() -> None:
    of = rules(clock=ClockRule(corrections=(Correction("s", ahead_ms=2_000),)))
    (readings,) = gather(of, record("s", 10 * MINUTE)).values()
    assert (readings.time_ms[0], readings.correction_ms[0]) == (10 * MINUTE - 2_000, -2_000)
    (row, *_) = published(of, [record("s", 10 * MINUTE)])["grid"]
    assert row["values"]["level"]["clock_corrections_ms"] == [-2_000]
    assert row["values"]["level"]["last_event_time_ms"] == 10 * MINUTE - 2_000


def published(of: GridRules, *batches: list[bytes], watermark_ms: int = -(2**63)) -> dict[str, list[dict[str, Any]]]:
    """Frames of batches through the keyed part of the job; what it publishes, by sink."""
    outputs, shards, gatherer = Outputs(of), {}, Gatherer(of, SOURCE)
    stores: dict[int, DictStore] = {}
    for batch in batches:
        frames = gatherer.gather(batch, [0] * len(batch), range(len(batch)), [7] * len(batch))
        for shard, frame in frames:
            store = stores.setdefault(shard, DictStore())
            if shard not in shards:
                shards[shard] = GridJobShard(of, store, outputs)
            shards[shard].add(store, unpack(frame), watermark_ms)
    for shard, job in shards.items():
        job.advance(stores[shard], END)
    found: dict[str, list[dict[str, Any]]] = {}
    for sink, _, records in outputs.take():
        found.setdefault(sink, []).extend(map(orjson.loads, records))
    return found


def test_the_accounts_add_up_to_what_was_read() -> None:
    of = rules(grid("one"), grid("two", place="cell"))
    batches = [[record(s, t * MINUTE) for s in "abc"] + [record(metric="rain"), b"?"] for t in range(20)]
    counts: dict[str, Counter[str]] = {"one": Counter(), "two": Counter()}
    for tally in published(of, *batches, watermark_ms=30 * MINUTE)["grid_accounting"]:
        assert (tally["source"], tally["topic"]) == ("rivers", "rivers.aligned")
        counts[tally["grid"]].update(tally["counts"])
    assert counts["one"] == counts["two"] == {"late": 60, "no_metric": 20, "unreadable": 20}


def test_a_late_reading_has_a_dead_letter_with_watermark_and_lateness() -> None:
    (letter,) = published(rules(), [record("s", 3 * MINUTE)], watermark_ms=30 * MINUTE)["late_grid"]
    assert (letter["reason"], letter["stage"], letter["definition"]) == ("late", "grid", "g")
    assert (letter["topic"], letter["partition"], letter["offset"]) == ("rivers.aligned", 0, 0)
    assert (letter["watermark_ms"], letter["lateness_ms"], letter["replayable"]) == (30 * MINUTE, 27 * MINUTE, False)
    assert letter["payload_bytes"] == len(record("s", 3 * MINUTE))


def test_each_complete_span_of_delays_brings_an_estimate_of_the_sensors_clock() -> None:
    found = published(rules(grid(), grid("again")), [record("s", t * MINUTE) for t in range(60)])["clocks"]
    assert [c["spans"] for c in found] == [3, 4, 5]  # once, although two grids take the reading
    assert {(c["sensor_id"], c["source"], c["ahead_ms"], c["correction_ms"]) for c in found} == {
        ("s", "rivers", -900.0, 0)
    }


def test_feeds_are_told_by_source_and_by_patterns_of_sensor_ids() -> None:
    feeds = (FeedRule("own", sensors=("own-*",)), FeedRule("all", sources=("rivers",)))
    frames = gather(rules(grid(feeds=feeds)), record("own-1"), record("x"))
    assert {lane.sensor_id: lane.feed for f in frames.values() for lane in f.lanes} == {"own-1": 0, "x": 1}
