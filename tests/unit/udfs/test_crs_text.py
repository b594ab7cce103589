"""Laws of reading the text that names a CRS: what is one, and what must never reach PROJ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from udfs.crs_text import MAX_CRS_LENGTH, read_crs

GRID = CRS("EPSG:27700")


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("EPSG:4326", "EPSG:4326"),
        ("epsg:4326", "EPSG:4326"),
        (" EPSG:4326 ", "EPSG:4326"),
        ("WGS84", "EPSG:4326"),
        ("OGC:CRS84", "OGC:CRS84"),
        ("urn:ogc:def:crs:EPSG::27700", "EPSG:27700"),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", "OGC:CRS84"),
        ("http://www.opengis.net/def/crs/EPSG/0/27700", "EPSG:27700"),
        ("ESRI:102100", "ESRI:102100"),
        ("IGNF:LAMB93", "IGNF:LAMB93"),
        ("+proj=utm +zone=33 +datum=WGS84 +units=m +no_defs", "+proj=utm +zone=33 +datum=WGS84"),
        (GRID.to_wkt(), "EPSG:27700"),
        (GRID.to_json(), "EPSG:27700"),
        ("EPSG:4979", "EPSG:4326"),  # 3D: its horizontal part
        ("EPSG:7405", "EPSG:27700"),  # compound: its horizontal part
        ("EPSG:4326+5773", "EPSG:4326"),
    ],
)
def test_text_that_names_a_crs_is_read(text: str, same_as: str) -> None:
    assert read_crs(text).equals(CRS(same_as), ignore_axis_order=True)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "nope", "4326", "WGS", "utm", "EPSG", "EPSG:", ":4326", "EPSG:999999", "EPSG:4326;x", "EPSG:-1",
        "EPSG:4978",  # geocentric: no position without a height
        "EPSG:5773",  # vertical
        "EPSG:1671",  # a transformation
        "IAU_2015:30100", "+proj=longlat +R=1737400",  # the Moon
        "+init=epsg:4326", "+proj=longlat +init=epsg:4326", "+proj=pipeline +step +proj=utm +zone=33",
        "+proj=utm +zone=33 +nadgrids=@x.gsb", "+proj=utm +zone=33 +geoidgrids=/etc/passwd",
        "+proj=utm +zone=33 +ellps=../x",
        "+proj=longlat +datum=WGS84 +axis=neu", "+proj=geocent +datum=WGS84", "+proj=helmert +x=1",
        "+proj=utm +zone=99",
        "proj=utm zone=33", "file.prj", "/etc/passwd", "@x.gsb", "https://example.org/crs",
        "http://www.opengis.net/def/crs/",
        "http://www.opengis.net/def/crs/EPSG/0/", "urn:ogc:def:crs:", "urn:ogc:def:crs:EPSG", "{}",
        '{"type":"ProjectedCRS"}',
        "{" * 4000, "[" * 4000, "GEOGCS[" * 500, 'PROJCS["x",EXTENSION["PROJ4","+proj=merc +nadgrids=@null"]]',
        'BOUNDCRS[SOURCECRS[]]', "x" * (MAX_CRS_LENGTH + 1), "EPSG:4326\x00", "\ud800",
    ],
)  # fmt: skip
def test_text_that_names_no_usable_crs_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_crs(text)


@given(st.text(max_size=30) | st.text(alphabet="EPSG:OGC4326+/=projutm @.", max_size=30))
def test_any_text_is_a_crs_or_refused(text: str) -> None:
    try:
        crs = read_crs(text)
    except ValueError:
        return
    assert (crs.is_geographic or crs.is_projected) and len(crs.axis_info) == 2
