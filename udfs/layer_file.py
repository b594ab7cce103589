"""Read the small GeoJSON layers that readings are looked up in: stations and watersheds."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import shapely

_WGS84_NAMES = ("CRS84", "EPSG::4326", "EPSG:4326")


class LayerError(ValueError):
    """A layer cannot be used; the message says which, and why."""


class Feature(NamedTuple):
    """One feature of a layer: its property `name`, and its geometry in WGS 84 degrees, (longitude, latitude)."""

    name: str
    geometry: Any


def default_layer(name: str) -> bytes:
    """Give a layer that ships with the package, `stations` or `watersheds`: a made-up example."""
    return files("udfs").joinpath("layers", f"{name}.geojson").read_bytes()


def read_layer(path: str, default: str) -> list[Feature]:
    """Read a layer from a file, or the shipped one where the path is empty.

    Raises
    ------
    LayerError
        The file cannot be read, or is no layer.
    """
    try:
        return parse_layer(Path(path).read_bytes() if path else default_layer(default))
    except OSError as error:
        raise LayerError(f"{path}: {error.strerror}") from None
    except LayerError as error:
        raise LayerError(f"{path or default}: {error}") from None


def parse_layer(text: bytes) -> list[Feature]:
    """Parse a FeatureCollection whose features have a property `name`, a text that is not empty.

    Raises
    ------
    LayerError
        It is none, is not in WGS 84, or a geometry is empty or invalid, as one that crosses itself.

    Source: RFC 7946; a member `crs` is of its predecessor of 2008.
    """
    try:
        document = orjson.loads(text)
    except ValueError as error:
        raise LayerError(f"no JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("features"), list):
        raise LayerError("no GeoJSON FeatureCollection")
    crs = document.get("crs")
    if crs is not None and not any(name in str(crs) for name in _WGS84_NAMES):
        raise LayerError(f"is in {str(crs)[:120]}; a layer is in WGS 84 longitude and latitude")
    return [_feature(number, feature) for number, feature in enumerate(document["features"])]


def _feature(number: int, feature: Any) -> Feature:
    properties = feature.get("properties") if isinstance(feature, dict) else None
    name = (properties or {}).get("name")
    if not isinstance(name, str) or not name:
        raise LayerError(f"feature {number} has no property `name`")
    try:
        geometry = shapely.from_geojson(orjson.dumps(feature.get("geometry")))
    except shapely.errors.GEOSException as error:
        raise LayerError(f"{name!r} has no geometry: {error}") from None
    if geometry.is_empty or not geometry.is_valid:
        raise LayerError(f"{name!r}: {shapely.is_valid_reason(geometry) if geometry.is_valid is False else 'empty'}")
    _, south, _, north = geometry.bounds
    if not -90.0 <= south <= north <= 90.0:
        raise LayerError(f"{name!r} has a latitude beyond ±90°")
    return Feature(name, geometry)
