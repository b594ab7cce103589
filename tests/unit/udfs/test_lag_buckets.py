"""Buckets count as Prometheus does: at most the bound, cumulative, the last one everything."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from udfs.lag_buckets import BOUNDS_MS, LABELS, cumulative_counts


def test_labels_are_the_bounds_in_seconds() -> None:
    assert [float(label) for label in LABELS[:-1]] == [bound / 1000 for bound in BOUNDS_MS]
    assert LABELS[-1] == "+Inf"


@given(st.lists(st.integers(-10_000, 20_000_000) | st.sampled_from(BOUNDS_MS)))
def test_each_bucket_counts_what_is_at_most_its_bound(lags_ms: list[int]) -> None:
    counts = cumulative_counts(np.array(lags_ms, np.int64))
    assert counts == [*(sum(lag <= bound for lag in lags_ms) for bound in BOUNDS_MS), len(lags_ms)]
