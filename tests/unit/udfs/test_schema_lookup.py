"""Laws of asking a registry: once for an id, not while it is silent, and never for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.reasons import Reason, Rejected
from udfs.rules import LookupRule
from udfs.schema_lookup import MAX_UNKNOWN_IDS, SchemaLookup, Unreachable
from udfs.writer_schema import SchemaFormat, WriterSchema

SCHEMA = WriterSchema(SchemaFormat.AVRO, "{}")
TIMEOUT_S = 2.0


class Scripted:
    """A registry in a script's hands; being asked in vain takes as long as its timeout."""

    def __init__(self, *, up: bool = True, ids: frozenset[int] = frozenset()) -> None:
        self.up, self.ids, self.now, self.asked = up, ids, 1_000.0, 0
        self.up_at: float | None = None

    def find(self, schema_id: int) -> WriterSchema | None:
        self.asked += 1
        if self.up_at is not None and self.now >= self.up_at:
            self.up = True
        if not self.up:
            self.now += TIMEOUT_S
            raise Unreachable("nobody there")
        return SCHEMA if schema_id in self.ids else None

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def lookup(self, when: str = "wait", wait_s: float = 60) -> SchemaLookup:
        rule = LookupRule("wait" if when == "wait" else "refuse", int(wait_s * 1_000), 10_000)
        return SchemaLookup(self, rule, lambda: self.now, self.sleep)


def reason_of(lookup: SchemaLookup, schema_id: int) -> Reason:
    with pytest.raises(Rejected) as caught:
        lookup.find(schema_id)
    return caught.value.reason


def test_a_known_id_is_given() -> None:
    assert Scripted(ids=frozenset((7,))).lookup().find(7) is SCHEMA


def test_an_unknown_id_is_asked_for_once_and_again_after_a_while() -> None:
    registry = Scripted()
    lookup = registry.lookup()
    for _ in range(1_000):
        assert reason_of(lookup, 7) is Reason.UNKNOWN_SCHEMA
    assert registry.asked == 1
    registry.now += 10
    registry.ids = frozenset((7,))
    assert lookup.find(7) is SCHEMA


def test_garbage_ids_are_not_asked_for_without_end() -> None:
    registry = Scripted()
    lookup = registry.lookup()
    for schema_id in range(10_000):
        assert reason_of(lookup, schema_id) is Reason.UNKNOWN_SCHEMA
    assert registry.asked == MAX_UNKNOWN_IDS
    registry.now += 10
    assert reason_of(lookup, 10_001) is Reason.UNKNOWN_SCHEMA
    assert registry.asked == MAX_UNKNOWN_IDS + 1


def test_refuse_asks_a_silent_registry_once_in_a_while_and_never_waits() -> None:
    registry = Scripted(up=False)
    lookup = registry.lookup("refuse")
    begin = registry.now
    for schema_id in range(1_000):
        assert reason_of(lookup, schema_id) is Reason.SCHEMA_UNREACHABLE
    assert registry.asked == 1 and registry.now - begin == TIMEOUT_S
    registry.now += 10
    registry.up, registry.ids = True, frozenset((7,))
    assert lookup.find(7) is SCHEMA


def test_wait_waits_for_a_registry_that_comes_back() -> None:
    registry = Scripted(up=False, ids=frozenset((7,)))
    registry.up_at = registry.now + 30
    assert registry.lookup("wait").find(7) is SCHEMA


def test_wait_has_an_end_and_who_waited_in_vain_waits_no_second_time() -> None:
    registry = Scripted(up=False)
    lookup = registry.lookup("wait", wait_s=60)
    begin = registry.now
    assert reason_of(lookup, 7) is Reason.SCHEMA_UNREACHABLE
    assert 50 <= registry.now - begin <= 60 + TIMEOUT_S
    for _ in range(5):
        registry.now += 10
        before = registry.now
        assert reason_of(lookup, 8) is Reason.SCHEMA_UNREACHABLE
        assert registry.now - before == TIMEOUT_S


def test_after_an_answer_waiting_is_worth_it_again() -> None:
    registry = Scripted(up=False)
    lookup = registry.lookup("wait", wait_s=60)
    reason_of(lookup, 7)
    registry.now, registry.up = registry.now + 10, True
    assert reason_of(lookup, 7) is Reason.UNKNOWN_SCHEMA
    registry.up, registry.ids, registry.up_at = False, frozenset((8,)), registry.now + 30
    assert lookup.find(8) is SCHEMA


@given(
    when=st.sampled_from(["wait", "refuse"]),
    steps=st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0, 20)), max_size=60),
)
def test_every_answer_is_a_schema_or_a_reason_and_time_is_bounded(
    when: str, steps: list[tuple[int, bool, float]]
) -> None:
    registry = Scripted(ids=frozenset((0, 1)))
    lookup = registry.lookup(when, wait_s=60)
    for schema_id, up, pause_s in steps:
        registry.up, registry.now = up, registry.now + pause_s
        before = registry.now
        try:
            assert lookup.find(schema_id) is SCHEMA and schema_id in (0, 1)
        except Rejected as rejected:
            assert rejected.reason in (Reason.UNKNOWN_SCHEMA, Reason.SCHEMA_UNREACHABLE)
        assert registry.now - before <= (62 if when == "wait" else TIMEOUT_S) + 1e-6
