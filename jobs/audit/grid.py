"""Whether every aligned reading is accounted for in each grid: aligned = gridded + merged + late + outside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from udfs.grid.fate import GRIDDED, LATE, MERGED
from udfs.grid.gather import OUTSIDE


@dataclass(frozen=True)
class GridAccount:
    """The readings of one source in one grid, by class."""

    grid: str
    source: str
    aligned: int
    counts: Mapping[str, int]
    letters: int
    problems: list[str] = field(default_factory=list)

    @property
    def outside(self) -> int:
        return sum(self.counts.get(name, 0) for name in OUTSIDE)


def account(
    grids: Iterable[str],
    aligned: Mapping[str, int],
    tallies: Iterable[dict[str, Any]],
    letters: Iterable[dict[str, Any]],
) -> list[GridAccount]:
    """Add up what the job said.

    Parameters
    ----------
    aligned : by source, how many records its topic holds.
    tallies, letters : the records of the accounting topic and of the grid's dead letters.
    """
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    topics = {}
    for tally in tallies:
        counts[tally["grid"], tally["source"]].update(tally["counts"])
        topics[tally["topic"]] = tally["source"]
    late = Counter((letter["definition"], topics.get(letter["topic"])) for letter in letters)
    return [
        _account(grid, source, total, counts[grid, source], late[grid, source])
        for grid in grids
        for source, total in aligned.items()
    ]


def _account(grid: str, source: str, aligned: int, counts: Counter[str], letters: int) -> GridAccount:
    problems = []
    if sum(counts.values()) != aligned:
        problems.append(f"{aligned:,} aligned readings, {sum(counts.values()):,} accounted for")
    if counts[LATE] != letters:
        problems.append(f"{counts[LATE]:,} late readings, {letters:,} dead letters")
    unknown = set(counts) - {GRIDDED, MERGED, LATE, *OUTSIDE}
    if unknown or min(counts.values(), default=0) < 0:
        problems.append(f"classes that cannot be: {dict(counts)}")
    return GridAccount(grid, source, aligned, dict(counts), letters, problems)
