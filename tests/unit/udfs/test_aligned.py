"""Laws of the aligned record's two parts; what they hold is tested with the align stage."""

from __future__ import annotations

import math

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.aligned import Head, aligned_head, aligned_middle, aligned_tail, close_aligned
from udfs.reading import Position, Reading
from udfs.rules import StreamRule

READING = Reading("s-1", "", "m", StreamRule("t", ("*",), "1"), 1.0, "1", 1.0, "1", 0, 2.0, 3.0, 'quote" and \n')
POSITION = Position(2.0, 3.0, 4.0, 5.0, "c", "noop", None, False, True)
TAIL = aligned_tail(aligned_middle(READING, None, "EPSG:3857", "raw"), POSITION)
texts = st.text()
numbers = st.floats(allow_nan=False, allow_infinity=False)
heads = st.builds(
    Head, texts, st.booleans(), numbers, numbers, st.none() | texts | st.integers(-(2**63), 2**64 - 1) | numbers,
    *[st.integers(-(2**63), 2**63 - 1)] * 3, st.booleans(), st.none() | numbers, *[st.integers(0, 2**63 - 1)] * 2,
)  # fmt: skip
attributes = st.none() | st.dictionaries(texts, texts | numbers | st.lists(st.none()), min_size=1)


@given(heads, attributes, st.booleans())
def test_head_and_tail_make_one_object_with_all_that_was_written(
    head: Head, extra: dict[str, object] | None, beyond: bool
) -> None:
    record = orjson.loads(close_aligned(aligned_head(head, extra), TAIL, beyond))
    for name in Head.__struct_fields__:
        assert record.pop(name) == getattr(head, name)
    assert record.pop("attributes", None) == extra
    assert record.pop("beyond_dedup_horizon", False) is beyond
    assert record == orjson.loads(b"{" + TAIL[1:])


def test_a_record_has_the_fields_of_its_position_by_their_own_names() -> None:
    tail = orjson.loads(b"{" + TAIL[1:])
    assert {name: tail[name] for name in Position.__struct_fields__} == msgspec.to_builtins(POSITION)
    assert tail["crs_source"] == 'quote" and \n'


@given(numbers)
def test_a_value_keeps_every_bit(value: float) -> None:
    head = Head("e", False, value, -value, None, 0, 0, 0, False, None, 0, 0)
    record = orjson.loads(close_aligned(aligned_head(head, None), TAIL, False))
    assert math.copysign(1.0, record["value"]) == math.copysign(1.0, value)
    assert record["value"] == value == -record["value_original"]


def test_attributes_that_json_cannot_hold_are_an_error() -> None:
    head = Head("e", False, 1.0, 1.0, None, 0, 0, 0, False, None, 0, 0)
    with pytest.raises(TypeError):
        aligned_head(head, {"a": b"bytes"})
