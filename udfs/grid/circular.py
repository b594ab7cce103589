"""Means and interpolation of directions in degrees; results are in [0, 360)."""

from __future__ import annotations

import math
from collections.abc import Sequence

_NOTHING = 1e-9  # length of the mean vector below which directions cancel out


def mean_direction_deg(directions_deg: Sequence[float]) -> float | None:
    """Direction of the sum of unit vectors; None where they cancel out.

    The sums are exact before they are rounded, so the order of the directions does not matter.

    Source: Mardia and Jupp (2000), Directional Statistics, section 2.2.
    """
    east = math.fsum(math.sin(math.radians(d)) for d in directions_deg) / len(directions_deg)
    north = math.fsum(math.cos(math.radians(d)) for d in directions_deg) / len(directions_deg)
    if math.hypot(east, north) < _NOTHING:
        return None
    return _turn(math.degrees(math.atan2(east, north)))


def between_deg(first_deg: float, second_deg: float, share: float) -> float | None:
    """The direction at a share (0 to 1) of the shorter arc; None between opposite directions."""
    arc_deg = (second_deg - first_deg + 180.0) % 360.0 - 180.0
    if arc_deg == -180.0:
        return None
    return _turn(first_deg + share * arc_deg)


def _turn(direction_deg: float) -> float:
    turned = direction_deg % 360.0
    return 0.0 if turned == 360.0 else turned  # the remainder of a tiny negative number
