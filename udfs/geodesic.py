"""Distances on the WGS 84 ellipsoid, for columns of positions."""

from __future__ import annotations

import numpy as np
from pyproj import Geod

from udfs.crs_operation import Flags, Floats

_WGS84 = Geod(ellps="WGS84")


def on_earth(lon_deg: Floats, lat_deg: Floats) -> Flags:
    """Tell which positions are within ±180° and ±90°; NaN is not, and 0° to 360° is not guessed at."""
    return (np.abs(lon_deg) <= 180.0) & (np.abs(lat_deg) <= 90.0)


def distance_m(lon1_deg: Floats, lat1_deg: Floats, lon2_deg: Floats, lat2_deg: Floats) -> Floats:
    """Length of the shortest way over the ellipsoid, also across the antimeridian and the poles.

    Parameters
    ----------
    lon1_deg, lat1_deg, lon2_deg, lat2_deg
        WGS 84 degrees; arrays of one length.

    Returns
    -------
        Metres; NaN where a position is not on Earth (`on_earth`).

    Source: Karney (2013), Algorithms for geodesics, through PROJ: better than a micrometre.
    """
    found = np.full(len(lon1_deg), np.nan)
    usable = on_earth(lon1_deg, lat1_deg) & on_earth(lon2_deg, lat2_deg)
    if usable.any():
        lon1, lat1, lon2, lat2 = (column[usable] for column in (lon1_deg, lat1_deg, lon2_deg, lat2_deg))
        if len(lon1) == 1:  # pyproj takes an array of one for a scalar, which numpy deprecates
            found[usable] = _WGS84.inv(lon1.item(), lat1.item(), lon2.item(), lat2.item())[2]
        else:
            found[usable] = _WGS84.inv(lon1, lat1, lon2, lat2)[2]
    return found
