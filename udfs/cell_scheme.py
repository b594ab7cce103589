"""Name cells by a scheme that is given as a text, `grid:1000` or `h3:7`; the SQL function CELL uses it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

import numpy as np

from udfs.cell import CellAssigner
from udfs.crs_operation import Floats
from udfs.geodesic import on_earth
from udfs.rules import CellRule


def read_scheme(text: str) -> CellRule:
    """Read a scheme: `grid:<size>` in units of the target CRS, or `h3:<resolution>`.

    A third scheme of the job, `region`, needs no function: its cell is the region's name.

    Raises
    ------
    ValueError
        The text is neither, or its number is out of range.
    """
    scheme, _, number = text.partition(":")
    try:
        if scheme == "grid":
            return _checked(CellRule("grid", grid_m=float(number)))
        if scheme == "h3":
            return _checked(CellRule("h3", h3_resolution=int(number)))
    except ValueError:
        pass
    raise ValueError(f"{text[:80]!r} is no cell scheme: expected grid:1000 (a size > 0) or h3:7 (0 to 15)")


def _checked(rule: CellRule) -> CellRule:
    CellAssigner(rule)
    return rule


class CellSchemes:
    """The schemes that a query has named so far."""

    def __init__(self) -> None:
        self._schemes: dict[str, tuple[CellRule, CellAssigner] | None] = {}

    def require(self, scheme: str) -> None:
        """Raise ValueError where a text is no scheme."""
        if self._find(scheme) is None:
            read_scheme(scheme)

    def cells(self, x: Floats, y: Floats, scheme: str | Sequence[str | None]) -> list[str | None]:
        """Name the cells of positions.

        Parameters
        ----------
        x, y
            Arrays of one length: in the target CRS for `grid`, longitude and latitude in degrees for `h3`.
        scheme
            One text for all positions, or one each.

        Returns
        -------
            A name each, by `udfs.cell.CellAssigner`; None where x or y is not finite, is not on Earth (for `h3`), or
            the scheme is none.
        """
        finite = (np.isfinite(x) & np.isfinite(y)).tolist()
        earthly = on_earth(x, y).tolist()
        schemes = repeat(scheme, len(x)) if isinstance(scheme, str) else scheme
        cells: list[str | None] = []
        rows = zip(x.tolist(), y.tolist(), finite, earthly, schemes, strict=True)
        for easting, northing, is_finite, is_earthly, text in rows:
            found = self._find(text) if text else None
            if found is None or not (is_earthly if found[0].scheme == "h3" else is_finite):
                cells.append(None)
            else:
                cells.append(found[1].cell(easting, northing, easting, northing, ""))
        return cells

    def _find(self, text: str) -> tuple[CellRule, CellAssigner] | None:
        if text not in self._schemes:
            if len(self._schemes) >= 64:
                self._schemes.clear()
            try:
                rule = read_scheme(text)
            except ValueError:
                self._schemes[text] = None
            else:
                self._schemes[text] = rule, CellAssigner(rule)
        return self._schemes[text]
