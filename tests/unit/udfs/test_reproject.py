"""What TO_CRS, CRS_ACCURACY and CELL give is what the job gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udfs.cell import CellAssigner
from udfs.cell_scheme import CellSchemes, read_scheme
from udfs.crs import Locator
from udfs.reading import Position
from udfs.reproject import Reprojector
from udfs.rules import CellRule, PositionRule

NAN = float("nan")
SOURCES = ("EPSG:4326", "EPSG:27700", "EPSG:25832", "EPSG:3857", "OGC:CRS84", "EPSG:99999", "", "nonsense")
TARGETS = ("EPSG:3857", "EPSG:3035", "EPSG:4326", "EPSG:99999")
COORDINATES = st.one_of(st.floats(-200, 200), st.floats(-1e6, 6e6), st.sampled_from([NAN, float("inf"), 0.0]))
ROWS = st.lists(
    st.tuples(COORDINATES, COORDINATES, st.sampled_from((*SOURCES, None)), st.sampled_from((*TARGETS, None))),
    max_size=20,
)
REPROJECTOR = Reprojector()
LOCATORS = {t: Locator(PositionRule(target_crs=t), lambda *_: "") for t in TARGETS if t != "EPSG:99999"}


def expected(x: float, y: float, source: str | None, target: str | None) -> tuple[float, float, float]:
    if source is not None and target in LOCATORS:
        place = LOCATORS[target].locate_many([(source, x, y, "")])[0]
        if isinstance(place, Position):
            return place.x, place.y, NAN if place.accuracy_m is None else place.accuracy_m
    return NAN, NAN, NAN


@settings(deadline=None)
@given(ROWS)
def test_each_row_has_what_the_job_gives(rows: list[tuple[float, float, str | None, str | None]]) -> None:
    x, y, sources, targets = (list(c) for c in zip(*rows, strict=True)) if rows else ([], [], [], [])
    found = REPROJECTOR.transform(np.array(x, np.float64), np.array(y, np.float64), sources, targets)
    whole = np.column_stack((found.x, found.y, found.accuracy_m))
    assert np.array_equal(whole, np.array([expected(*row) for row in rows]).reshape(-1, 3), equal_nan=True)


@settings(deadline=None)
@given(ROWS, st.sampled_from(SOURCES), st.sampled_from(TARGETS))
def test_a_constant_is_a_column_of_one_text(
    rows: list[tuple[float, float, str | None, str | None]], source: str, target: str
) -> None:
    x, y = (np.array([row[axis] for row in rows], np.float64) for axis in (0, 1))
    constant = REPROJECTOR.transform(x, y, source, target)
    column = REPROJECTOR.transform(x, y, [source] * len(rows), [target] * len(rows))
    assert np.array_equal(constant.x, column.x, equal_nan=True)
    assert np.array_equal(constant.accuracy_m, column.accuracy_m, equal_nan=True)


def test_x_is_the_longitude_whatever_the_crs_says() -> None:
    found = REPROJECTOR.transform(np.array([-2.1]), np.array([57.15]), "EPSG:4326", "EPSG:3857")
    assert (found.x[0], found.y[0]) == pytest.approx((-233_770.93, 7_790_839.37), abs=0.01)


def test_accuracy_is_that_of_the_operation() -> None:
    found = REPROJECTOR.transform(
        np.array([400_000.0, 0.5]), np.array([800_000.0, 50.0]), ["EPSG:27700", "EPSG:4326"], "EPSG:4326"
    )
    assert 0.0 < found.accuracy_m[0] <= 21.0  # 1 m with OSTN15, else 2 to 21 m
    assert found.accuracy_m[1] == 0.0


def test_more_targets_than_are_kept() -> None:
    targets = [f"EPSG:{32601 + zone}" for zone in range(20)] * 2
    found = REPROJECTOR.transform(np.full(40, -177.0), np.full(40, 10.0), "EPSG:4326", targets)
    assert np.array_equal(found.x[:20], found.x[20:], equal_nan=True)
    assert found.x[0] == pytest.approx(500_000.0)


@pytest.mark.parametrize(
    ("scheme", "rule"),
    [
        ("grid:1000", CellRule("grid", grid_m=1_000.0)),
        ("grid:0.5", CellRule("grid", grid_m=0.5)),
        ("h3:7", CellRule("h3", h3_resolution=7)),
    ],
)
@given(x=st.floats(-180, 180), y=st.floats(-90, 90))
def test_cells_are_named_as_the_job_names_them(scheme: str, rule: CellRule, x: float, y: float) -> None:
    assert CellSchemes().cells(np.array([x]), np.array([y]), scheme) == [CellAssigner(rule).cell(x, y, x, y, "")]


def test_what_has_no_cell() -> None:
    x, y = np.array([NAN, 1e6, 1e6, 10.0, 10.0]), np.array([0.0, 1e6, 1e6, 95.0, 5.0])
    schemes = ["grid:1000", "h3:7", "grid:1000", "h3:7", None]
    assert CellSchemes().cells(x, y, schemes) == [None, None, "g1000:E1000:N1000", None, None]


@pytest.mark.parametrize("text", ["", "grid", "grid:0", "grid:-1", "grid:nan", "h3:16", "h3:1.5", "quad:3", "region"])
def test_schemes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no cell scheme"):
        read_scheme(text)
    assert CellSchemes().cells(np.array([1.0]), np.array([1.0]), text) == [None]
    with pytest.raises(ValueError, match="is no cell scheme"):
        CellSchemes().require(text)
