"""Which place a reading belongs to: a station (or a box of several sensors), a cell, a watershed or a region."""

from __future__ import annotations

import numpy as np

from udfs.grid.rules import GridRule
from udfs.layer_file import parse_layer
from udfs.watersheds import Watersheds


class Places:
    """The places of one grid."""

    def __init__(self, rule: GridRule) -> None:
        self._kind = rule.place
        self._pairs = dict(rule.pairs)
        self._watersheds = Watersheds(parse_layer((rule.layer or "").encode())) if rule.place == "watershed" else None

    def place_of(self, sensor_id: str, cell: str, region: str, lon_deg: float, lat_deg: float) -> str | None:
        """Name the place; None where there is none."""
        if self._kind == "station":
            return self._pairs.get(sensor_id, sensor_id)
        if self._watersheds is not None:
            found = self._watersheds.containing(np.array([lon_deg]), np.array([lat_deg]))[0]
            return None if found is None else str(found)
        return (cell if self._kind == "cell" else region) or None
