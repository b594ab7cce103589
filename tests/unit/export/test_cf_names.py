"""Units and names that CF readers understand, and none that would be wrong."""

from __future__ import annotations

import pytest

from jobs.export.cf_names import standard_name, udunits


@pytest.mark.parametrize(
    ("unit", "spelt"),
    [
        ("degC", "degree_Celsius"), ("ug/m3", "ug m-3"), ("m3/s", "m3 s-1"), ("m", "m"), ("hPa", "hPa"), ("1", "1"),
        ("percent", "percent"), ("W/m^2", "W m-2"), ("kg*m/s2", "kg m s-2"), ("m s-1", "m s-1"), ("µS/cm", "uS cm-1"),
        ("ntu", None), (None, "1"),
    ],
)  # fmt: skip
def test_units_are_spelt_as_udunits_reads_them(unit: str | None, spelt: str | None) -> None:
    assert udunits(unit) == spelt


def test_a_standard_name_needs_a_unit_of_its_kind() -> None:
    assert standard_name("pm10", "ug/m3") == "mass_concentration_of_pm10_ambient_aerosol_particles_in_air"
    assert standard_name("relative_humidity", "percent") == "relative_humidity"
    assert standard_name("discharge", "m") is None
    assert standard_name("turbidity", "ntu") is None
