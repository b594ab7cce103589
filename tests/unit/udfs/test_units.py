"""Laws of unit conversion, and the spellings that real feeds use."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.reasons import Reason, Rejected
from udfs.units import conversion, convert, is_unit


def reason_of(unit: str, canonical: str) -> Reason:
    with pytest.raises(Rejected) as caught:
        convert(1.0, unit, canonical)
    return caught.value.reason


@pytest.mark.parametrize(
    ("canonical", "spellings"),
    [
        ("µg/m³", "µg/m³|μg/m³|ug/m3|μg/m3|µg/m3|ug/m^3|ug/m**3|ug m-3|µg·m⁻³|microgram/meter^3|GQ| ug/m3 "),
        ("degC", "degC|deg C|°C|C|Deg C|celsius|degrees Celsius|℃|CEL"),
        ("degF", "degF|deg F|°F|F|fahrenheit"),
        ("percent", "percent|%|% RH|pct|P1"),
        ("1", "1||dimensionless|unitless"),
        ("ft3/s", "cfs|ft3/s|ft³/s|ft^3/s|foot^3/second|CFS"),
        ("hPa", "hPa|mb|mbar|millibar|A97"),
        ("knot", "kt|kts|knots|kn|KNT"),
        ("m/s", "m/s|m s-1|m.s-1|meter/second|metre/second|mps|m per s|MTS"),
        ("mph", "mph|mile/hour"),
        ("inHg", "inHg|in Hg"),
        ("mmHg", "mmHg|mm/Hg"),
        ("ppm", "ppm|ppmv"),
        ("ppb", "ppb|ppbv"),
        ("pH", "pH|std units"),
        ("degree", "deg|degrees|degree|°|Deg"),
        ("uS/cm", "uS/cm|µS/cm|uS/cm @25C"),
        ("mg/L", "mg/l|mg/L|milligram/liter|milligram/litre|g/m3"),
        ("mm", "mm|millimeter|millimetre|millimeters|MMT"),
        ("dBA", "dBA|dB(A)"),
        ("W/m2", "W/m2|W/m²|W m-2|W*m^-2"),
    ],
)
def test_spellings_of_one_unit_are_the_identity(canonical: str, spellings: str) -> None:
    for unit in spellings.split("|"):
        assert conversion(unit, canonical) == (1.0, 0.0), unit


@pytest.mark.parametrize(
    ("value", "unit", "canonical", "expected"),
    [
        (32.0, "degF", "degC", 0.0),
        (212.0, "°F", "°C", 100.0),
        (0.0, "K", "degC", -273.15),
        (25.0, "degC", "K", 298.15),
        (1.0, "cfs", "m3/s", 0.028316846592),  # exact: the international foot is 0.3048 m
        (1.0, "ft", "m", 0.3048),
        (1.0, "mph", "m/s", 0.44704),
        (1.0, "kt", "m/s", 1852 / 3600),
        (29.92, "inHg", "hPa", 1013.2074811900272),
        (1013.25, "hPa", "Pa", 101325.0),
        (50.0, "%", "1", 0.5),
        (1.0, "ppm", "ppb", 1000.0),
        (35.0, "ug/m3", "mg/m3", 0.035),
        (180.0, "deg", "rad", math.pi),
        (6.5, "degC/km", "K/m", 0.0065),
        (1.0, "in", "mm", 25.4),
    ],
)
def test_conversions_agree_with_their_definitions(value: float, unit: str, canonical: str, expected: float) -> None:
    assert convert(value, unit, canonical) == pytest.approx(expected, rel=1e-14, abs=1e-12)


@given(st.floats(), st.sampled_from([("degC", "°C"), ("µg/m³", "ug/m3"), ("pH", "pH"), ("", "1")]))
def test_the_identity_keeps_every_bit(value: float, units: tuple[str, str]) -> None:
    assert convert(value, *units).hex() == value.hex()


@given(st.floats(-1e9, 1e9), st.sampled_from([("degF", "degC"), ("cfs", "m3/s"), ("inHg", "hPa"), ("K", "degC")]))
def test_there_and_back_is_where_it_was(value: float, units: tuple[str, str]) -> None:
    unit, canonical = units
    assert convert(convert(value, unit, canonical), canonical, unit) == pytest.approx(value, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize(
    ("unit", "canonical"),
    [("m", "s"), ("degC", "m"), ("ug/m3", "ppb"), ("deg", "percent"), ("deg", "1"), ("pH", "1"), ("NTU", "FNU"),
     ("dB", "dBA"), ("m", "m2"), ("M/S", "m/s")],
)  # fmt: skip
def test_units_of_different_things_are_incompatible(unit: str, canonical: str) -> None:
    assert reason_of(unit, canonical) is Reason.INCOMPATIBLE_UNIT


@pytest.mark.parametrize(
    "unit",
    ["foo", "ppt", "u", "decibel", "millidegC", "1e400", "9**9**9**9", "m**9999999", "m^-", "m^^2", "m^+-2",
     "m/", "/m", "m//s",
     "2 m", "100", "m10", "__import__('os')", "m;s", "m\x00", "()", "x" * 41, "m" * 10_000, "()" * 20,
     "²", "^2", "-1", "\ud800"],
)  # fmt: skip
def test_text_that_is_no_unit_is_unknown_at_once(unit: str) -> None:
    conversion("m", "m")  # the registry is there
    start = time.perf_counter()
    assert reason_of(unit, "m") is Reason.UNKNOWN_UNIT
    assert time.perf_counter() - start < 0.5
    assert not is_unit(unit)


@given(st.text(max_size=45))
def test_any_text_is_a_unit_or_rejected(unit: str) -> None:
    try:
        scale, offset = conversion(unit, "m")
        assert math.isfinite(scale) and math.isfinite(offset)
    except Rejected as rejected:
        assert rejected.reason in (Reason.UNKNOWN_UNIT, Reason.INCOMPATIBLE_UNIT)


@given(
    st.lists(st.sampled_from(["m", "9", "*", "**", "^", "/", "(", ")", "e", "-", " ", ".", "pH", "degC"]), max_size=12)
)
def test_any_expression_is_a_unit_or_rejected(parts: list[str]) -> None:
    try:
        conversion("".join(parts), "m")
    except Rejected as rejected:
        assert rejected.reason in (Reason.UNKNOWN_UNIT, Reason.INCOMPATIBLE_UNIT)
