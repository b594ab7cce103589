"""Laws of the cache of two generations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from udfs.bounded_cache import BoundedCache


def cache(limit: int) -> BoundedCache[int, str]:
    return BoundedCache(limit, lambda key, value: len(value))


@given(st.lists(st.integers(0, 20)), st.integers(0, 12))
def test_it_never_holds_more_than_two_generations_nor_a_wrong_value(keys: list[int], limit: int) -> None:
    held = cache(limit)
    for key in keys:
        found = held.find(key)
        assert found in (None, "x" * (key % 4))
        if found is None:
            held.put(key, "x" * (key % 4))
        assert sum(len(v) for part in (held.recent, held._older) for v in part.values()) <= 2 * limit
        assert not held.recent.keys() & held._older.keys()


def test_what_is_looked_up_stays_and_what_is_not_goes() -> None:
    held = cache(4)
    for key in range(2, 50):
        if held.find(1) is None:
            assert key == 2
            held.put(1, "x")
        held.put(key, "x")
    assert held.find(1) == "x"
    assert held.find(2) is None
    assert len(held) <= 8


def test_an_entry_larger_than_a_generation_and_anything_when_there_is_no_room_is_not_held() -> None:
    held = cache(4)
    held.put(1, "x" * 5)
    assert held.find(1) is None
    nothing = cache(0)
    nothing.put(1, "x")
    assert len(nothing) == 0


def test_the_recent_generation_is_always_the_same_dict() -> None:
    held = cache(4)
    get = held.recent.get
    for key in range(50):
        held.put(key, "x")
        assert get(key) == "x"
