"""Laws of event ids and digests."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from udfs.identity import content_digest, content_seed, derive_event_id, event_id_start, id_digest, id_seed

times = st.integers(-(10**19), 3 * 10**20)  # nanoseconds of the years 1653 to 9999 and beyond


def test_a_derived_event_id_is_the_same_for_ever() -> None:
    start = event_id_start("s-1", "pm25")
    assert derive_event_id(start, 1_700_000_000_123_456_789, 12.5) == "d-74d94f5257c5a3295832c9546a060a86"
    assert derive_event_id(event_id_start("señal", "t"), 0, -0.0) == "d-cab8199ae146383a2abece7bbd1d75bc"


@given(times, st.floats(allow_nan=False), times, st.floats(allow_nan=False))
def test_only_the_same_time_and_value_have_the_same_digest(a_ns: int, a: float, b_ns: int, b: float) -> None:
    assert 0 <= content_digest(7, a_ns, a) < 2**64
    same = (a_ns, a.hex()) == (b_ns, b.hex())
    assert (content_digest(7, a_ns, a) == content_digest(7, b_ns, b)) is same
    assert (derive_event_id("s", a_ns, a) == derive_event_id("s", b_ns, b)) is same


def test_whatever_makes_a_measurement_is_in_its_digest() -> None:
    seeds = [
        content_seed(*parts)
        for parts in itertools.product(("s", "t"), ("m", "n"), ("u", "v"), ("c", "d"), (0.0, 1.0), (0.0, 1.0))
    ]
    assert len({content_digest(seed, 1, 1.0) for seed in seeds}) == 64
    assert content_seed("a", "b", "u", "c", 1.0, 2.0) != content_seed("a\0b", "", "u", "c", 1.0, 2.0)


def test_an_event_id_belongs_to_its_sensor() -> None:
    assert len({id_digest(id_seed(sensor), event_id) for sensor in ("a", "b") for event_id in ("1", "2", "é")}) == 6
