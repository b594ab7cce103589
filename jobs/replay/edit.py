"""Applies a file of edits to a record: pure, and all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from jobs.replay.content import Content
from jobs.replay.convert import Converter
from jobs.replay.dead_letters import Letter, NotReplayable, RawRecord
from jobs.replay.edits import Conversion, Edits, Rule
from jobs.replay.mapping import Mapping
from jobs.replay.source import Row
from udfs.decode import Decoder
from udfs.event_time import normalise_event_time
from udfs.reasons import Rejected

Fields = dict[str, Any]
Headers = dict[str, bytes | None]

_JSON = b"application/json"
_NS = 1_000_000


class _RefusedError(ValueError):
    """Why a rule cannot be applied."""


def edit_record(record: RawRecord, letter: Letter, edits: Edits, decoder: Decoder) -> RawRecord:
    """Apply the rules that a letter falls under.

    A value that is edited is sent as JSON, whatever it came as. The headers that repeat one of its fields follow the
    field where an edit has changed it; a rule's `headers` have the last word. The key stays, and with it the partition.

    Returns
    -------
        The record; itself where no rule applies.

    Raises
    ------
    NotReplayable : a rule cannot be applied: the value cannot be decoded, or a field that it names is missing or of
        the wrong kind.
    """
    content = Content(record, decoder)
    applied = [(n, r) for n, r in enumerate(edits.rules, 1) if r.when.selection.takes(letter, content)]
    value, headers = record.value or b"", dict(record.headers)
    said = {header: text for _, rule in applied for header, text in rule.headers.items()}
    headers = {**{h: v for h, v in headers.items() if h not in said}, **{h: t.encode() for h, t in said.items() if t}}
    if any(rule.edits_value for _, rule in applied):
        for _, rule in applied:
            for old, new in rule.replace.items():
                value = value.replace(old.encode(), new.encode())
        name = letter.source.name
        try:
            fields = Content(RawRecord(record.key, value, list(headers.items())), decoder).fields
        except Rejected as rejected:
            raise NotReplayable(f"{name}: cannot be edited, for it cannot be decoded ({rejected})") from None
        for number, rule in applied:
            try:
                fields = _edited(fields, rule)
            except _RefusedError as why:
                raise NotReplayable(f"{name}: rule {number}: {why}") from None
        value = orjson.dumps(fields)
        headers = _followed(headers, content.readable, fields, said)
    return RawRecord(record.key, value, list(headers.items())) if applied else record


def _edited(fields: Fields, rule: Rule) -> Fields:
    if rule.mapping is not None:
        fields = _mapped(fields, rule.mapping)
    for old, new in rule.rename.items():
        fields = {new if name == old else name: value for name, value in _having(fields, old).items() if name != new}
    fields = {name: value for name, value in fields.items() if name not in rule.remove}
    fields |= rule.set
    for name, conversion in rule.convert.items():
        fields = {**fields, name: _converted(_having(fields, name)[name], conversion, name)}
    if rule.swap_xy:
        fields = {**fields, "x": _having(fields, "y")["y"], "y": _having(fields, "x")["x"]}
    if rule.zone is not None:
        fields = {**fields, "event_time": _in_zone(_having(fields, "event_time")["event_time"], rule.zone)}
    return fields


def _having(fields: Fields, name: str) -> Fields:
    if name not in fields:
        raise _RefusedError(f"there is no field {name!r}")
    return fields


def _mapped(fields: Fields, mapping: Mapping) -> Fields:
    converter = Converter(mapping)
    readings = list(converter.readings([Row(1, fields)]))
    if not readings:
        raise _RefusedError(*(converter.tally.problems or ["the mapping finds no value"]))
    return readings[0]


def _converted(value: Any, conversion: Conversion, name: str) -> Any:
    value = conversion.values.get(str(value), value) if conversion.values else value
    if conversion.scale is None and conversion.offset is None:
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise _RefusedError(f"{name} is {str(value)[:40]!r}, not a number") from None
    return number * (1.0 if conversion.scale is None else conversion.scale) + (conversion.offset or 0.0)


def _in_zone(value: Any, zone: str) -> int:
    """Epoch ms; ns where there is more to it than milliseconds."""
    try:
        ns = normalise_event_time(value, ZoneInfo(zone))
    except Rejected as rejected:
        raise _RefusedError(rejected.message) from None
    return ns if ns % _NS else ns // _NS


def _event_timestamp(value: Any) -> bytes | None:
    try:
        return b"%d" % (normalise_event_time(value, None) // _NS)
    except Rejected:  # then the job decides by the value alone
        return None


_FOLLOWING: dict[str, tuple[str, Callable[[Any], bytes | None]]] = {
    "sensor_id": ("sensor_id", lambda value: str(value).encode()),
    "crs_source": ("crs", lambda value: str(value).encode()),
    "event_timestamp": ("event_time", _event_timestamp),
}


def _followed(headers: Headers, before: Fields, after: Fields, said: Collection[str]) -> Headers:
    """Give the headers that repeat a field what an edit has made of it, but for those that a rule names itself."""
    found = dict(headers)
    if "content-type" in found:
        found["content-type"] = _JSON
    for header, (name, text_of) in _FOLLOWING.items():
        if header in found and header not in said and name in after and before.get(name) != after[name]:
            text = text_of(after[name])
            found = {h: text if h == header else v for h, v in found.items() if h != header or text is not None}
    return found
