"""Name the cell that a position lies in: the stage `assign_cell`."""

from __future__ import annotations

import h3

from udfs.rules import CellRule


class CellAssigner:
    """Assign cells by one scheme: the region's name, a square of the target CRS, or an H3 index.

    Parameters
    ----------
    rule
        `grid_m` > 0 in units of the target CRS; `h3_resolution` 0 to 15.

    Raises
    ------
    ValueError
        A parameter is out of range.
    """

    def __init__(self, rule: CellRule) -> None:
        if not 0.0 < rule.grid_m < float("inf"):
            raise ValueError(f"grid_m is {rule.grid_m}, not a positive size")
        if not 0 <= rule.h3_resolution <= 15:
            raise ValueError(f"h3_resolution is {rule.h3_resolution}, not 0 to 15")
        self._scheme = rule.scheme
        self._size = float(rule.grid_m)
        self._prefix = f"g{repr(self._size).removesuffix('.0')}"
        self._resolution = rule.h3_resolution

    def cell(self, lon_deg: float, lat_deg: float, x: float, y: float, region: str) -> str:
        """Name the cell of one position.

        A grid cell is `g1000:E123:N-45`: size, column, row. It holds its west and south edge but not its east and
        north edge, `123 * 1000 <= x < 124 * 1000`, so every position is in exactly one cell.

        Parameters
        ----------
        lon_deg, lat_deg
            EPSG:4326 degrees; used by the scheme `h3`.
        x, y
            Finite, in the target CRS; used by the scheme `grid`.
        region
            Region's name; used by the scheme `region`.

        Returns
        -------
            The name, the same in every process and for all time.

        Source: H3 documentation, `latlng_to_cell` (latitude first).
        """
        if self._scheme == "grid":
            # `//` floors the exact quotient; floor(x / size) puts some edges into the cell to the east
            return f"{self._prefix}:E{int(x // self._size)}:N{int(y // self._size)}"
        if self._scheme == "h3":
            return str(h3.latlng_to_cell(lat_deg, lon_deg, self._resolution))
        return region
