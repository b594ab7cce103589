"""Find the watershed that a position lies in."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import shapely

from udfs.crs_operation import Floats
from udfs.geodesic import on_earth
from udfs.layer_file import Feature, LayerError

_TURNS_DEG = (0.0, 360.0, -360.0)


class Watersheds:
    """A layer of polygons with holes and of multipolygons; edges are straight in longitude and latitude (RFC 7946).

    What crosses the antimeridian is cut there (RFC 7946, 3.1.9) or goes on beyond ±180°; what holds a pole has an edge
    along it. A boundary, that of a hole too, belongs to its watershed; where several hold a position, the first of the
    layer counts: sub-basins come before their basin.

    Raises
    ------
    LayerError
        A geometry is no polygon, or an edge jumps by 180° to 360° of longitude: it was meant to cross the antimeridian.
    """

    def __init__(self, layer: Iterable[Feature]) -> None:
        features = list(layer)
        for feature in features:
            _check(feature)
        self._names = np.array([*(feature.name for feature in features), None], object)
        self._polygons = np.array([feature.geometry for feature in features], object)
        self._tree = shapely.STRtree(self._polygons)
        bounds = shapely.bounds(self._polygons)
        self._west, self._east = bounds[:, 0].min(initial=np.inf), bounds[:, 2].max(initial=-np.inf)
        shapely.prepare(self._polygons)

    def containing(self, lon_deg: Floats, lat_deg: Floats) -> npt.NDArray[np.object_]:
        """Name the watershed of each position; None where there is none.

        Parameters
        ----------
        lon_deg, lat_deg
            WGS 84 degrees; arrays of one length.
        """
        nowhere = len(self._polygons)
        found = np.full(len(lon_deg), nowhere, np.intp)
        usable = on_earth(lon_deg, lat_deg)
        for turn in _TURNS_DEG:
            lon = lon_deg + turn
            rows = np.flatnonzero(usable & (lon >= self._west) & (lon <= self._east))
            if len(rows):
                near, polygons = self._tree.query(shapely.points(lon[rows], lat_deg[rows]))
                rows = rows[near]
                inside = shapely.intersects_xy(self._polygons[polygons], lon[rows], lat_deg[rows])
                np.minimum.at(found, rows[inside], polygons[inside])
        return self._names[found]


def _check(feature: Feature) -> None:
    if feature.geometry.geom_type not in ("Polygon", "MultiPolygon"):
        raise LayerError(f"watershed {feature.name!r} is a {feature.geometry.geom_type} and no polygon")
    for ring in shapely.get_rings(feature.geometry):
        steps_deg = np.abs(np.diff(shapely.get_coordinates(ring)[:, 0]))
        if ((steps_deg > 180.0) & (steps_deg < 360.0)).any():  # 360° is the edge of a polar cap
            raise LayerError(f"watershed {feature.name!r} crosses the antimeridian: cut it there")
