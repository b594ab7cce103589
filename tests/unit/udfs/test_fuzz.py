"""A short run of the fuzzer, and what longer ones have found; `scripts/fuzz` runs millions of cases."""

from __future__ import annotations

from datetime import tzinfo
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fuzzing import SEEDS, Judge, hostile_batch
from udfs.avro_encoding import encode_single_object
from udfs.decode import Decoder
from udfs.event_time import normalise_event_time
from udfs.reasons import Reason, Rejected
from udfs.rules import LimitRule

JUDGE = Judge()


@settings(max_examples=20)
@given(st.randoms(use_true_random=True))
def test_hostile_records_end_in_exactly_one_class_each(rng: Random) -> None:
    JUDGE.judge(hostile_batch(rng, 100))


def test_the_fuzzer_gets_past_every_stage() -> None:
    judge = Judge()
    judge.judge(hostile_batch(Random(1), 2_000))
    stages = {Reason(fate).stage for fate in judge.fates if fate not in ("accepted", "control")}
    assert judge.fates["accepted"] > 20
    assert {"decode", "validate", "normalise_time", "transform_crs"} <= stages


def test_the_message_of_a_letter_is_the_same_each_time() -> None:
    reading = next(seed.fields for seed in SEEDS if seed.fields is not None)
    body = encode_single_object(reading)
    messages = set()
    for _ in range(3):  # found: fastavro's EOFError names its buffer by address
        try:
            Decoder(LimitRule()).decode(body[:40], "application/avro")
        except Rejected as rejected:
            messages.add(rejected.message)
    assert messages == {"EOFError: 40 bytes end within the record"}


def test_the_fuzzer_finds_a_stage_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded fault: one or other odd spelling of a time."""

    def faulty(raw: object, zone: tzinfo | None) -> int:
        if raw in ("2026-W39-1T10:00:00Z", "T14:13:14Z", "."):
            raise ZeroDivisionError
        return normalise_event_time(raw, zone)

    monkeypatch.setattr("udfs.align.normalise_event_time", faulty)
    judge, rng = Judge(), Random(2)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        for _ in range(10):
            judge.judge(hostile_batch(rng, 500))
