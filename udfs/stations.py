"""Find the station that is nearest to a position."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from udfs.crs_operation import Floats
from udfs.geodesic import distance_m, on_earth
from udfs.layer_file import Feature, LayerError

# On a sphere with the same latitudes, lengths change by −0.56 % to +0.45 %, as the radii of curvature of WGS 84 are
# 6,335.4 to 6,399.6 km. What is nearest seems at most 6,399.6 / 6,335.4 = 1.0102 times as far as what seems nearest.
_MARGIN = 1.012
_MARGIN_RAD = 1e-7  # 0.6 m, for stations that are next to one another: rounding, where the chord is short
_PAIRS = 2_000_000  # of positions and stations looked at together; 16 MB each


class Nearest(NamedTuple):
    """Columns as long as the positions given."""

    station: npt.NDArray[np.object_]  # None where there is none
    distance_m: Floats  # NaN where there is none


class Stations:
    """A list of some thousand stations.

    All are compared on a sphere, which is one product of matrices, and what seems nearly the nearest then exactly.

    Parameters
    ----------
    names
        Distinct.
    lon_deg, lat_deg
        WGS 84 degrees.

    Raises
    ------
    LayerError
        A name comes twice, or a position is not on Earth.
    """

    def __init__(self, names: Sequence[str], lon_deg: Sequence[float], lat_deg: Sequence[float]) -> None:
        order = np.argsort(np.array(names, object))  # of stations at the same distance, the first by name
        self._names = np.array(names, object)[order]
        self._lon, self._lat = np.array(lon_deg, np.float64)[order], np.array(lat_deg, np.float64)[order]
        for name, following in zip(self._names, self._names[1:], strict=False):
            if name == following:
                raise LayerError(f"station {name!r} comes twice")
        beyond = self._names[~on_earth(self._lon, self._lat)]
        if len(beyond):
            raise LayerError(f"station {beyond[0]!r} is not on Earth")
        self._unit = _unit_vectors(self._lon, self._lat)

    @classmethod
    def of(cls, layer: Iterable[Feature]) -> Stations:
        """Make the list of a layer of points."""
        features = list(layer)
        for feature in features:
            if feature.geometry.geom_type != "Point":
                raise LayerError(f"station {feature.name!r} is a {feature.geometry.geom_type} and no Point")
        points = [feature.geometry for feature in features]
        return cls([feature.name for feature in features], [p.x for p in points], [p.y for p in points])

    def nearest(self, lon_deg: Floats, lat_deg: Floats) -> Nearest:
        """Find the nearest station by the geodesic on WGS 84, also across the antimeridian and the poles.

        Parameters
        ----------
        lon_deg, lat_deg
            WGS 84 degrees; arrays of one length.

        Returns
        -------
            Names and metres; none where a position is not on Earth or there are no stations.
        """
        names = np.full(len(lon_deg), None, object)
        distances = np.full(len(lon_deg), np.nan)
        usable = np.flatnonzero(on_earth(lon_deg, lat_deg))
        if len(usable) and len(self._names):
            # Most readings are of sensors that stay where they are.
            places, which = np.unique(lon_deg[usable] + 1j * lat_deg[usable], return_inverse=True)
            stations, metres = self._nearest_of_all(places.real, places.imag)
            names[usable] = self._names[stations[which]]
            distances[usable] = metres[which]
        return Nearest(names, distances)

    def _nearest_of_all(self, lon: Floats, lat: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
        step = max(1, _PAIRS // len(self._names))
        parts = [self._nearest_of(lon[i : i + step], lat[i : i + step]) for i in range(0, len(lon), step)]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _nearest_of(self, lon: Floats, lat: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
        cosine = _unit_vectors(lon, lat) @ self._unit.T
        smallest = np.arccos(np.clip(cosine.max(axis=1), -1.0, 1.0))
        limit = np.cos(np.minimum(smallest * _MARGIN + _MARGIN_RAD, math.pi)) - 1e-15
        rows, stations = np.nonzero(cosine >= limit[:, None])
        metres = distance_m(lon[rows], lat[rows], self._lon[stations], self._lat[stations])
        best = np.lexsort((stations, metres, rows))
        _, first = np.unique(rows[best], return_index=True)
        return stations[best][first], metres[best][first]


def _unit_vectors(lon_deg: Floats, lat_deg: Floats) -> Floats:
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    return np.column_stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)))
