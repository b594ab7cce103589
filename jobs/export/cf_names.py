"""Metrics and units in the words of the CF conventions: standard names, and units that UDUNITS reads.

Sources: https://cfconventions.org/standard-names.html, https://docs.unidata.ucar.edu/udunits/current/
"""

from __future__ import annotations

import re

# metric of a deployment: CF standard name. Metrics that are not here go by their own name.
STANDARD_NAMES = {
    "air_pressure": "air_pressure",
    "air_temperature": "air_temperature",
    "dew_point_temperature": "dew_point_temperature",
    "discharge": "water_volume_transport_in_river_channel",
    "pm10": "mass_concentration_of_pm10_ambient_aerosol_particles_in_air",
    "pm2_5": "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air",
    "precipitation": "lwe_thickness_of_precipitation_amount",
    "relative_humidity": "relative_humidity",
    "soil_moisture": "volume_fraction_of_condensed_water_in_soil",
    "soil_temperature": "soil_temperature",
    "water_level": "water_surface_height_above_reference_datum",
    "wave_height": "sea_surface_wave_significant_height",
    "wind_direction": "wind_from_direction",
    "wind_gust": "wind_speed_of_gust",
    "wind_speed": "wind_speed",
}
# Unit of a standard name as a canonical unit of this package; a metric in another kind of unit is something else.
_CANONICAL = {
    "air_pressure": "Pa",
    "air_temperature": "K",
    "dew_point_temperature": "K",
    "water_volume_transport_in_river_channel": "m3/s",
    "mass_concentration_of_pm10_ambient_aerosol_particles_in_air": "kg/m3",
    "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air": "kg/m3",
    "lwe_thickness_of_precipitation_amount": "m",
    "relative_humidity": "1",
    "volume_fraction_of_condensed_water_in_soil": "1",
    "soil_temperature": "K",
    "water_surface_height_above_reference_datum": "m",
    "sea_surface_wave_significant_height": "m",
    "wind_from_direction": "degree",
    "wind_speed_of_gust": "m/s",
    "wind_speed": "m/s",
}
# What UDUNITS spells in another way; None: a scale that it does not know.
_UNITS: dict[str, str | None] = {
    "degC": "degree_Celsius",
    "degF": "degree_Fahrenheit",
    "permille": "1e-3",
    "ppm": "1e-6",
    "ppb": "1e-9",
    "psu": "1e-3",
    "knot": "knot",
    "inHg": "inHg",
    "mmHg": "mmHg",
    "pH": None,
    "ph_scale": None,
    "ntu": None,
    "NTU": None,
    "fnu": None,
    "FNU": None,
    "dB": None,
    "dBA": None,
    "dBm": None,
    "dBZ": None,
    "okta": None,
    "uv_index": None,
    "UVI": None,
    "air_quality_index": None,
    "AQI": None,
}
_FACTOR = re.compile(r"([A-Za-zµ%_]+)\^?(-?\d+)?")


def standard_name(metric: str, unit: str) -> str | None:
    """The CF standard name of a metric, or None where there is none or its unit is of another kind."""
    # Pint is slow to import, and only this question needs it.
    from udfs.reasons import Rejected
    from udfs.units import conversion

    name = STANDARD_NAMES.get(metric)
    if name is None:
        return None
    try:
        conversion(unit, _CANONICAL[name])
    except Rejected:
        return None
    return name


def udunits(unit: str | None) -> str | None:
    """A unit of this package as UDUNITS spells it: `ug/m3` is `ug m-3`; None for a scale that UDUNITS lacks."""
    if unit is None or unit in ("", "1"):
        return "1"
    if unit in _UNITS:
        return _UNITS[unit]
    words, sign = [], 1
    for part in re.split(r"([*/ ])", unit):
        if part in ("*", " ", ""):
            continue
        if part == "/":
            sign = -1
            continue
        match = _FACTOR.fullmatch(part)
        if match is None:
            words.append(part if sign > 0 else f"{part}-1")
            continue
        name, power = match[1].replace("µ", "u"), sign * int(match[2] or 1)
        word = _UNITS.get(name, name)
        if word is None:
            return None
        words.append(word if power == 1 else f"{word}{power}")
        sign = 1
    return " ".join(words)
