"""Laws of sampling: estimates are right on average, intervals hold what they say, and no split changes either."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.shards import DictStore, reading, stream, tumbling
from tests.unit.udfs.test_aggregate import partials_of, splits
from udfs.aggregate import Aggregate, Partials, merge
from udfs.frame import decode_frame, encode_frame
from udfs.outputs import Outputs
from udfs.reasons import Rejected
from udfs.rules import Rules
from udfs.sampling import Estimate, Floats, Sample, estimate, fold_samples, read_fraction, student_t
from udfs.window import Windows

SEEDS = 4_000


def estimated(values: Sequence[float], fractions: Sequence[float]) -> Estimate:
    [aggregate] = partials_of(
        [reading(n, value=v, fraction=f) for n, (v, f) in enumerate(zip(values, fractions, strict=True))]
    ).aggregates()
    return of(aggregate)


def of(aggregate: Aggregate) -> Estimate:
    assert aggregate.sample is not None
    return estimate(aggregate.count, aggregate.sample)


def draws(values: Floats, fractions: Floats) -> list[Estimate]:
    """Estimates from samples of the same readings, for many seeds; each sample is a group of one fold."""
    kept = np.random.default_rng(7).random((SEEDS, len(values))) < fractions
    counts = kept.sum(axis=1)
    assert counts.all()
    seed, place = np.nonzero(kept)
    found = fold_samples(fractions[place], values[place], np.searchsorted(seed, np.arange(SEEDS)), counts)
    return [estimate(count, Sample(*of)) for count, of in zip(counts.tolist(), found.T.tolist(), strict=True)]


@pytest.mark.parametrize("freedom", [1, 2, 3, 10, 30, 31, 60, 1_000])
def test_student_t_cuts_off_one_part_in_forty(freedom: int) -> None:
    """By numerical integration of the density, with t = sqrt(n)·tan(angle) for its long tails."""
    angle = math.atan(student_t(freedom) / math.sqrt(freedom))
    steps = 100_000
    below = sum(math.cos(angle * (i + 0.5) / steps) ** (freedom - 1) for i in range(steps)) * angle / steps
    log_norm = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(math.pi)
    assert below * math.exp(log_norm) == pytest.approx(0.475, abs=4e-6)


@pytest.mark.parametrize("fraction", [0.05, 0.25, 0.9])
def test_estimates_are_unbiased_and_the_intervals_hold_the_truth_19_times_in_20(fraction: float) -> None:
    values = np.random.default_rng(1).normal(12.0, 3.0, 600)
    found = draws(values, np.full(600, fraction))
    counts, means = np.array([e.readings for e in found]), np.array([e.mean for e in found])
    assert abs(counts.mean() - 600) < 4 * counts.std() / math.sqrt(len(found))
    assert abs(means.mean() - values.mean()) < 4 * means.std() / math.sqrt(len(found))
    of_mean = sum((e.mean_low or -math.inf) <= values.mean() <= (e.mean_high or math.inf) for e in found)
    of_count = sum(e.readings_low <= 600 <= e.readings_high for e in found)
    assert of_mean / len(found) == pytest.approx(0.95, abs=0.015)
    assert of_count / len(found) == pytest.approx(0.95, abs=0.02)


def test_alarms_that_were_all_kept_do_not_bias_the_mean_of_a_sampled_stream() -> None:
    random = np.random.default_rng(2)
    values = np.concatenate((random.normal(2.0, 0.5, 950), random.normal(9.0, 0.5, 50)))
    fractions = np.where(values > 6.0, 1.0, 0.1)
    found = draws(values, fractions)
    means = np.array([e.mean for e in found])
    assert means.mean() == pytest.approx(values.mean(), abs=0.02)
    assert np.mean([e.readings for e in found]) == pytest.approx(1_000, abs=5)
    within = sum((e.mean_low or -math.inf) <= values.mean() <= (e.mean_high or math.inf) for e in found)
    assert within / len(found) == pytest.approx(0.95, abs=0.02)


def test_for_one_fraction_it_is_the_textbook_with_the_finite_population_correction() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    found = estimated(values, [0.25] * 5)
    reach = 2.7764 * math.sqrt((1 - 0.25) * np.var(values, ddof=1) / 5)
    assert (found.fraction, found.readings, found.mean) == (0.25, 20.0, pytest.approx(np.mean(values)))
    assert found.mean_low == pytest.approx(np.mean(values) - reach)
    assert found.mean_high == pytest.approx(np.mean(values) + reach)


def test_one_sampled_reading_says_nothing_of_the_spread() -> None:
    found = estimated([3.0], [0.1])
    assert (found.readings, found.mean, found.mean_low, found.mean_high) == (10.0, 3.0, None, None)


numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))
fractions = st.sampled_from([1.0, 0.5, 0.1, 0.001])


@given(st.data(), st.lists(st.tuples(numbers, fractions), min_size=1, max_size=30))
def test_any_split_in_any_order_gives_the_same_estimate(data: st.DataObject, drawn: list[tuple[float, float]]) -> None:
    readings = [reading(n, event_id=f"e{n}", value=v, fraction=f) for n, (v, f) in enumerate(drawn)]
    aggregate = data.draw(splits(readings))
    if all(fraction == 1.0 for _, fraction in drawn):
        assert aggregate.sample is None
        return
    whole = estimated(*zip(*drawn, strict=True))
    scale = max(abs(value) for value, _ in drawn) or 1.0
    for mine, its in zip(of(aggregate), whole, strict=True):
        assert mine == its is None or mine == pytest.approx(its, rel=1e-9, abs=1e-7 * scale)


def test_partials_survive_state_and_those_of_a_job_that_knew_no_sampling_can_be_read() -> None:
    sampled = partials_of([reading(n, value=n, fraction=0.5) for n in range(5)])
    plain = partials_of([reading(9 + n, value=n) for n in range(5)])
    fields = msgspec.msgpack.decode(plain.encoded)
    assert fields[-1] == b""
    old = Partials.decode(msgspec.msgpack.encode(fields[:-1]))
    [mixed] = merge([Partials.decode(sampled.encoded), old]).aggregates()
    assert (mixed.count, of(mixed).readings) == (10, 15.0)


@pytest.mark.parametrize(
    ("sent", "fraction"), [(None, None), (b"1", None), (b"1.0", None), (b"1e-06", 1e-6), (b".5", 0.5)]
)
def test_fractions_that_are_taken(sent: bytes | None, fraction: float | None) -> None:
    assert read_fraction(sent) == fraction


@given(st.binary(max_size=12))
def test_whatever_a_header_holds_is_a_fraction_or_refused(sent: bytes) -> None:
    try:
        fraction = read_fraction(sent)
    except Rejected:
        return
    assert fraction is None or 0 < fraction < 1


def window_row(fraction: float) -> dict[str, object]:
    """The published row of ten readings, one in 100 ms, of a second in which twenty are expected."""
    rule = replace(stream(tumbling(1_000)), period_ms=50)
    windows = Windows([rule], ["sensor"], DictStore())
    readings, _ = decode_frame(encode_frame([reading(100 * n, value=n, fraction=fraction) for n in range(10)]))
    store = DictStore()
    windows.add(store, readings, range(10), 0)
    outputs = Outputs(Rules((rule,)), "raw")
    outputs.windowed(windows.advance(store, 1_000))
    [(_, _, [record])] = outputs.take()
    return dict(orjson.loads(record))


def test_a_window_of_sampled_readings_has_estimates_and_a_completeness_by_them() -> None:
    row = window_row(0.5)
    assert (row["count"], row["estimated_count"], row["completeness"]) == (10, 20.0, 1.0)
    assert (row["sampling_fraction"], row["mean"], row["estimated_mean"]) == (0.5, 4.5, 4.5)
    assert row["estimated_count_low"] < 20 < row["estimated_count_high"]  # type: ignore[operator]
    assert row["estimated_mean_low"] < 4.5 < row["estimated_mean_high"]  # type: ignore[operator]


def test_a_window_without_sampled_readings_has_the_fields_that_it_always_had() -> None:
    row = window_row(1.0)
    assert list(row)[-1] == "emitted_at_ms"
    assert not [name for name in row if name.startswith(("estimated", "sampling"))]
    assert row["completeness"] == 0.5
