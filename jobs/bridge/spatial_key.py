"""The key of a raw record: where a reading was taken, so that neighbours share a partition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobs.bridge.feed import Reading
from udfs.cell import CellAssigner
from udfs.crs import Locator
from udfs.reading import Position
from udfs.rules import CellRule, PositionRule

SpatialKey = Callable[[Reading], bytes]
"""Gives the key of a reading; the same place always has the same one. It never raises."""

_NUMBERS = (float, int)  # an integer has been written as JSON, so it has at most 64 bits
_CACHE_SIZE = 65_536
_CACHED_CRS_LENGTH = 100  # a WKT has thousands of characters

NOWHERE = b"nowhere"
"""The key of what has no place. The job refuses most of it; it still needs a partition."""


class KeyRule(BaseModel):
    """How a bridge keys its readings; part of a bridge's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["cell", "region", "attribute"] = Field(
        default="cell", description="attribute: a watershed, a district, …"
    )
    attribute: str | None = Field(default=None, min_length=1, description="field of the reading, such as huc")
    h3_resolution: int = Field(default=5, ge=0, le=15, description="of cells; 5 is about 250 km²")

    @model_validator(mode="after")
    def _attribute_named(self) -> KeyRule:
        if (self.by == "attribute") != (self.attribute is not None):
            raise ValueError("attribute: exactly with `by: attribute`")
        return self

    def key(self) -> SpatialKey:
        """Make the key's function; one for each thread, as PROJ's objects are."""
        if self.by == "cell":
            return _CellKey(self.h3_resolution)
        return _FieldKey(self.attribute or "region")


class _FieldKey:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, reading: Reading) -> bytes:
        return _text_key(reading.get(self._name)) or _text_key(reading.get("region")) or NOWHERE


class _CellKey:
    """H3 cells need no target CRS, so that bridges and jobs with different ones agree."""

    def __init__(self, resolution: int) -> None:
        assigner = CellAssigner(CellRule("h3", h3_resolution=resolution))
        self._locator = Locator(PositionRule(target_crs="EPSG:4326"), assigner.cell)
        self._known: dict[tuple[str, float, float], bytes] = {}

    def __call__(self, reading: Reading) -> bytes:
        crs, x, y = reading.get("crs"), reading.get("x"), reading.get("y")
        key = None
        if type(crs) is str and type(x) in _NUMBERS and type(y) in _NUMBERS:
            key = self._known.get((crs, x, y))  # type: ignore[arg-type]
            if key is None:
                key = self._find(crs, float(x), float(y))  # type: ignore[arg-type]
        return key or _text_key(reading.get("region")) or NOWHERE

    def _find(self, crs: str, x: float, y: float) -> bytes:
        place = self._locator.locate_many([(crs, x, y, "")])[0]
        key = place.cell.encode() if isinstance(place, Position) else b""
        if len(self._known) >= _CACHE_SIZE:
            self._known.clear()
        if len(crs) <= _CACHED_CRS_LENGTH:
            self._known[(crs, x, y)] = key
        return key


def _text_key(value: object) -> bytes:
    if isinstance(value, str) and not value.isspace():
        return value[:256].encode(errors="replace")
    return b"%d" % value if type(value) is int else b""
