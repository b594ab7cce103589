"""Move columns of positions from CRS to CRS, by the rules of the stage `transform_crs`; the SQL functions use it.

There is one way to transform a position in this project: `udfs.crs.Locator`. What a query computes is therefore, bit by
bit, what the job writes for the same position and target, refusals included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from udfs.crs import Locator
from udfs.crs_operation import Floats
from udfs.reading import Position
from udfs.rules import PositionRule

Texts = str | Sequence[str | None]  # one for all rows, or one a row

Rows = npt.NDArray[np.intp]

_TARGETS = 16  # target CRSs whose operations are kept


class Reprojected(msgspec.Struct):
    """Columns as long as the positions given; NaN where there is no result."""

    x: Floats
    y: Floats
    accuracy_m: Floats  # also NaN where PROJ knows the operation but not its accuracy


class Reprojector:
    """Transform columns of positions. One instance belongs to one thread, as PROJ's objects do.

    Parameters
    ----------
    rule
        As for the job; its target CRS is not used. Regions have no say, as a query names none.
    """

    def __init__(self, rule: PositionRule | None = None) -> None:
        self._rule = rule or PositionRule()
        self._locators: dict[str, Locator | None] = {}

    def transform(self, x: Floats, y: Floats, source: Texts, target: Texts) -> Reprojected:
        """Transform positions, those of one target together.

        Parameters
        ----------
        x, y
            (x, y) order whatever the CRS says of itself: longitude or easting first, in the units of its axes.
        source, target
            Texts that `udfs.crs_text.read_crs` takes.

        Returns
        -------
            NaN for what the job would refuse (`udfs.crs.Locator.locate_many`), for a text that names no CRS, and for
            missing input.
        """
        found = Reprojected(*(np.full(len(x), np.nan) for _ in range(3)))
        if isinstance(target, str):
            self._transform_to(target, range(len(x)), x, y, source, found)
        else:
            rows_of: dict[str | None, list[int]] = {}
            for row, text in enumerate(target):
                rows_of.setdefault(text, []).append(row)
            for text, rows in rows_of.items():
                if isinstance(text, str):
                    sources = source if isinstance(source, str) else [source[row] for row in rows]
                    self._transform_to(text, rows, x[rows], y[rows], sources, found)
        return found

    def _transform_to(
        self, target: str, rows: Sequence[int], x: Floats, y: Floats, source: Texts, found: Reprojected
    ) -> None:
        locator = self._locator(target)
        if locator is None:
            return
        if not len(x):
            return
        # Most readings are of sensors that stay where they are.
        first, which = _distinct(x, y, *([] if isinstance(source, str) else [np.array(source, object)]))
        sources = repeat(source, len(first)) if isinstance(source, str) else (source[row] or "" for row in first)
        keys = list(zip(sources, x[first].tolist(), y[first].tolist(), repeat("", len(first)), strict=True))
        none = (np.nan, np.nan, np.nan)
        columns = [
            (place.x, place.y, np.nan if place.accuracy_m is None else place.accuracy_m)
            if isinstance(place, Position)
            else none
            for place in locator.locate_many(keys)
        ]
        found.x[rows], found.y[rows], found.accuracy_m[rows] = np.array(columns)[which].T

    def _locator(self, target: str) -> Locator | None:
        if target not in self._locators:
            if len(self._locators) >= _TARGETS:
                self._locators.pop(next(iter(self._locators)))
            try:
                locator = Locator(replace(self._rule, target_crs=target, regions=()), lambda *_: "")
            except ValueError:
                locator = None
            self._locators[target] = locator
        return self._locators[target]


def _distinct(*columns: npt.NDArray[Any]) -> tuple[Rows, Rows]:
    """Find the distinct rows of columns: where each comes first, and the number of each row's distinct one."""
    together = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        codes, values = pd.factorize(column, use_na_sentinel=False)
        together = together * len(values) + codes
    which = pd.factorize(together)[0]  # numbered as they come
    return np.flatnonzero(np.diff(np.maximum.accumulate(which), prepend=-1)), which
