"""A plan's arithmetic, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from jobs.planning.constants import Constant
from jobs.planning.figures import show

Unit = Literal["", "bytes", "bytes/s", "ms", "percent", "readings/s"]


@dataclass(frozen=True)
class Line:
    """`formula` in words, `numbers` the same with figures, and where its constants come from."""

    key: str
    value: float
    unit: Unit
    formula: str
    numbers: str
    constants: tuple[Constant, ...] = ()

    @property
    def name(self) -> str:
        return self.key.replace("_", " ")

    @property
    def result(self) -> str:
        return show(self.value, self.unit)

    def to_dict(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "unit": self.unit,
            "formula": self.formula,
            "numbers": self.numbers,
            "sources": [str(c) for c in self.constants],
        }


class Sheet:
    """Lines by key, in the order in which they were worked out, and what cannot be had."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def add(self, key: str, value: float, unit: Unit, formula: str, numbers: str, *constants: Constant) -> float:
        self._lines[key] = Line(key, value, unit, formula, numbers, constants)
        return value

    def __getitem__(self, key: str) -> float:
        return self._lines[key].value

    def __contains__(self, key: str) -> bool:
        return key in self._lines

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())

    def result(self, key: str) -> str:
        return self._lines[key].result
