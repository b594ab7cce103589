"""What the operators count, and that without metric groups (`python.metric.enabled: false`) nothing is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from udfs.deduplicate import Deduplicated
from udfs.flink.counters import ReadingCounters, Registry, WindowCounters
from udfs.reasons import Reason
from udfs.rules import Rules, StreamRule

RULES = Rules((StreamRule("weather", ("t",), "degC"),))


class Group:
    """A metric group that writes down what is counted, by the labels and the name."""

    def __init__(self, counts: Counter[str], path: str = "") -> None:
        self._counts, self._path = counts, path

    def add_group(self, label: str, value: str) -> Group:
        return Group(self._counts, f"{self._path}{label}={value},")

    def counter(self, name: str) -> Any:
        counts, key = self._counts, self._path + name

        class One:
            def inc(self, count: int = 1) -> None:
                counts[key] += count

        return One()


class Unreadable:
    """Fails at any look."""

    def __getattribute__(self, name: str) -> Any:
        pytest.fail(f"looked at {name}")


def test_with_groups_each_refusal_has_its_reason_and_its_stage() -> None:
    counts: Counter[str] = Counter()
    counters = ReadingCounters(Registry(Group(counts)), RULES)
    none: Any = ()
    counters.count(none, [(Reason.UNKNOWN_CRS.value, b"", b"")], Deduplicated([], set(), [], [], []))
    assert counts == {f"stage={Reason.UNKNOWN_CRS.stage.value},reason={Reason.UNKNOWN_CRS.value},invalid": 1}


def test_without_groups_nothing_is_counted_and_nothing_looked_at() -> None:
    registry = Registry(None)
    blind: Any = Unreadable()
    ReadingCounters(registry, RULES).count(blind, blind, blind)
    WindowCounters(registry, RULES, ("sensor",)).count(blind, blind)
    registry.show()
    assert not registry.is_on
