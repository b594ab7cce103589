"""What can be wrong with a reading, one entry a way, and the reason it must be refused for.

An entry changes a good reading's fields and headers, or gives other bytes. The list is checked in the unit tests: every
reason that input can cause has an entry, and the align stage refuses each entry for exactly that reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jobs.generator.draft import Draft
from jobs.generator.metrics import Series
from jobs.generator.places import Site
from udfs.avro_encoding import encode_single_object
from udfs.reasons import Reason, Rejected
from udfs.rules import DAY_MS, BoundingBox, Rules
from udfs.sampling import SAMPLING_HEADER
from udfs.units import conversion

OUT_OF_REACH = frozenset(
    (
        Reason.UNEXPECTED_ERROR,  # a defect of ours: no input is known to cause it
        Reason.UNUSABLE_SCHEMA,  # depends on what a registry holds
        Reason.SCHEMA_UNREACHABLE,  # depends on whether it answers
        Reason.BALLPARK_TRANSFORM,  # depends on the grids that a machine has installed
        Reason.LATE,  # not of input but of its order
    )
)
_AVRO = b"application/avro"


Spoil = Callable[[Draft], None]
Applies = Callable[[Series, Site, Rules], bool]


def _always(_series: Series, _site: Site, _rules: Rules) -> bool:
    return True


@dataclass(frozen=True)
class Poison:
    name: str
    reason: Reason
    spoil: Spoil
    moves_watermark: bool = True  # its header claims the plausible time that the reading was taken at
    shift_ms: int = 0  # what the header claims, relative to that time
    applies: Applies = field(default=_always)


def _replace(old: bytes, new: bytes) -> Spoil:
    return lambda d: d.set_body(d.json().replace(old, new, 1))


def _body(body: bytes | None, content_type: bytes | None = None) -> Spoil:
    def spoil(draft: Draft) -> None:
        draft.set_body(body)
        if content_type:
            draft.headers["content-type"] = content_type

    return spoil


def _field(name: str, value: Any, header: str | None = None) -> Spoil:
    def spoil(draft: Draft) -> None:
        draft.fields[name] = value
        if header:
            draft.headers.pop(header, None)

    return spoil


def _header(name: str, value: bytes) -> Spoil:
    return lambda d: d.headers.__setitem__(name, value)


def _number_text(text: bytes) -> Spoil:
    """Put a token that `json.dumps` of other languages writes where the value was."""

    def spoil(draft: Draft) -> None:
        draft.fields["value"] = "@"
        draft.set_body(draft.json().replace(b'"@"', text, 1))

    return spoil


def _avro(cut: int = 0, tail: bytes = b"", **fields: Any) -> Spoil:
    def spoil(draft: Draft) -> None:
        plain = {n: v for n, v in draft.fields.items() if not isinstance(v, dict)}  # attributes hold scalars only
        body = encode_single_object({**plain, **fields})
        draft.set_body(body[: len(body) - cut] + tail)
        draft.headers["content-type"] = _AVRO

    return spoil


def _out_of_range(draft: Draft) -> None:
    stream = draft.series.stream
    draft.fields.update(value=stream.valid_max * 2 + 1000.0, unit=stream.unit)


def _incompatible_unit(draft: Draft) -> None:
    draft.fields["unit"] = next(u for u in ("kg", "s") if not _converts(u, draft.series.stream.unit))


def _converts(unit: str, canonical: str) -> bool:
    try:
        conversion(unit, canonical)
    except Rejected:
        return False
    return True


def _naive(draft: Draft) -> None:
    draft.set_time("2024-05-06T07:08:09", None)


def _too_old(draft: Draft) -> None:
    old_ms = draft.now_ms - draft.series.stream.max_age_ms - DAY_MS
    draft.set_time(old_ms, old_ms)


def _future(ahead_ms: int) -> Spoil:
    def spoil(draft: Draft) -> None:
        ms = draft.now_ms + draft.rules.time.max_future_ms + ahead_ms
        draft.set_time(ms, ms)

    return spoil


def _clock_of(day_ms: int) -> Spoil:
    """The time of day is right, the day is not; as text, since small epoch numbers would be read as seconds."""

    def spoil(draft: Draft) -> None:
        ms = day_ms + draft.event_ms % DAY_MS
        draft.set_time(datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds"), ms)

    return spoil


def _position(crs: str, x: float, y: float) -> Spoil:
    return lambda d: d.set_position(crs, x, y)


def _swapped(draft: Draft) -> None:
    draft.set_position("EPSG:4326", draft.site.lat_deg, draft.site.lon_deg)


def _another_place(draft: Draft) -> None:
    draft.set_position("EPSG:4326", *_antipode(draft.site))


def _antipode(site: Site) -> tuple[float, float]:
    return (site.lon_deg + 180.0 if site.lon_deg < 0 else site.lon_deg - 180.0), -site.lat_deg


def _holds(box: BoundingBox, lon: float, lat: float) -> bool:
    inside = lon >= box.west or lon <= box.east if box.west > box.east else box.west <= lon <= box.east
    return inside and box.south <= lat <= box.north


def _box(site: Site, rules: Rules) -> BoundingBox | None:
    return dict(rules.position.regions).get(site.region)


def _swap_shows(_series: Series, site: Site, rules: Rules) -> bool:
    box = _box(site, rules)
    return box is not None and abs(site.lon_deg) <= 90 and not _holds(box, site.lat_deg, site.lon_deg)


def _has_box(_series: Series, site: Site, rules: Rules) -> bool:
    box = _box(site, rules)
    lon, lat = _antipode(site)
    return box is not None and not _holds(box, lat, lon) and not _holds(box, lon, lat) and abs(lat) > 1


def _is_not_sampled(series: Series, _site: Site, _rules: Rules) -> bool:
    return not series.stream.sampled


def _has_range(series: Series, _site: Site, _rules: Rules) -> bool:
    return series.stream.valid_max < 1e300


def _has_no_zone(series: Series, _site: Site, _rules: Rules) -> bool:
    return series.stream.time_zone is None


def _old_is_above_floor(series: Series, _site: Site, rules: Rules) -> bool:
    # Judged at the time of making the network is enough: the margin is a day, and the clock moves forward.
    return rules.time.floor_ms < 1_700_000_000_000 - series.stream.max_age_ms - 2 * DAY_MS


_YEAR_1970_MS = 17 * DAY_MS
_YEAR_2100_MS = 4_102_444_800_000
R = Reason

KINDS: tuple[Poison, ...] = (
    Poison("truncated-json", R.MALFORMED_JSON, lambda d: d.set_body(d.json()[: len(d.json()) * 2 // 3])),
    Poison("tombstone", R.TOMBSTONE, _body(None)),
    Poison("empty-body", R.MALFORMED_JSON, _body(b"")),
    Poison("nan", R.MALFORMED_JSON, _number_text(b"NaN")),
    Poison("infinity", R.MALFORMED_JSON, _number_text(b"-Infinity")),
    Poison("number-too-large", R.MALFORMED_JSON, _number_text(b"1e999")),
    Poison("lone-surrogate", R.MALFORMED_JSON, _number_text(b'"\\ud800"')),
    Poison("not-utf-8", R.MALFORMED_JSON, _number_text(b'"\xff\xfe"')),
    Poison("nested-too-deep", R.MALFORMED_JSON, _number_text(b"[" * 60 + b"]" * 60)),
    Poison("array", R.NOT_AN_OBJECT, lambda d: d.set_body(b"[" + d.json() + b"]")),
    Poison("bare-number", R.NOT_AN_OBJECT, _body(b"21.5")),
    Poison("image", R.UNSUPPORTED_CONTENT_TYPE, _body(b"\x89PNG\r\n", b"image/png")),
    Poison("header-not-utf-8", R.BROKEN_HEADER, _header("sensor_id", b"\xff\xfe\xfd")),
    Poison("header-time-not-a-number", R.BROKEN_HEADER, _header("event_timestamp", b"soon"), moves_watermark=False),
    Poison("header-ingest-not-a-number", R.BROKEN_HEADER, _header("ingest_timestamp", b"12:30")),
    Poison("avro-cut", R.MALFORMED_AVRO, _avro(cut=3)),
    Poison("avro-with-a-tail", R.MALFORMED_AVRO, _avro(tail=b"\x00\x01")),
    Poison("avro-unknown-id", R.UNKNOWN_SCHEMA, _body(b"\x00\x7f\xff\xff\xf0abcdef", _AVRO)),
    Poison("avro-unknown-fingerprint", R.UNKNOWN_SCHEMA, _body(b"\xc3\x01" + b"\x5a" * 8 + b"abcdef", _AVRO)),
    Poison("protobuf-cut", R.MALFORMED_PROTOBUF, _body(b"\x0a\x7fabc", b"application/x-protobuf")),
    Poison("no-metric", R.MISSING_FIELD, lambda d: d.fields.pop("metric")),
    Poison("no-value", R.MISSING_FIELD, lambda d: d.fields.pop("value")),
    Poison("null-x", R.MISSING_FIELD, _field("x", None)),
    Poison("no-time", R.MISSING_FIELD, lambda d: d.set_time(None, None), moves_watermark=False),
    Poison("value-as-text", R.WRONG_TYPE, _field("value", "21.5")),
    Poison("x-as-boolean", R.WRONG_TYPE, _field("x", True)),
    Poison("sensor-as-number", R.WRONG_TYPE, _field("sensor_id", 4711)),
    Poison("empty-sensor", R.EMPTY_SENSOR_ID, _field("sensor_id", "", "sensor_id")),
    Poison("blank-sensor", R.EMPTY_SENSOR_ID, _field("sensor_id", "  ")),
    Poison("unknown-metric", R.UNKNOWN_METRIC, _field("metric", "unicorns_per_hectare")),
    Poison("avro-nan", R.VALUE_NOT_FINITE, _avro(value=float("nan"))),
    Poison("avro-infinity", R.VALUE_NOT_FINITE, _avro(value=float("inf"))),
    Poison("out-of-range", R.VALUE_OUT_OF_RANGE, _out_of_range, applies=_has_range),
    Poison("unknown-unit", R.UNKNOWN_UNIT, _field("unit", "furlongs per fortnite")),
    Poison("incompatible-unit", R.INCOMPATIBLE_UNIT, _incompatible_unit),
    Poison("header-names-another-sensor", R.HEADER_MISMATCH, _header("sensor_id", b"somebody-else")),
    Poison("header-names-another-crs", R.HEADER_MISMATCH, _header("crs_source", b"EPSG:2154")),
    Poison(
        "header-names-another-time",
        R.HEADER_MISMATCH,
        lambda d: d.set_time(d.event_ms, d.event_ms - 1),
        shift_ms=-1,
    ),
    Poison("sampled-unasked", R.UNEXPECTED_SAMPLING, _header(SAMPLING_HEADER, b"0.5"), applies=_is_not_sampled),
    Poison("unreadable-time", R.UNREADABLE_TIME, lambda d: d.set_time("yesterday", None), moves_watermark=False),
    Poison("month-13", R.UNREADABLE_TIME, lambda d: d.set_time("2024-13-45T00:00:00Z", None), moves_watermark=False),
    Poison("naive-time", R.NAIVE_TIME, _naive, moves_watermark=False, applies=_has_no_zone),
    Poison("year-1970", R.BEFORE_FLOOR, lambda d: d.set_time(0, 0), moves_watermark=False),
    Poison("too-old", R.TOO_OLD, _too_old, moves_watermark=False, applies=_old_is_above_floor),
    Poison("year-2100", R.IN_FUTURE, lambda d: d.set_time(_YEAR_2100_MS, _YEAR_2100_MS), moves_watermark=False),
    Poison("an-hour-ahead", R.IN_FUTURE, _future(3_600_000), moves_watermark=False),
    Poison("unknown-epsg-code", R.UNKNOWN_CRS, _position("EPSG:999999", 1.0, 2.0)),
    Poison("no-crs", R.UNKNOWN_CRS, _position("the usual one", 1.0, 2.0)),
    Poison("avro-x-nan", R.POSITION_NOT_FINITE, _avro(x=float("nan"))),
    Poison("latitude-95", R.POSITION_OUT_OF_RANGE, lambda d: d.set_position("EPSG:4326", d.site.lon_deg, 95.0)),
    Poison("longitude-500", R.POSITION_OUT_OF_RANGE, lambda d: d.set_position("EPSG:4326", 500.0, d.site.lat_deg)),
    Poison("null-island", R.NULL_ISLAND, _position("EPSG:4326", 0.0, 0.0)),
    Poison("outside-area-of-use", R.OUTSIDE_AREA_OF_USE, _position("EPSG:27700", 1_500_000.0, 500_000.0)),
    Poison("axis-order-swapped", R.AXIS_ORDER_SWAPPED, _swapped, applies=_swap_shows),
    Poison("another-continent", R.OUTSIDE_REGION, _another_place, applies=_has_box),
    Poison("beyond-the-projection", R.TRANSFORM_FAILED, _position("EPSG:32632", 1e30, 1e30)),
)

# Whole stations with a wrong clock; the reading is right but for its time.
CLOCK_1970 = Poison("clock-1970", R.BEFORE_FLOOR, _clock_of(_YEAR_1970_MS), moves_watermark=False)
CLOCK_2100 = Poison("clock-2100", R.IN_FUTURE, _clock_of(_YEAR_2100_MS), moves_watermark=False)
CLOCK_FAST = Poison("clock-fast", R.IN_FUTURE, lambda d: None, moves_watermark=False)


def oversized(body_bytes: int) -> Spoil:
    """A valid reading made too large by an attribute of spaces (which compress well on the way)."""

    def spoil(draft: Draft) -> None:
        draft.fields["blob"] = ""
        short = draft.json()
        draft.set_body(short.replace(b'"blob":""', b'"blob":"' + b" " * max(0, body_bytes - len(short)) + b'"', 1))

    return spoil
