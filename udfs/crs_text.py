"""Read the text that names a CRS, which comes from outside; used by `udfs.crs`.

PROJ's own reader takes much more than names of CRSs: pipelines, `+init` files, grid files, approximate names. Only what
names a CRS gets through here, and nothing that would make PROJ open a file or a connection.
"""

from __future__ import annotations

import warnings

from pyproj import CRS

MAX_CRS_LENGTH = 4_096

_AUTHORITIES = ("EPSG", "ESRI", "OGC", "IGNF", "NKG", "NRCAN")
_NAMES = {
    "WGS84": "EPSG:4326",
    "WGS 84": "EPSG:4326",
    "CRS84": "OGC:CRS84",
    "NAD83": "EPSG:4269",
    "NAD27": "EPSG:4267",
    "ETRS89": "EPSG:4258",
}
_REFERENCE_STARTS = (
    ("urn:ogc:def:crs:", ":"),
    ("http://www.opengis.net/def/crs/", "/"),
    ("https://www.opengis.net/def/crs/", "/"),
)
_WKT_STARTS = (
    *("GEOGCS[", "GEOGCRS[", "GEODCRS[", "GEODETICCRS[", "GEOGRAPHICCRS[", "PROJCS[", "PROJCRS[", "PROJECTEDCRS["),
    *("COMPD_CS[", "COMPOUNDCRS["),
)
# Words of WKT and PROJJSON that name a file.
_FILE_WORDS = ("grids", "parameterfile", "parameter file", "extension[", "model file", "+init", "proj4_")
# Parameters that define a projection or a datum by numbers and by names from PROJ's own tables.
_PROJ_KEYS = frozenset(
    (
        *("proj", "type", "no_defs", "wktext", "datum", "ellps", "a", "b", "rf", "f", "r", "pm", "towgs84", "units"),
        *("to_meter", "lat_0", "lat_1", "lat_2", "lat_ts", "lat_b", "lon_0", "lon_1", "lon_2", "lonc", "lon_wrap"),
        *("k", "k_0", "x_0", "y_0", "zone", "south", "alpha", "gamma", "azi", "h", "no_rot", "no_off", "no_uoff"),
        *("o_proj", "o_lat_p", "o_lon_p", "over", "approx", "algo"),
    )
)


def read_crs(text: str) -> CRS:
    """Read a CRS, reduced to its horizontal part.

    Taken are authority codes (`EPSG:27700`, `ESRI:102100`, `OGC:CRS84`, `EPSG:4326+5773`), OGC URNs and URLs of such
    codes, a few names (`WGS84`, `NAD83`, …), PROJ texts (`+proj=utm +zone=33 +datum=WGS84`), WKT and PROJJSON.
    A compound CRS gives its horizontal part and a 3D one its 2D part, as heights are not transformed. Refused are
    geocentric, vertical, local and other CRSs that have no position in the plane or on the ellipsoid, other celestial
    bodies, pipelines, `+axis`, and whatever names a file or a grid.

    Parameters
    ----------
    text
        1 to 4,096 characters.

    Returns
    -------
        A geographic or projected CRS. Its own axis order does not count: coordinates are (x, y), longitude or easting
        first, in the units of its axes.

    Raises
    ------
    ValueError
        The text names no such CRS.

    Source: EPSG registry; OGC 18-010r7 (WKT 2); PROJ documentation, "proj_create" and "Known differences".
    """
    if len(text) > MAX_CRS_LENGTH:
        raise ValueError(f"CRS text of {len(text)} characters")
    name = text.strip()
    plain = _plain_code(name)
    if plain is None and not _is_definition(name):
        raise ValueError(f"{name[:80]!r} is no CRS")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            crs = CRS.from_user_input(plain or name)
            return _horizontal(crs)
    except ValueError:
        raise
    except Exception as error:  # CRSError, and what broken PROJJSON makes Python raise
        raise ValueError(f"{name[:80]!r} is no CRS: {str(error)[:120]}") from None


def _plain_code(name: str) -> str | None:
    """Give AUTHORITY:CODE where the text is one in whatever spelling, else None."""
    if name in _NAMES:
        return _NAMES[name]
    lower = name.lower()
    for start, separator in _REFERENCE_STARTS:
        if lower.startswith(start):
            parts = name[len(start) :].split(separator)  # authority, version, code
            name = f"{parts[0]}:{parts[-1]}" if len(parts) == 3 else ""
    authority, colon, code = name.partition(":")
    authority = authority.upper()
    if colon and authority in _AUTHORITIES and code.isascii() and code.replace("+", "").isalnum() and len(code) <= 40:
        return f"{authority}:{code.upper() if authority != 'IGNF' else code}"
    return None


def _is_definition(name: str) -> bool:
    if name.startswith("+proj="):
        items = [item.partition("=") for item in name.split()]
        return all(
            key.startswith("+") and key[1:].lower() in _PROJ_KEYS and not set(value) & set("/\\@:;|")
            for key, _, value in items
        )
    if name.startswith("{") or name.upper().replace(" ", "").startswith(_WKT_STARTS):
        lower = name.lower()
        return not any(word in lower for word in _FILE_WORDS)
    return False


def _horizontal(crs: CRS) -> CRS:
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    if len(crs.axis_info) == 3 and not crs.is_geocentric:
        crs = crs.to_2d()
    if not (crs.is_geographic or crs.is_projected) or len(crs.axis_info) != 2:
        raise ValueError(f"{crs.name[:80]!r} is a {crs.type_name}, neither geographic nor projected")
    # The Moon's longitude is no place on Earth, and PROJ would transform it all the same when told to.
    if crs.ellipsoid is None or not 6_300_000.0 < crs.ellipsoid.semi_major_metre < 6_450_000.0:
        raise ValueError(f"{crs.name[:80]!r} is not a CRS of the Earth")
    return crs
