"""Which partition a probe takes, and how its stages add up."""

from __future__ import annotations

import pytest

from jobs.observe.probes import STAGES, busiest, stage_seconds


def test_a_probe_goes_where_readings_go() -> None:
    assert busiest({0: 100, 1: 500, 2: 7}, {0: 180, 1: 510, 2: 7}) == 0


def test_without_new_readings_the_fullest_partition_is_taken() -> None:
    assert busiest({0: 100, 1: 500}, {0: 100, 1: 500}) == 1


def test_the_stages_of_a_probe_add_up_to_the_whole() -> None:
    account = {"sent_at_ms": 1_000, "append_time_ms": 1_020, "aligned_at_ms": 1_500, "deduplicated_at_ms": 1_600}
    seconds = stage_seconds(account, 9_000)
    assert seconds == pytest.approx({"bridge": 0.02, "align": 0.48, "deduplicate": 0.1, "commit": 7.4, "total": 8.0})
    assert tuple(seconds) == STAGES
