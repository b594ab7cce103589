"""Laws of cells: every position is in exactly one, and its name says which."""

from __future__ import annotations

from fractions import Fraction

import h3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.cell import CellAssigner
from udfs.rules import CellRule

metres = st.floats(-3e7, 3e7)


def grid(size: float, x: float, y: float) -> str:
    return CellAssigner(CellRule("grid", grid_m=size)).cell(0.0, 0.0, x, y, "")


@given(metres, metres, st.sampled_from([0.1, 0.25, 100.0, 1000.0, 1234.5]))
def test_a_position_lies_in_the_half_open_square_that_its_cell_names(x: float, y: float, size: float) -> None:
    name, east, north = grid(size, x, y).split(":")
    column, row, exact = int(east[1:]), int(north[1:]), Fraction(size)
    assert float(name[1:]) == size
    assert column * exact <= Fraction(x) < (column + 1) * exact
    assert row * exact <= Fraction(y) < (row + 1) * exact


def test_cells_hold_their_west_and_south_edges() -> None:
    assert grid(1000.0, 123_000.0, -45_000.0) == "g1000:E123:N-45"
    assert grid(1000.0, 123_999.999, -45_000.001) == "g1000:E123:N-46"
    assert grid(1000.0, -0.0, 0.0) == "g1000:E0:N0"
    assert grid(1000.0, -1e-9, 0.0) == "g1000:E-1:N0"


def test_cells_of_different_sizes_have_different_names() -> None:
    assert {grid(size, 0.0, 0.0) for size in (0.5, 1.0, 1000.0, 1e7)} == {
        "g0.5:E0:N0", "g1:E0:N0", "g1000:E0:N0", "g10000000:E0:N0",
    }  # fmt: skip


@given(st.floats(-180, 180), st.floats(-90, 90), st.integers(0, 15))
def test_h3_cells_take_latitude_first(lon_deg: float, lat_deg: float, resolution: int) -> None:
    cell = CellAssigner(CellRule("h3", h3_resolution=resolution)).cell(lon_deg, lat_deg, 0.0, 0.0, "")
    assert h3.get_resolution(cell) == resolution
    assert cell == h3.latlng_to_cell(lat_deg, lon_deg, resolution)


def test_a_region_is_its_own_cell() -> None:
    assert CellAssigner(CellRule("region")).cell(1.0, 2.0, 3.0, 4.0, "thames") == "thames"


@pytest.mark.parametrize("rule", [CellRule(grid_m=0.0), CellRule(grid_m=-1.0), CellRule(grid_m=float("nan")),
                                  CellRule(h3_resolution=16), CellRule(h3_resolution=-1)])  # fmt: skip
def test_impossible_cells_are_refused_at_start_up(rule: CellRule) -> None:
    with pytest.raises(ValueError):
        CellAssigner(rule)
