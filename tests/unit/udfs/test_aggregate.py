"""Laws of aggregates: whatever the order and the split, the same numbers as numpy over all values at once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.shards import reading
from udfs.aggregate import Aggregate, Partials, Stations, fold, merge
from udfs.frame import Row as Reading
from udfs.frame import decode_frame, encode_frame

values = st.floats(-1e6, 1e6).map(lambda value: round(value, 9))


def partials_of(readings: Sequence[Reading], *, by_place: bool = True) -> Partials:
    """All readings folded at once, as of one key."""
    frame, _ = decode_frame(encode_frame(readings))
    positions = np.array([(s.lon_deg, s.lat_deg, s.x, s.y) for s in frame.stations]).T
    nothing = np.zeros(len(frame.stations), np.int64)
    stations = Stations([("k", "m")], nothing, [s.sensor_id for s in frame.stations], positions)
    rows = np.arange(len(frame))
    [(_, partials)] = fold(frame, rows, np.zeros(len(frame), np.int64), stations, by_place=by_place)
    return partials


def of(readings: Sequence[Reading]) -> Aggregate:
    [aggregate] = partials_of(readings).aggregates()
    return aggregate


@st.composite
def splits(draw: st.DrawFn, readings: Sequence[Reading]) -> Aggregate:
    """The readings in any order, cut into any frames, the frames' partials merged as a tree of any shape."""
    order = draw(st.permutations(readings))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1)))) if len(order) > 1 else []
    parts = [partials_of(order[i:j]) for i, j in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    while len(parts) > 1:
        at = draw(st.integers(0, len(parts) - 2))
        end = draw(st.integers(at + 2, len(parts)))
        parts[at:end] = [merge(parts[at:end])]
    [aggregate] = parts[0].aggregates()
    return aggregate


def assert_like_numpy(aggregate: Aggregate, numbers: Sequence[float]) -> None:
    exact = np.array(numbers, dtype=np.longdouble)
    scale = float(np.abs(exact).max()) or 1.0
    assert aggregate.count == len(numbers)
    assert abs(aggregate.mean - float(exact.mean())) <= 1e-12 * scale
    assert abs(aggregate.std - float(exact.std())) <= 1e-12 * scale
    assert (aggregate.min, aggregate.max) == (min(numbers), max(numbers))


@given(st.data(), st.lists(values, min_size=1, max_size=40))
def test_any_split_in_any_order_equals_numpy(data: st.DataObject, numbers: list[float]) -> None:
    readings = [reading(n, event_id=f"e{n}", value=value) for n, value in enumerate(numbers)]
    assert_like_numpy(data.draw(splits(readings)), numbers)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6, 1e9])
def test_the_standard_deviation_survives_a_large_offset(offset: float) -> None:
    random_numbers = random.Random(1)
    numbers = [offset + random_numbers.gauss(0, 1) for _ in range(1000)]
    aggregate = of([reading(n, value=value) for n, value in enumerate(numbers)])
    assert_like_numpy(aggregate, numbers)
    assert aggregate.std == pytest.approx(float(np.std(numbers)), rel=1e-5)  # sums of squares keep no digit at 1e9


@given(st.floats(-1e9, 1e9), st.integers(1, 60))
def test_the_standard_deviation_of_a_constant_is_zero(value: float, count: int) -> None:
    aggregate = of([reading(n, value=value) for n in range(count)])
    assert (aggregate.mean, aggregate.std) == (value, 0.0)


ties = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.integers(-5, 5)), min_size=1, max_size=12)


@given(st.data(), ties)
@example(None, [(0, "a", 1), (0, "a", 2)])
def test_first_and_last_are_by_event_time_then_event_id(
    data: st.DataObject | None, rows: list[tuple[int, str, int]]
) -> None:
    """Two sensors of a cell may share time and id: then the value decides, so that no order shows through."""
    readings = [reading(time_ms, event_id=event_id, value=float(value)) for time_ms, event_id, value in rows]
    aggregate = data.draw(splits(readings)) if data else of(readings[::-1])
    first, last = min(rows), max(rows)
    assert (aggregate.first_ms, aggregate.first_id, aggregate.first) == (first[0], first[1], float(first[2]))
    assert (aggregate.last_ms, aggregate.last_id, aggregate.last) == (last[0], last[1], float(last[2]))


@given(st.data(), st.floats(-180, 180), st.lists(st.floats(-40, 40), min_size=1, max_size=12))
def test_the_mean_longitude_is_among_the_positions_wherever_the_antimeridian_is(
    data: st.DataObject, middle_deg: float, offsets_deg: list[float]
) -> None:
    readings = [
        reading(n, event_id=f"e{n}", lon_deg=(middle_deg + o + 180.0) % 360.0 - 180.0, lat_deg=o)
        for n, o in enumerate(offsets_deg)
    ]
    aggregate = data.draw(splits(readings))
    expected_deg = middle_deg + sum(offsets_deg) / len(offsets_deg)
    assert -180.0 <= aggregate.lon_deg <= 180.0
    assert abs((aggregate.lon_deg - expected_deg + 180.0) % 360.0 - 180.0) < 1e-9
    assert aggregate.lat_deg == pytest.approx(sum(offsets_deg) / len(offsets_deg), abs=1e-9)


@pytest.mark.parametrize(
    ("lons_deg", "mean_deg"),
    [
        ((179.0, -179.0), 180.0),
        ((-179.0, 179.0), -180.0),
        ((180.0, -180.0), 180.0),
        ((179.0, -178.0), -179.5),
        ((10.0, 20.0), 15.0),
    ],
)
def test_mean_longitudes_at_the_antimeridian(lons_deg: tuple[float, ...], mean_deg: float) -> None:
    assert of([reading(n, lon_deg=lon) for n, lon in enumerate(lons_deg)]).lon_deg == pytest.approx(mean_deg)


@given(st.data(), st.lists(st.sampled_from("abcdef"), min_size=1, max_size=20))
def test_sensors_of_a_place_are_counted_once(data: st.DataObject, sensors: list[str]) -> None:
    aggregate = data.draw(splits([reading(n, sensor) for n, sensor in enumerate(sensors)]))
    assert aggregate.sensors == sorted(set(sensors))


def named(partials: Partials, *names: tuple[str, str]) -> Partials:
    """The same figures under some names, once for each."""
    copies = partials.take([0] * len(names))
    return replace(copies, names=list(names))


def test_partials_are_merged_by_key_and_metric() -> None:
    low, high = partials_of([reading(1, value=1.0)]), partials_of([reading(2, value=5.0)])
    a, b, other = ("a", "m"), ("b", "m"), ("a", "n")
    merged = merge([named(low, a, b), named(high, other, a), named(high, b, a)])
    found = {(g.key, g.metric): (g.count, g.mean) for g in merged.aggregates()}
    assert found == {a: (3, pytest.approx(11 / 3)), b: (2, 3.0), other: (1, 5.0)}


def test_what_has_no_key_in_common_is_merged_as_it_is() -> None:
    part = partials_of([reading(1, value=0.1), reading(2, value=0.2)])
    merged = merge([named(part, ("a", "m")), named(part, ("b", "m"))])
    assert [replaced(g, key="k") for g in merged.aggregates()] == 2 * part.aggregates()


def replaced(aggregate: Aggregate, **changes: str) -> Aggregate:
    return msgspec.structs.replace(aggregate, **changes)


def test_only_some_keys_are_taken_as_far_as_there_are_any() -> None:
    part = named(partials_of([reading(1)]), ("a", "m"), ("b", "m"), ("c", "m"))
    assert part.only([("c", "m"), ("x", "m"), ("a", "m")]).names == [("c", "m"), ("a", "m")]
    assert part.only([]).aggregates() == []


def test_merging_leaves_the_parts_as_they_were() -> None:
    """The definitions of a stream share partials."""
    part = partials_of([reading(1, "a", value=1.0)])
    before = part.aggregates()
    merge([part, partials_of([reading(2, "b", value=5.0)])])
    merge([partials_of([reading(3, "c", value=9.0)]), part])
    assert part.aggregates() == before


@given(st.lists(values, min_size=1, max_size=9), st.booleans())
def test_partials_survive_their_encoding_to_the_last_bit(numbers: list[float], by_place: bool) -> None:
    partials = partials_of([reading(n, value=value) for n, value in enumerate(numbers)], by_place=by_place)
    assert Partials.decode(partials.encoded).aggregates() == partials.aggregates()
