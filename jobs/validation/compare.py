"""Which final rows differ, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jobs.validation.rows import Key, Row, RowRule

_RELATIVE = 1e-9


class Pair(NamedTuple):
    """What streaming and the batch run say under one key; None: nothing."""

    key: Key
    live: Row | None
    batch: Row | None
    differs: tuple[str, ...]  # fields, where both say something


def compare(live: Mapping[Key, Row], batch: Mapping[Key, Row], rule: RowRule) -> Iterator[Pair]:
    """All keys of either side in order; a provisional row says nothing yet."""
    for key in sorted(live.keys() | batch.keys(), key=repr):
        said, computed = live.get(key), batch.get(key)
        if said is not None and said.is_provisional:
            said = None
        fields = () if said is None or computed is None else _differences(said, computed, rule)
        yield Pair(key, said, computed, fields)


def _differences(live: Row, batch: Row, rule: RowRule) -> tuple[str, ...]:
    scale = max((abs(batch.values[rule.values.index(name)] or 0.0) for name in rule.scale), default=0.0)
    named = zip(rule.values, live.values, batch.values, strict=True)
    return tuple(name for name, a, b in named if not is_same(a, b, scale))


def is_same(a: Any, b: Any, scale: float = 0.0) -> bool:
    """Equal, or floats equal but for their last digits, at the size of `scale`."""
    if a == b:
        return True
    if isinstance(a, float) and isinstance(b, int | float):
        return abs(a - b) <= _RELATIVE * max(abs(a), abs(b), scale)
    return False
