"""The way of most readings: one more of a series that is known, with nothing unusual about it.

Taking all stages costs three times as much. But what depends on the series is known from its first reading
(`udfs.series`), and what changes - value, time, id, the two time headers - is judged here, in place and in one loop,
because a call for each would cost more than what it does. The shortcut never refuses. Whatever it does not expect it
leaves to the stages, which take the record from its start; so it may be stricter than they are, and must not be more
lenient: `tests/unit/udfs/test_align.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import orjson

from udfs.batch import AlignedColumns, Pending, RawColumns
from udfs.decode import Decoder
from udfs.envelope import ENVELOPE_HEADERS, MAX_TIME_DIGITS, with_headers
from udfs.event_time import MILLISECONDS_BELOW, SECONDS_BELOW, normalise_event_time
from udfs.nesting import MAX_DEPTH
from udfs.reading import MAX_TEXT_LENGTH
from udfs.rules import Rules
from udfs.sampling import read_fraction
from udfs.series import KnownSeries
from udfs.validate import read_attributes, read_height, read_quality

# event id, quality, z, attributes
_Optional = tuple[str | None, str | int | float | None, float | None, dict[str, Any] | None]


class _Unusual(Exception):  # noqa: N818 - no error, but a matter for the stages
    pass


class Shortcut:
    """Aligns the usual readings of a batch."""

    def __init__(self, rules: Rules, decoder: Decoder, known: KnownSeries) -> None:
        self._known = known
        self._decode = decoder.decode
        self._max_body_bytes = rules.limits.max_body_bytes
        self._time = rules.time
        self._attribute_headers = rules.attribute_headers

    def take(self, raw: RawColumns, aligned: AlignedColumns, pending: list[Pending]) -> list[int]:
        """Align what can be aligned in this way; give the places of all other records.

        Parameters
        ----------
        pending
            Gets the readings that are aligned but for their position: of series that have moved.
        """
        left: list[int] = []
        put, loads, decode = aligned.put, orjson.loads, self._decode
        find, find_older = self._known.recent.get, self._known.find
        names = self._attribute_headers
        floor_ms, max_future_ms, max_body_bytes = self._time.floor_ms, self._time.max_future_ms, self._max_body_bytes
        envelope = raw.headers[: len(ENVELOPE_HEADERS)]
        attribute_headers_of = _by_record(raw.headers[len(ENVELOPE_HEADERS) :])
        for place, (
            body, key, partition, offset, append_ms,
            sensor_header, ingest, event, crs_header, version, content_type, sampling,
            attribute_headers,
        ) in enumerate(zip(*raw[:5], *envelope, attribute_headers_of, strict=False)):  # fmt: skip
            try:
                if len(body) > max_body_bytes:
                    raise _Unusual
                if content_type == b"application/json":
                    fields = loads(body)
                else:
                    fields = decode(body, content_type and content_type.decode())
                get = fields.get
                x, y = get("x"), get("y")
                series_key = (
                    sensor_header, crs_header, version, content_type, key,
                    get("sensor_id"), get("metric"), get("unit"), get("crs"), get("region"),
                )  # fmt: skip
                series = find(series_key) or find_older(series_key)
                if series is None:
                    raise _Unusual
                if type(x) is not float or type(y) is not float:
                    x, y = _number(x), _number(y)
                home = series.site
                site = home if x == home.x and y == home.y else series.at(x, y)

                sent = get("value")
                if type(sent) is not float:
                    sent = _number(sent)
                value = sent * series.scale + series.offset
                if not series.lowest <= value <= series.highest:
                    raise _Unusual

                time = get("event_time")
                if type(time) is int and SECONDS_BELOW <= time < MILLISECONDS_BELOW:
                    time_ms, time_ns = time, time * 1_000_000
                else:
                    time_ns = normalise_event_time(time, series.zone)
                    time_ms = time_ns // 1_000_000
                if time_ms < floor_ms or not -max_future_ms <= append_ms - time_ms <= series.max_age_ms:
                    raise _Unusual
                if event is not None and event != b"%d" % time_ms:
                    raise _Unusual
                if ingest is None:
                    ingest_ms = append_ms
                elif ingest.isdigit() and len(ingest) <= MAX_TIME_DIGITS:
                    ingest_ms = int(ingest)
                else:
                    raise _Unusual

                fraction = None
                if sampling is not None:
                    fraction = read_fraction(sampling)
                    if not series.sampled:
                        raise _Unusual

                event_id = get("event_id")
                quality = z = attributes = None
                if len(fields) != series.fields + 1 or type(event_id) is not str:
                    event_id, quality, z, attributes = _optional(fields, series.fields, body)
                if attribute_headers is not None:
                    attributes = with_headers(attributes, names, attribute_headers)
                if event_id is not None:
                    if not event_id or event_id.isspace():
                        event_id = None
                    elif len(event_id) > MAX_TEXT_LENGTH:
                        raise _Unusual
                put(
                    place, series, site, event_id, time_ns, value, sent, quality, z, attributes, ingest_ms, append_ms,
                    partition, offset, fraction,
                )  # fmt: skip
                if site is not home:
                    pending.append(Pending(place, series_key, series, site))
            except Exception:
                left.append(place)
        return left


def _by_record(headers: Sequence[Sequence[bytes | None]]) -> Iterable[tuple[bytes | None, ...] | None]:
    """Turn the columns of the attribute headers into rows; None for a record without any of them."""
    if not headers:
        return repeat(None)
    return (row if row.count(None) < len(headers) else None for row in zip(*headers, strict=True))


def _number(sent: object) -> float:
    """Turn a whole number into a float; a bool is none."""
    if type(sent) is float or type(sent) is int:
        return float(sent)
    raise _Unusual


def _optional(fields: dict[str, Any], accounted_for: int, body: bytes) -> _Optional:
    """Read the fields that a value need not have."""
    event_id, quality, z, attributes = fields.get("event_id"), fields.get("quality"), fields.get("z"), None
    if event_id is not None:
        accounted_for += 1
        if type(event_id) is not str:
            raise _Unusual
    if quality is not None:
        accounted_for += 1
        quality = read_quality(quality)
    if z is not None:
        accounted_for += 1
        z = read_height(z)
    if len(fields) != accounted_for:
        if body.count(b"{") + body.count(b"[") > MAX_DEPTH:  # only attributes can be nested, so only here
            raise _Unusual
        attributes = read_attributes(fields)
    return event_id, quality, z, attributes
