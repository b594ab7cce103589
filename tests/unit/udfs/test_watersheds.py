"""Which watershed a position lies in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.layer_file import LayerError, parse_layer, read_layer
from udfs.watersheds import Watersheds

SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
HOLE = [[4, 4], [6, 4], [6, 6], [4, 6], [4, 4]]


def layer(*features: tuple[str, str, Any], **members: Any) -> bytes:
    return orjson.dumps(
        {
            "type": "FeatureCollection",
            **members,
            "features": [
                {"type": "Feature", "properties": {"name": n}, "geometry": {"type": kind, "coordinates": coordinates}}
                for n, kind, coordinates in features
            ],
        }
    )


def watersheds(*features: tuple[str, str, Any]) -> Watersheds:
    return Watersheds(parse_layer(layer(*features)))


def names(of: Watersheds, *positions: tuple[float, float]) -> list[str | None]:
    lon, lat = zip(*positions, strict=True)
    return list(of.containing(np.array(lon, np.float64), np.array(lat, np.float64)))


def box(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def test_holes_are_outside_and_their_edges_inside() -> None:
    ring = watersheds(("ring", "Polygon", [SQUARE, HOLE]))
    found = names(ring, (1, 1), (5, 5), (4, 5), (10, 10), (0, 3), (10.000001, 5), (-1, 5))
    assert found == ["ring", None, "ring", "ring", "ring", None, None]


def test_a_hole_may_hold_an_island() -> None:
    nested = watersheds(("island", "Polygon", [box(4.5, 4.5, 5.5, 5.5)]), ("ring", "Polygon", [SQUARE, HOLE]))
    assert names(nested, (5, 5), (4.2, 5), (1, 1)) == ["island", None, "ring"]


def test_the_first_of_the_layer_counts() -> None:
    basins = ("sub-basin", "Polygon", [box(0, 0, 5, 5)]), ("basin", "Polygon", [SQUARE])
    assert names(watersheds(*basins), (2, 2), (5, 5), (7, 7)) == ["sub-basin", "sub-basin", "basin"]
    assert names(watersheds(*reversed(basins)), (2, 2)) == ["basin"]


def test_all_parts_of_a_multipolygon_are_its() -> None:
    parts = watersheds(("parts", "MultiPolygon", [[SQUARE, HOLE], [box(20, 0, 30, 10)]]))
    assert names(parts, (1, 1), (25, 5), (5, 5), (15, 5)) == ["parts", "parts", None, None]


@pytest.mark.parametrize(
    "coordinates",
    [
        [[box(170, -10, 180, 10)], [box(-180, -10, -170, 10)]],  # cut, as RFC 7946 wants it
        [[box(170, -10, 190, 10)]],
        [[box(-190, -10, -170, 10)]],
    ],
)
def test_the_antimeridian_may_be_cut_or_passed(coordinates: Any) -> None:
    across = watersheds(("across", "MultiPolygon", coordinates))
    assert names(across, (175, 0), (-175, 0), (180, 0), (-180, 0)) == ["across"] * 4
    assert names(across, (169, 0), (-169, 0), (0, 0), (175, 11)) == [None] * 4


def test_what_ends_at_the_antimeridian_holds_it_under_both_names() -> None:
    west = watersheds(("west", "Polygon", [box(-180, -10, -170, 10)]))
    assert names(west, (180, 0), (-180, 0), (179.9, 0)) == ["west", "west", None]


def test_a_polar_cap() -> None:
    cap = watersheds(("cap", "Polygon", [box(-180, -90, 180, -60)]))
    assert names(cap, (0, -90), (123, -89), (180, -75), (0, -59)) == ["cap", "cap", "cap", None]


@given(st.floats(), st.floats())
def test_any_pair_of_numbers_has_an_answer(lon: float, lat: float) -> None:
    found = names(watersheds(("ring", "Polygon", [SQUARE, HOLE])), (lon, lat))
    inside = 0 <= lon <= 10 and 0 <= lat <= 10 and not (4 < lon < 6 and 4 < lat < 6)
    assert found == ["ring" if inside else None]


def test_an_empty_layer_holds_nothing() -> None:
    assert names(watersheds(), (1, 1)) == [None]


def test_the_shipped_layer_is_usable() -> None:
    assert names(Watersheds(read_layer("", "watersheds")), (-3, 57), (5.4, 52.6), (5.6, 52.4)) == [
        "Dee",
        None,
        "IJssel",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "no JSON"),
        (b"[]", "no GeoJSON FeatureCollection"),
        (b'{"features": [1]}', "feature 0 has no property `name`"),
        (layer(("", "Point", [0, 0])), "feature 0 has no property `name`"),
        (layer(("a", "Polygon", [SQUARE]), crs={"properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}), "EPSG::3857"),
        (layer(("a", "Blob", [0, 0])), "'a' has no geometry"),
        (layer(("a", "Polygon", [])), "'a': empty"),
        (layer(("a", "Polygon", [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]])), "'a': Self-intersection"),
        (layer(("a", "Polygon", [box(0, 80, 10, 91)])), "'a' has a latitude beyond"),
        (layer(("a", "Point", [0, 0])), "'a' is a Point and no polygon"),
        (layer(("a", "Polygon", [box(-179, 0, 179, 10)])), "'a' crosses the antimeridian"),
    ],
)
def test_layers_that_are_refused(text: bytes, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        Watersheds(parse_layer(text))


def test_a_layer_in_wgs84_may_say_so() -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    assert len(parse_layer(layer(("a", "Polygon", [SQUARE]), crs=crs))) == 1


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    missing = tmp_path / "none.geojson"
    with pytest.raises(LayerError, match=r"none\.geojson: No such file"):
        read_layer(str(missing), "watersheds")
    missing.write_bytes(b"{}")
    with pytest.raises(LayerError, match=r"none\.geojson: no GeoJSON"):
        read_layer(str(missing), "watersheds")
