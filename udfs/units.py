"""Convert a value from the unit a feed sends to the canonical unit of its stream: part of the stage `validate`.

Unit text comes from outside. It is read by a grammar of its own - names with small exponents, joined by `*` and `/` -
and only plain names reach pint, because pint evaluates numbers: `9**9**9**9` would keep a worker busy for ever.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

import pint

from udfs.reasons import Reason, Rejected
from udfs.unit_names import DEFINITIONS, NAMES, TEXTS

MAX_UNIT_LENGTH = 40
MAX_EXPONENT = 9

_CACHE_SIZE = 4_096
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SAME_LETTERS = str.maketrans({"μ": "µ", "·": "*", "⋅": "*", "×": "*", "−": "-", "\u00a0": " ", "\u2009": " "})

_Terms = tuple[tuple[str, int], ...]
_conversions: dict[tuple[str, str], tuple[float, float] | tuple[Reason, str]] = {}


def conversion(unit: str, canonical: str) -> tuple[float, float]:
    """Give the line that turns values of one unit into another: `value * scale + offset`.

    Parameters
    ----------
    unit
        Unit as sent: `µg/m³`, `deg C`, `ft3/s`, `kg m-3`, `%`, `1`, …, up to 40 characters.
    canonical
        Unit wanted, in the same spelling rules.

    Returns
    -------
        (scale, offset), each the `float` nearest to the exact figure; (1.0, 0.0) exactly for the same unit.

    Raises
    ------
    Rejected
        UNKNOWN_UNIT: the text is no unit; INCOMPATIBLE_UNIT: the two measure different things.

    Source: BIPM SI brochure, 9th edition, through pint's `default_en.txt`; UN/CEFACT recommendation 20.
    """
    key = (unit, canonical)
    found = _conversions.get(key)
    if found is None:
        if len(_conversions) >= _CACHE_SIZE:
            _conversions.clear()
        found = _find(unit, canonical)
        if len(unit) <= MAX_UNIT_LENGTH:
            _conversions[key] = found
    if isinstance(found[0], Reason):
        raise Rejected(found[0], str(found[1]))
    return found


def convert(value: float, unit: str, canonical: str) -> float:
    """Convert one value; a value already in the canonical unit comes back bit by bit as it was.

    Parameters
    ----------
    value
        Any float.
    unit, canonical
        As for `conversion`.

    Returns
    -------
        The value in the canonical unit; infinite when it does not fit a float.

    Raises
    ------
    Rejected
        UNKNOWN_UNIT, INCOMPATIBLE_UNIT.
    """
    scale, offset = conversion(unit, canonical)
    if scale == 1.0 and offset == 0.0:  # adding 0.0 would turn -0.0 into 0.0
        return value
    return value * scale + offset


def is_unit(text: str) -> bool:
    """Tell whether a text is a unit that `conversion` knows.

    Parameters
    ----------
    text
        As for `conversion`.

    Returns
    -------
        True when it is.
    """
    return not isinstance(_find(text, text)[0], Reason)


def _find(unit: str, canonical: str) -> tuple[float, float] | tuple[Reason, str]:
    registry = _registry()
    try:
        source = _unit(registry, unit)
        target = _unit(registry, canonical)
    except ValueError as error:
        return Reason.UNKNOWN_UNIT, str(error)
    if source == target:
        return 1.0, 0.0
    if source.dimensionality != target.dimensionality:
        return Reason.INCOMPATIBLE_UNIT, f"unit {unit[:MAX_UNIT_LENGTH]!r} does not measure the same as {canonical!r}"
    offset = registry.convert(Decimal(0), source, target)
    scale = registry.convert(Decimal(1), _difference(registry, source), _difference(registry, target))
    return float(scale), float(offset) if abs(offset) > Decimal("1e-20") else 0.0


def _difference(registry: Any, unit: Any) -> Any:
    """Give the unit of differences: scale without offset, exact where f(1) - f(0) would lose digits."""
    text = str(unit)
    return registry.Unit(f"delta_{text}") if text in ("degree_Celsius", "degree_Fahrenheit", "degree_Reaumur") else unit


def _unit(registry: Any, text: str) -> Any:
    expression = "*".join(f"{name}**{exponent}" for name, exponent in _read(text))
    try:
        return registry.parse_units(expression) if expression else registry.Unit("dimensionless")
    except Exception:  # pint has no common base for what it raises on names it does not know
        raise ValueError(f"unit {text!r} is not known") from None


def _read(text: str, whole: bool = True) -> _Terms:
    """Read unit text into (name, exponent) pairs; every name is plain letters, every exponent within ±9."""
    if len(text) > MAX_UNIT_LENGTH:
        raise ValueError(f"unit of {len(text)} characters: {text[:MAX_UNIT_LENGTH]!r}…")
    text = text.translate(_SAME_LETTERS).strip()
    if whole:
        text = TEXTS.get(text, text)
    text = text.translate(_SUPERSCRIPTS).replace("**", "^").replace(" per ", "/")
    terms: list[tuple[str, int]] = []
    for position, part in enumerate(text.split("/")):
        sign = -1 if position else 1
        for factor in part.replace("*", " ").replace(".", " ").split():
            terms.extend((name, exponent * sign) for name, exponent in _read_factor(factor))
        if not part.strip():
            raise ValueError(f"unit {text!r} is not known")
    return tuple(terms)


def _read_factor(factor: str) -> _Terms:
    if factor == "1":
        return ()
    name = factor.rstrip("+-0123456789^")
    digits = factor[len(name) :].removeprefix("^")
    number = digits.lstrip("+-")
    known = NAMES.get(name, name)
    if not known or (known is name and not name.replace("_", "").isalpha()):
        raise ValueError(f"unit {factor!r} is not known")
    if digits and not (number.isdigit() and number.isascii() and len(digits) - len(number) <= 1):
        raise ValueError(f"unit {factor!r} is not known")
    exponent = int(digits) if digits else 1
    if abs(exponent) > MAX_EXPONENT:
        raise ValueError(f"unit {factor!r} has an exponent beyond {MAX_EXPONENT}")
    inner = _read(known, whole=False) if "/" in known or "^" in known else ((known, 1),)
    return tuple((inner_name, inner_exponent * exponent) for inner_name, inner_exponent in inner)


@lru_cache(maxsize=1)
def _registry() -> Any:
    """Build pint's registry once, at first use (0.2 s), with exact decimal figures."""
    registry: Any = pint.UnitRegistry(non_int_type=Decimal, on_redefinition="ignore")
    for line in DEFINITIONS:
        registry.define(line)
    registry._build_cache()  # or the degree would keep the dimension that the radian had before
    return registry
