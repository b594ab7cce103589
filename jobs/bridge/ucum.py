"""UCUM codes as `udfs.units` spells them: what its grammar cannot read by itself.

Source: Unified Code for Units of Measure, version 2.2, tables of units; https://ucum.org/ucum
"""

from __future__ import annotations

_PREFIXES = ("http://unitsofmeasure.org/ucum.html#para-", "http://unitsofmeasure.org/ucum/", "ucum:")
_CODES = {
    "Cel": "degC",
    "[degF]": "degF",
    "deg": "degree",
    "mm[Hg]": "mmHg",
    "[in_i'Hg]": "inHg",
    "[in_us'Hg]": "inHg",
    "[in_i]": "inch",
    "[ft_i]": "ft",
    "[ft_us]": "ft",
    "[ft_i]3/s": "ft3/s",
    "[cft_i]/s": "ft3/s",
    "[mi_i]": "mile",
    "[mi_i]/h": "mile/h",
    "[nmi_i]": "nautical_mile",
    "[kn_i]": "knot",
    "[pH]": "pH",
    "[ppm]": "ppm",
    "[ppb]": "ppb",
    "[ppth]": "permille",
    "10*-6": "ppm",
    "10*-9": "ppb",
    "{ratio}": "1",
    "dB[SPL]": "dB",
}


def unit_text(code: str) -> str:
    """Give a UCUM code in the spelling of `udfs.units`; what is none comes back as it is.

    Parameters
    ----------
    code
        Such as `Cel`, `[degF]`, `mm[Hg]`, `ug/m3`, or a URI that ends in one.

    Returns
    -------
        Such as `degC`, `degF`, `mmHg`, `ug/m3`.
    """
    text = code.strip()
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    return _CODES.get(text, text)
